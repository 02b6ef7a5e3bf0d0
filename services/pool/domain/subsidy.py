"""The premium subsidy of one insurance policy: released once, paid through the same queue, not stopped by a pause."""

from datetime import date

from services.pool.domain.fund import Fund
from services.pool.domain.journal import Journal
from services.pool.domain.payout import advance
from services.pool.policy import PoolPolicy
from shared.contracts.base import Event, Shape, made
from shared.contracts.pool import DisbursementReturned, SubsidyInstructed, SubsidyReleased
from shared.contracts.review import SubsidyApproved
from shared.decisions import Accepted, Decision
from shared.money import format_yuan


class Subsidy(Shape):
    """One policy's subsidy in fen; ``paid_fen`` is instructed and not returned."""

    policy_no: str
    uscc: str
    approved_fen: int
    paid_fen: int = 0


def subsidy_keys(event: Event) -> tuple[str, ...]:
    """The policy whose subsidy an event changes."""
    match event:
        case SubsidyReleased() | SubsidyInstructed() | DisbursementReturned(kind="subsidy"):
            return (event.policy_no,)
    return ()


def evolve_subsidy(subsidy: Subsidy | None, event: Event) -> Subsidy | None:
    """A subsidy after an event."""
    match event:
        case SubsidyReleased():
            return made(Subsidy, policy_no=event.policy_no, uscc=event.uscc, approved_fen=event.amount)
        case SubsidyInstructed() if subsidy:
            return subsidy.but(paid_fen=subsidy.paid_fen + event.amount)
        case DisbursementReturned() if subsidy:
            return subsidy.but(paid_fen=subsidy.paid_fen - event.amount)
    return subsidy


def decide_subsidy(
    fund: Fund | None, subsidy: Subsidy | None, approved: SubsidyApproved, policy: PoolPolicy, today: date
) -> Decision:
    """Pay an approved subsidy, once a policy; it does not count to the pause line (pool.subsidy, 二(五)3, 三(八))."""
    if subsidy is not None:
        return Accepted(duplicate=True)
    journal = Journal(fund, policy, today)
    journal.add(
        made(
            SubsidyReleased, on=today, fund=journal.figures,
            why=policy.why("pool.subsidy", amount=format_yuan(approved.amount)), uscc=approved.uscc,
            loan_no=approved.loan_no, policy_no=approved.policy_no, amount=approved.amount,
        )
    )
    advance(journal)
    return journal.accepted()
