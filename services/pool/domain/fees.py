"""The custodian's management fee: a share of the year's realised income, approved by two units (pool.fee)."""

from datetime import date

from services.pool.domain.fund import Fund
from services.pool.domain.journal import Journal
from services.pool.domain.payout import advance
from services.pool.policy import PoolPolicy
from shared.contracts.base import made
from shared.contracts.commands import ApproveFee
from shared.contracts.pool import FeeApproval, FeeReleased
from shared.decisions import Decision, Refusal
from shared.money import format_rate, format_yuan, multiply

UNITS = 2
"""DRC and finance both approve."""


def decide_fee(fund: Fund | None, command: ApproveFee, sender: str, policy: PoolPolicy, today: date) -> Decision:
    """One approval of a year's fee; the second, at the same rate, releases it (pool.fee, 二(二)2)."""
    journal = Journal(fund, policy, today)
    if refusal := _refusal(journal.fund, command, sender, policy, today):
        return refusal
    why = policy.why("pool.fee", year=str(command.year), rate=format_rate(command.rate))
    journal.add(
        made(FeeApproval, on=today, fund=journal.figures, why=why, year=command.year, rate=command.rate, by=sender)
    )
    if sum(approval.year == command.year for approval in journal.fund.fee_approvals) == UNITS:
        _release(journal, command)
        advance(journal)
    return journal.accepted()


def _refusal(fund: Fund, command: ApproveFee, sender: str, policy: PoolPolicy, today: date) -> Refusal | None:
    figures = {"year": str(command.year), "rate": format_rate(command.rate)}
    if not policy.agreed(command.rate):
        return Refusal(
            "pool.fee", "rate", {**figures, "min": format_rate(policy.fee_min), "max": format_rate(policy.fee_max)}
        )
    if command.year >= today.year:
        return Refusal("pool.fee", "year", figures)
    if command.year in fund.fee_years:
        return Refusal("pool.fee", "once", figures)
    for approval in fund.fee_approvals:
        if approval.year == command.year and approval.by == sender:
            return Refusal("pool.fee", "approved", {**figures, "approved": format_rate(approval.rate)})
        if approval.year == command.year and approval.rate != command.rate:
            return Refusal("pool.fee", "differs", {**figures, "approved": format_rate(approval.rate)})
    return None


def _release(journal: Journal, command: ApproveFee) -> None:
    """Zero when the year's income is not above zero: then the year is done and nothing is paid."""
    income = journal.fund.income_of(command.year)
    amount = multiply(max(0, income.amount_fen), command.rate)
    why = journal.policy.why(
        "pool.fee", income=format_yuan(income.amount_fen), rate=format_rate(command.rate), amount=format_yuan(amount)
    )
    journal.add(
        made(
            FeeReleased, on=journal.on, fund=journal.figures, why=why, year=command.year, rate=command.rate,
            income=income.amount_fen, amount=amount, payee=income.custodian,
        )
    )
