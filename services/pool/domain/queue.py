"""The payout queue: strict order, one item a thing owed; what each event puts in, takes out or marks."""

from collections.abc import Callable

from shared.contracts.base import Shape, made
from shared.contracts.pool import (
    CompensationHeld,
    CompensationInstructed,
    DisbursementReturned,
    FeeHeld,
    FeeInstructed,
    FeeReleased,
    HoldReason,
    ItemKind,
    PayoutItem,
    PayoutNoticeIssued,
    PoolEvent,
    PoolResumed,
    ReleasedItem,
    SubsidyHeld,
    SubsidyInstructed,
    SubsidyReleased,
)


class QueueItem(Shape):
    """One item of the payout queue; ``held_fen`` and ``reason`` are what was announced of it last."""

    item: PayoutItem
    remaining_fen: int
    held_fen: int = 0
    reason: HoldReason | None = None
    returned: bool = False

    @property
    def place(self) -> tuple[ItemKind, str]:
        """What tells it apart."""
        return self.item.kind, self.item.number


Queue = tuple[QueueItem, ...]


def queue_after(queue: Queue, event: PoolEvent) -> Queue:
    """The queue after an event."""
    match event:
        case PayoutNoticeIssued():
            return (*_with_returns_free(queue), *_joining(*(compensation_of(item) for item in event.items)))
        case SubsidyReleased():
            return (*queue, *_joining(subsidy_of(event)))
        case FeeReleased() if event.amount:
            return (*queue, *_joining(fee_of(event)))
        case CompensationInstructed():
            return _paid(queue, ("compensation", event.loan_no), event.amount)
        case SubsidyInstructed():
            return _paid(queue, ("subsidy", event.policy_no), event.amount)
        case FeeInstructed():
            return _paid(queue, ("fee", str(event.year)), event.amount)
        case CompensationHeld():
            return _marked(queue, ("compensation", event.loan_no), event.amount, event.reason)
        case SubsidyHeld():
            return _marked(queue, ("subsidy", event.policy_no), event.amount, event.reason)
        case FeeHeld():
            return _marked(queue, ("fee", str(event.year)), event.amount, event.reason)
        case DisbursementReturned(item=PayoutItem() as item):
            return _returned(queue, item, event.amount)
        case PoolResumed():
            return tuple(_without_line(queued) for queued in _with_returns_free(queue))
    return queue


def compensation_of(item: ReleasedItem) -> PayoutItem:
    """What a released compensation owes, and to whom."""
    return made(
        PayoutItem, kind="compensation", payee=item.payee, approved=item.amount, uscc=item.uscc, loan_no=item.loan_no,
        lender=item.lender, guarantor=item.guarantor, guarantor_share=item.guarantor_share,
        recommender=item.recommender, verified_principal=item.verified_principal, ratio=item.ratio,
    )


def subsidy_of(event: SubsidyReleased) -> PayoutItem:
    """What a released subsidy owes: to the enterprise itself (pool.subsidy, 二(五)3)."""
    return made(
        PayoutItem, kind="subsidy", payee=event.uscc, approved=event.amount, uscc=event.uscc, loan_no=event.loan_no,
        policy_no=event.policy_no,
    )


def fee_of(event: FeeReleased) -> PayoutItem:
    """What a released fee owes: to the custodian that earned the year's income (pool.fee, 二(二)2)."""
    return made(PayoutItem, kind="fee", payee=event.payee, approved=event.amount, year=event.year)


def _joining(*items: PayoutItem) -> Queue:
    return tuple(made(QueueItem, item=item, remaining_fen=item.approved) for item in items if item.approved)


def _each(queue: Queue, place: tuple[ItemKind, str], change: Callable[[QueueItem], QueueItem]) -> Queue:
    return tuple(change(queued) if queued.place == place else queued for queued in queue)


def _paid(queue: Queue, place: tuple[ItemKind, str], amount_fen: int) -> Queue:
    after = _each(queue, place, lambda q: q.but(remaining_fen=q.remaining_fen - amount_fen))
    return tuple(queued for queued in after if queued.remaining_fen)


def _marked(queue: Queue, place: tuple[ItemKind, str], amount_fen: int, reason: HoldReason) -> Queue:
    return _each(queue, place, lambda q: q.but(held_fen=amount_fen, reason=reason))


def _returned(queue: Queue, item: PayoutItem, amount_fen: int) -> Queue:
    """The returned amount at the head, with what of the same item still waited: it would come back all the same."""
    head = made(QueueItem, item=item, remaining_fen=amount_fen, returned=True)
    waiting_fen = sum(queued.remaining_fen for queued in queue if queued.place == head.place)
    head = head.but(remaining_fen=amount_fen + waiting_fen)
    return (head, *(queued for queued in queue if queued.place != head.place))


def _with_returns_free(queue: Queue) -> Queue:
    return tuple(queued.but(returned=False) if queued.returned else queued for queued in queue)


def _without_line(queued: QueueItem) -> QueueItem:
    return queued.but(reason=None) if queued.reason == "line" else queued
