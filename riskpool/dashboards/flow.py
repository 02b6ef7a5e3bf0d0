"""The dashboard for who runs the machines: messages, how long they take, what is behind, what is used up."""

from riskpool.dashboards.panels import Dashboard, Panel, Query

OF = '{service=~"$service"}'
RATE = "$__rate_interval"


def _by_service(metric: str, legend: str = "{{service}}") -> Query:
    return Query(f"max by (service) ({metric}{OF})", legend)


def _quantile(share: float, metric: str, by: str) -> Query:
    rate = f"sum by (le, {by}) (rate({metric}_bucket{OF}[{RATE}]))"
    return Query(f"histogram_quantile({share}, {rate})", f"p{share * 100:.0f} {{{{{by}}}}}")


FLOW = Dashboard(
    uid="riskpool-flow",
    title="运行 Flow",
    told="Messages through the five services, and where they wait.",
    since="now-3h",
    variables=(("service", "label_values(riskpool_ready, service)"),),
    rows=(
        (
            "Now",
            (
                Panel("Services that answer", (Query('count(max by (service) (up{job="riskpool"}) == 1)'),), "stat",
                      width=4),
                Panel("Bus answers", (Query("min(riskpool_bus_up)"),), "stat", "bool", 4),
                Panel("Parked", (Query("sum(max by (service) (riskpool_parked_messages))"),), "stat", width=4,
                      told="Not zero: look (docs/parked.md).", good_below=1),
                Panel("Waiting for the bus", (Query("sum(max by (service) (riskpool_outbox_unpublished))"),), "stat",
                      width=4),
                Panel("Behind on the bus", (Query("sum(riskpool_consumer_pending_messages)"),), "stat", width=4,
                      told="Receipts that partners have not fetched count too."),
                Panel("Readings that failed", (Query("count(riskpool_figures_fresh == 0) or vector(0)"),), "stat",
                      width=4, good_below=1),
            ),
        ),
        (
            "Messages",
            (
                Panel(
                    "Messages a second, by service and kind",
                    (Query(f"sum by (service, kind) (rate(riskpool_messages_total{OF}[{RATE}]))",
                           "{{service}} {{kind}}"),), unit="mps", width=12,
                ),
                Panel(
                    "Messages a second, by outcome",
                    (Query(f"sum by (outcome) (rate(riskpool_messages_total{OF}[{RATE}]))", "{{outcome}}"),),
                    unit="mps", width=12,
                ),
                Panel("A batch, from the bus to its commit",
                      (_quantile(0.5, "riskpool_handling_seconds", "service"),
                       _quantile(0.99, "riskpool_handling_seconds", "service")), unit="s", width=12),
                Panel("A command, from its arrival to its answer",
                      (_quantile(0.5, "riskpool_command_seconds", "service"),
                       _quantile(0.99, "riskpool_command_seconds", "service")), unit="s", width=12,
                      may_be_empty="nobody gave a command"),
                Panel("Commands that failed, a second",
                      (Query(f"sum by (service) (rate(riskpool_commands_failed_total{OF}[{RATE}]))", "{{service}}"),),
                      unit="mps", width=12),
                Panel("Delivered again, a second",
                      (Query(f"sum by (service, stream) (rate(riskpool_redelivered_messages_total{OF}[{RATE}]))",
                             "{{service}} {{stream}}"),), unit="mps", width=12),
            ),
        ),
        (
            "What is behind",
            (
                Panel("Outbox: waiting for the bus", (_by_service("riskpool_outbox_unpublished"),)),
                Panel("Outbox: age of the oldest", (_by_service("riskpool_outbox_oldest_seconds"),), unit="s"),
                Panel("Parked", (_by_service("riskpool_parked_messages"),)),
                Panel("Not yet taken, as the services see it",
                      (Query(f"max by (service, stream) (riskpool_consumer_lag_messages{OF})",
                             "{{service}} {{stream}}"),), width=12),
                Panel("Not yet taken, as the bus sees it",
                      (Query("riskpool_consumer_pending_messages + riskpool_consumer_ack_pending_messages",
                             "{{consumer}} {{stream}}"),), width=12),
            ),
        ),
        (
            "What is used up",
            (
                Panel("Database connections in use",
                      (Query('max by (service, pool) (riskpool_database_connections{state="in_use", '
                             'service=~"$service"}) / on (service, pool) '
                             'max by (service, pool) (riskpool_database_connections_limit)',
                             "{{service}} {{pool}}"),), unit="percentunit"),
                Panel("Processor", (Query(f"sum by (service) (rate(process_cpu_seconds_total{OF}[{RATE}]))",
                                          "{{service}}"),), unit="percentunit"),
                Panel("Memory", (Query(f"max by (service) (process_resident_memory_bytes{OF})", "{{service}}"),),
                      unit="bytes"),
                Panel("Streams", (Query("riskpool_stream_bytes", "{{stream}}"),), unit="bytes", width=12),
                Panel("Starts", (Query(f"max by (service) (process_start_time_seconds{OF}) * 1000", "{{service}}"),),
                      "table", "dateTimeAsIso", 12),
            ),
        ),
    ),
)  # fmt: skip
