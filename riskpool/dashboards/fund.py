"""The dashboard for the commission: how the fund stands, how far it is from its lines, and what waits."""

from riskpool.dashboards.panels import YUAN, Dashboard, Panel, Query

OF = '{scheme=~"$scheme"}'


def _fund(name: str, legend: str = "{{scheme}}") -> Query:
    return Query(f"max by (scheme) (riskpool_fund_{name}_fen{OF}) / 100", legend)


def _stat(title: str, name: str, told: str = "", width: int = 4) -> Panel:
    return Panel(title, (_fund(name),), "stat", YUAN, width, told)


FUND = Dashboard(
    uid="riskpool-fund",
    title="资金池 Fund",
    told="资金池的余额、代偿计数与两条线的距离，以及等待办理的事项。How the fund stands, and what waits.",
    since="now-90d",
    variables=(("scheme", "label_values(riskpool_fund_paused, scheme)"),),
    rows=(
        (
            "现状 Now",
            (
                Panel(
                    "暂停 Paused", (Query(f"max by (scheme) (riskpool_fund_paused{OF})", "{{scheme}}"),), "stat",
                    "bool", 4, "代偿计数达到暂停线后，资金池暂停拨付 (pool.pause)。", good_below=1,
                ),
                _stat("可用余额 Available balance", "balance"),
                _stat("代偿计数 Counter", "counter"),
                _stat("距暂停线 Until the pause line", "until_pause", "暂停线减去代偿计数。"),
                _stat("高于重启线 Above the resume line", "above_resume_line", "余额减去重启线，低于重启线时为负。"),
                Panel(
                    "对账差额 Reconciliation difference", (_fund("reconciliation_difference"),), "stat", YUAN, 4,
                    "托管人最近一份对账单与账簿之差；应为零 (pool.reconcile)。",
                ),
            ),
        ),
        (
            "走势 Over time",
            (
                Panel(
                    "余额与重启线 Balance and its line",
                    (_fund("balance", "余额 {{scheme}}"), _fund("resume_line", "重启线 {{scheme}}")),
                    unit=YUAN, width=12,
                ),
                Panel(
                    "代偿计数与暂停线 Counter and its line",
                    (_fund("counter", "计数 {{scheme}}"), _fund("pause_line", "暂停线 {{scheme}}")),
                    unit=YUAN, width=12,
                ),
                Panel("累计代偿 Compensated, gross", (_fund("compensated"),), unit=YUAN),
                Panel("可追偿 May still come back", (_fund("recoverable"),), unit=YUAN),
                Panel("风险敞口 Exposure", (_fund("exposure"),), unit=YUAN),
            ),
        ),
        (
            "等待 What waits",
            (
                Panel(
                    "暂缓拨付 Held payouts",
                    (Query(f"max by (scheme, reason) (riskpool_fund_held_payouts{OF})", "{{scheme}} {{reason}}"),),
                ),
                Panel("暂缓金额 Held amount", (_fund("held"),), unit=YUAN),
                Panel(
                    "代偿申请 Claims by state",
                    (Query(f"max by (scheme, status) (riskpool_claims{OF})", "{{scheme}} {{status}}"),),
                ),
                Panel(
                    "最久的待核查申请（天）Oldest claim waiting, days",
                    (Query(f"max by (scheme) (riskpool_oldest_claim_days{OF})", "{{scheme}}"),), unit="d",
                ),
                Panel(
                    "划款 Transfers",
                    (Query(f"max by (scheme, status) (riskpool_transfers{OF})", "{{scheme}} {{status}}"),),
                ),
                Panel(
                    "逾期义务 Overdue obligations",
                    (Query(f"max by (scheme, kind) (riskpool_obligations_overdue{OF})", "{{scheme}} {{kind}}"),),
                ),
                Panel(
                    "待办事项 Work that waits",
                    (Query(f"max by (scheme, kind) (riskpool_waiting_items{OF})", "{{scheme}} {{kind}}"),), "table",
                    width=12, may_be_empty="nothing waits for anybody",
                ),
                Panel("逾期未划回 Remittances overdue", (_fund("remittances_overdue"),), unit=YUAN, width=12),
            ),
        ),
    ),
)  # fmt: skip
