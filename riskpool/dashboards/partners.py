"""The dashboard about partners: what they report, how it is answered, and what waits on either side."""

from riskpool.dashboards.panels import Dashboard, Panel, Query

RATE = "$__rate_interval"
FROM = '{institution=~"$institution"}'

PARTNERS = Dashboard(
    uid="riskpool-partners",
    title="合作机构 Partners",
    told="What banks, guarantors, insurers and the custodian report, and how it is answered.",
    variables=(("institution", "label_values(riskpool_ingress_backlog_messages, institution)"),),
    rows=(
        (
            "Now",
            (
                Panel("Partners on the bus", (Query("count(riskpool_ingress_backlog_messages)"),), "stat", width=6),
                Panel("Sent and not yet taken", (Query(f"sum(riskpool_ingress_backlog_messages{FROM})"),), "stat",
                      width=6),
                Panel("Receipts not yet fetched", (Query(f"sum(riskpool_receipts_waiting_messages{FROM})"),), "stat",
                      width=6, may_be_empty="no partner has an account on the bus"),
                Panel("Unreadable in the last day",
                      (Query('sum(increase(riskpool_messages_total{kind="partner", outcome="parked"}[1d])) '
                             'or vector(0)'),),
                      "stat", width=6, good_below=1),
            ),
        ),
        (
            "What they report",
            (
                Panel("Events a second, by name",
                      (Query(f'sum by (name) (rate(riskpool_messages_total{{kind="partner"}}[{RATE}]))', "{{name}}"),),
                      unit="mps", width=12),
                Panel("Answers a second",
                      (Query(f'sum by (outcome) (rate(riskpool_messages_total{{kind="partner"}}[{RATE}]))',
                             "{{outcome}}"),), unit="mps", width=12),
                Panel("Refused in the last day, by name",
                      (Query('sum by (name) (increase(riskpool_messages_total{kind="partner", outcome="refused"}[1d]))',
                             "{{name}}"),), "table", width=12, may_be_empty="nothing was refused"),
                Panel("Until it is answered",
                      (Query(f'histogram_quantile(0.99, sum by (le) (rate(riskpool_handling_seconds_bucket'
                             f'{{kind="partner"}}[{RATE}])))', "p99"),), unit="s", width=12),
            ),
        ),
        (
            "What waits",
            (
                Panel("Sent and not yet taken",
                      (Query(f"max by (institution) (riskpool_ingress_backlog_messages{FROM})", "{{institution}}"),)),
                Panel("Receipts not yet fetched",
                      (Query(f"max by (institution, scheme) (riskpool_receipts_waiting_messages{FROM})",
                             "{{institution}} {{scheme}}"),), may_be_empty="no partner has an account on the bus"),
                Panel("Ingress used, of what it may hold",
                      (Query('riskpool_stream_bytes{stream=~"PARTNER_.*"} / riskpool_stream_limit_bytes',
                             "{{stream}}"),),
                      unit="percentunit"),
            ),
        ),
    ),
)  # fmt: skip
