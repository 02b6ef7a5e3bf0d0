"""The custodian's statements and reports: compared with the ledger, filed, never a reason to change a figure."""

import re
from datetime import date

from services.pool.domain.fund import Fund
from services.pool.domain.journal import Journal
from services.pool.policy import PoolPolicy
from shared.calendar import half_end
from shared.contracts.base import made
from shared.contracts.commands import FileReport
from shared.contracts.partners import StatementIssued
from shared.contracts.pool import ReportFiled, StatementMismatch, StatementReconciled
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan

PERIODS = {
    "custodian_half_year": re.compile(r"[1-9][0-9]{3}H[12]", re.ASCII),
    "custodian_annual": re.compile(r"[1-9][0-9]{3}", re.ASCII),
}


def decide_statement(
    fund: Fund | None, ledger_fen: int, issued: StatementIssued, policy: PoolPolicy, today: date
) -> Decision:
    """Compare a statement with the ledger's cash at the end of its day (pool.reconcile, 二(二)2).

    A difference is an alarm, never an adjustment. ``ledger_fen`` is by effective dates.
    """
    if issued.as_of > today:
        return Refusal("pool.reconcile", "future", {"date": str(issued.as_of), "today": str(today)})
    journal = Journal(fund, policy, today)
    why = policy.why(
        "pool.reconcile", ledger=format_yuan(ledger_fen), statement=format_yuan(issued.balance),
        difference=format_yuan(issued.balance - ledger_fen),
    )
    outcome = StatementReconciled if ledger_fen == issued.balance else StatementMismatch
    journal.add(
        made(
            outcome, on=today, fund=journal.figures, why=why, as_of=issued.as_of, ledger=ledger_fen,
            statement=issued.balance,
        )
    )
    return journal.accepted()


def decide_report(command: FileReport, sender: str, sender_kind: str, policy: PoolPolicy, today: date) -> Decision:
    """File a report of the custodian, by the custodian only, for a period that is over (obligations, 二(二)2)."""
    if command.kind == "recovery_half_year" or sender_kind != "custodian":
        return Refusal("permission", "report", {"kind": command.kind})
    if not PERIODS[command.kind].fullmatch(command.period):
        return Refusal("obligations", "period", {"kind": command.kind, "period": command.period})
    half = command.period if command.kind == "custodian_half_year" else f"{command.period}H2"
    if half_end(half) > today:
        return Refusal("obligations", "early", {"period": command.period, "today": str(today)})
    why = policy.why("obligations", kind=command.kind, period=command.period)
    filed = made(
        ReportFiled, kind=command.kind, period=command.period, by=sender, filed_on=today, document=command.document,
        why=why,
    )
    return Accepted((filed,))
