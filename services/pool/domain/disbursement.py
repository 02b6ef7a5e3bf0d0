"""A disbursement: one transfer that the custodian is instructed to make, until it is settled or returned."""

from decimal import Decimal
from typing import Literal

from services.pool.domain.journal import Journal
from services.pool.domain.queue import QueueItem
from shared.contracts.base import Day, Event, Shape, Why, made
from shared.contracts.pool import (
    CompensationInstructed,
    CompensationSettled,
    DisbursementReturned,
    FeeInstructed,
    FeeSettled,
    PayoutItem,
    PoolEvent,
    SubsidyInstructed,
    SubsidySettled,
)
from shared.money import split


class Disbursement(Shape):
    """One instructed transfer; ``bank_ref`` and ``settled_on`` once the custodian confirmed it."""

    id: str
    status: Literal["instructed", "settled", "returned"]
    kind: str
    item: PayoutItem
    amount_fen: int
    instructed_on: Day
    bank_ref: str | None = None
    settled_on: Day | None = None
    returned_for: str | None = None


def disbursement_keys(event: Event) -> tuple[str, ...]:
    """The disbursement that an event is about."""
    match event:
        case CompensationInstructed() | SubsidyInstructed() | FeeInstructed():
            return (event.disbursement_id,)
        case CompensationSettled() | SubsidySettled() | FeeSettled() | DisbursementReturned():
            return (event.disbursement_id,)
    return ()


def evolve_disbursement(disbursement: Disbursement | None, event: Event) -> Disbursement | None:
    """A disbursement after an event."""
    match event:
        case CompensationInstructed() | SubsidyInstructed() | FeeInstructed():
            if event.item is None:
                return disbursement
            return made(
                Disbursement, id=event.disbursement_id, status="instructed", kind=event.item.kind, item=event.item,
                amount_fen=event.amount, instructed_on=event.on,
            )
        case CompensationSettled() | SubsidySettled() | FeeSettled() if disbursement:
            changes = {"status": "settled", "bank_ref": event.bank_ref, "settled_on": event.settled_on}
            return disbursement.but(**changes)
        case DisbursementReturned() if disbursement:
            return disbursement.but(status="returned", returned_for=event.reason)
    return disbursement


def instruction(journal: Journal, queued: QueueItem, amount_fen: int, why: Why) -> PoolEvent:
    """The instruction to pay so much of an item, under the next number (pool.custodian, 三(六))."""
    item, on, figures = queued.item, journal.on, journal.figures
    number = f"D{journal.fund.last_disbursement + 1:06d}"
    rest = queued.remaining_fen - amount_fen
    if item.kind == "compensation":
        return made(
            CompensationInstructed, on=on, fund=figures, why=why, uscc=item.uscc, loan_no=item.loan_no,
            disbursement_id=number, payee=item.payee, amount=amount_fen, shares=shares_of(queued, amount_fen),
            remaining=rest, item=item,
        )
    if item.kind == "subsidy":
        return made(
            SubsidyInstructed, on=on, fund=figures, why=why, uscc=item.uscc, loan_no=item.loan_no,
            policy_no=item.policy_no, disbursement_id=number, payee=item.payee, amount=amount_fen, remaining=rest,
            item=item,
        )
    return made(
        FeeInstructed, on=on, fund=figures, why=why, year=item.year or 0, disbursement_id=number, payee=item.payee,
        amount=amount_fen, remaining=rest, item=item,
    )


def shares_of(queued: QueueItem, amount_fen: int) -> dict[str, int]:
    """Who ends up with how much of a guaranteed loan's payment (loan.product, 二(五)2); empty for other products.

    Shares are taken of all that was paid so far, so that parts paid one by one add up to the shares of the whole.
    """
    item = queued.item
    if item.guarantor is None or item.guarantor_share is None:
        return {}
    shares = (item.guarantor_share, Decimal(1) - item.guarantor_share)
    paid = item.approved - queued.remaining_fen
    parts = zip(split(paid + amount_fen, shares), split(paid, shares), strict=True)
    guarantor, lender = (after - before for after, before in parts)
    return {item.guarantor: guarantor, item.lender: lender}
