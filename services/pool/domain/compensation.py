"""One loan's compensation, once in the life of the scheme: approved, paid, recovered, written off."""

from datetime import date

from services.pool.domain.fund import Fund
from services.pool.domain.journal import Journal
from services.pool.domain.payout import advance
from services.pool.policy import PoolPolicy
from shared.contracts.base import Event, Shape, made
from shared.contracts.pool import (
    CompensationHeld,
    CompensationInstructed,
    DisbursementReturned,
    FundsBooked,
    PayoutItem,
    WriteOffBooked,
)
from shared.contracts.recovery import WriteOffApproved
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan


class Compensation(Shape):
    """One loan's compensation in fen: ``paid_fen`` is instructed and not returned; ``held_fen`` waits in the queue.

    ``payee`` and ``recommender`` are known once it is first paid: all that comes back is told of them too.
    """

    loan_no: str
    uscc: str
    approved_fen: int
    paid_fen: int = 0
    held_fen: int = 0
    recovered_fen: int = 0
    clawed_fen: int = 0
    written_off_fen: int = 0
    payee: str = ""
    recommender: str = ""

    @property
    def open_fen(self) -> int:
        """What of the paid compensation has not come back: no more than this is taken as recovery or clawback."""
        return max(0, self.paid_fen - self.recovered_fen - self.clawed_fen)

    @property
    def recoverable_fen(self) -> int:
        """What of it is not written off either."""
        return max(0, self.open_fen - self.written_off_fen)


def compensation_keys(event: Event) -> tuple[str, ...]:
    """The loan whose compensation an event changes."""
    match event:
        case FundsBooked(purpose="recovery" | "clawback") if event.applied:
            return (event.loan_no,)
        case CompensationInstructed() | CompensationHeld() | WriteOffBooked():
            return (event.loan_no,)
        case DisbursementReturned(kind="compensation"):
            return (event.loan_no,)
    return ()


def evolve_compensation(compensation: Compensation | None, event: Event) -> Compensation | None:
    """A compensation after an event; it begins when it is first paid or held."""
    before = compensation or _begun(event)
    return None if before is None else _after(before, event)


def _begun(event: Event) -> Compensation | None:
    match event:
        case CompensationHeld():
            return made(Compensation, loan_no=event.loan_no, uscc=event.uscc, approved_fen=event.approved)
        case CompensationInstructed(item=PayoutItem() as item):
            return made(Compensation, loan_no=event.loan_no, uscc=event.uscc, approved_fen=item.approved)
    return None


def _after(before: Compensation, event: Event) -> Compensation:
    changes: dict[str, object]
    match event:
        case FundsBooked(purpose="clawback"):
            changes = {"clawed_fen": before.clawed_fen + event.applied, **_reinstated(before, event)}
        case FundsBooked():
            changes = {"recovered_fen": before.recovered_fen + event.applied, **_reinstated(before, event)}
        case CompensationInstructed():
            recommender = event.item.recommender if event.item else before.recommender
            changes = {
                "paid_fen": before.paid_fen + event.amount, "held_fen": event.remaining, "payee": event.payee,
                "recommender": recommender,
            }
        case CompensationHeld():
            changes = {"held_fen": event.amount}
        case DisbursementReturned():
            changes = {"paid_fen": before.paid_fen - event.amount, "held_fen": before.held_fen + event.amount}
        case WriteOffBooked():
            changes = {"written_off_fen": before.written_off_fen + event.amount}
        case _:
            changes = {}
    return before.but(**changes)


def _reinstated(before: Compensation, event: FundsBooked) -> dict[str, object]:
    return {"written_off_fen": before.written_off_fen - event.reinstated}


def decide_write_off(
    fund: Fund | None, compensation: Compensation | None, approved: WriteOffApproved, policy: PoolPolicy, today: date
) -> Decision:
    """Book a write-off that recovery approved: no cash moves, the counter stays (writeoff.approval, 三(七)).

    No more is written off than is still recoverable of that loan: what came in meanwhile is not lost.
    """
    if compensation is None:
        return Refusal("unknown", "loan", {"loan_no": approved.loan_no})
    amount = min(approved.amount, compensation.recoverable_fen)
    if amount == 0:
        return Accepted(duplicate=True)
    journal = Journal(fund, policy, today)
    why = policy.why("writeoff.approval", approved=format_yuan(approved.amount), booked=format_yuan(amount))
    journal.add(
        made(
            WriteOffBooked, on=today, fund=journal.figures, why=why, uscc=approved.uscc, loan_no=approved.loan_no,
            amount=amount, payee=compensation.payee, recommender=compensation.recommender,
        )
    )
    advance(journal)
    return journal.accepted()
