"""The recovery of one compensated loan: paid, collected, shared, remitted, written off — folded from its own events."""

from datetime import date
from typing import Literal

from shared.contracts.base import Day, Event, Shape
from shared.contracts.recovery import (
    ClawbackDemanded,
    ClawbackReturned,
    CompensationCredited,
    RecoveryClosed,
    RecoveryEvent,
    RecoveryOpened,
    RecoveryRemitted,
    RecoveryShared,
    RemittanceOverdue,
    WriteOffApproval,
    WriteOffApproved,
    WriteOffRefused,
    WriteOffRequested,
)


class Due(Shape):
    """A share of the pool not yet remitted in full; ``through_fen`` is the sum of all shares up to this one."""

    share_no: int
    amount_fen: int
    through_fen: int
    due_on: Day
    flagged: bool = False

    def open_fen(self, covered_fen: int) -> int:
        """What of this share is not covered when money covers the oldest share first."""
        return max(0, min(self.amount_fen, self.through_fen - covered_fen))


class Proposal(Shape):
    """A write-off that waits for its two approvals."""

    ground: str
    ruling_no: str
    ruled_on: Day
    by: str
    approved_by: tuple[str, ...] = ()


class Recovery(Shape):
    """A compensated loan; money in fen.

    ``segment_*`` count since the last payment: the paid ratio stays within it, so shares follow the cumulative sum.
    """

    loan_no: str
    uscc: str
    status: Literal["open", "closed"] = "open"
    payee: str
    lender: str
    guarantor: str | None = None
    verified_fen: int
    opened_on: Day
    disbursement_ids: tuple[str, ...] = ()
    paid_fen: int = 0
    collected_fen: int = 0
    pool_share_fen: int = 0
    institution_share_fen: int = 0
    segment_base_fen: int = 0
    segment_share_fen: int = 0
    shares: int = 0
    dues: tuple[Due, ...] = ()
    next_due_on: Day | None = None
    remitted_fen: int = 0
    returned_fen: int = 0
    demanded_fen: int = 0
    proposal: Proposal | None = None
    written_off_fen: int = 0

    @property
    def outstanding_fen(self) -> int:
        """What of the compensation has not come back to the pool."""
        return max(0, self.paid_fen - self.remitted_fen - self.returned_fen)

    @property
    def covered_fen(self) -> int:
        """How far the shares are covered: by remittances, or because a clawback left less to return than they say."""
        return max(self.remitted_fen, self.pool_share_fen - self.outstanding_fen)

    @property
    def net_loss_fen(self) -> int:
        """What of the compensation neither a recovery's share nor a clawback covers."""
        return max(0, self.paid_fen - self.pool_share_fen - self.returned_fen)

    def is_party(self, institution: str) -> bool:
        """Whether an institution is payee, lender or guarantor of the loan."""
        return institution in (self.payee, self.lender, self.guarantor)

    def overdue_on(self, day: date) -> tuple[Due, ...]:
        """The shares past their due date, not covered and not flagged yet."""
        late = (due for due in self.dues if due.due_on < day and not due.flagged)
        return tuple(due for due in late if due.open_fen(self.covered_fen))


def recovery_keys(event: Event) -> tuple[str, ...]:
    """The loan that an event changes."""
    return (event.loan_no,) if isinstance(event, RecoveryEvent) else ()


def evolve_recovery(state: Recovery | None, event: Event) -> Recovery | None:
    """The recovery after one of the service's own events."""
    if isinstance(event, RecoveryOpened):
        return Recovery(
            loan_no=event.loan_no, uscc=event.uscc, payee=event.payee, lender=event.lender, guarantor=event.guarantor,
            verified_fen=event.verified_principal, opened_on=event.opened_on,
        )
    return state and _with_next_due(state.model_copy(update=_changes(state, event)))


def _changes(state: Recovery, event: Event) -> dict[str, object]:
    match event:
        case CompensationCredited():
            return {"paid_fen": event.paid, "disbursement_ids": (*state.disbursement_ids, event.disbursement_id),
                    "status": "open", "segment_base_fen": 0, "segment_share_fen": 0}
        case RecoveryShared():
            return _shared(state, event)
        case RecoveryRemitted():
            dues = tuple(due for due in state.dues if due.through_fen > event.remitted)
            demanded_fen = max(0, state.demanded_fen - event.amount)
            return {"remitted_fen": event.remitted, "dues": dues, "demanded_fen": demanded_fen}
        case RemittanceOverdue():
            return {"dues": tuple(_flagged(due) if due.share_no == event.share_no else due for due in state.dues)}
        case ClawbackDemanded():
            return {"demanded_fen": state.demanded_fen + event.amount}
        case ClawbackReturned():
            return {"returned_fen": event.returned, "demanded_fen": max(0, state.demanded_fen - event.amount)}
        case RecoveryClosed():
            return {"status": "closed"}
        case _:
            return _written_off(state, event)


def _shared(state: Recovery, event: RecoveryShared) -> dict[str, object]:
    pool_share_fen = state.pool_share_fen + event.pool_share
    due = Due(share_no=state.shares + 1, amount_fen=event.pool_share, through_fen=pool_share_fen, due_on=event.due_on)
    return {
        "collected_fen": state.collected_fen + event.amount,
        "pool_share_fen": pool_share_fen,
        "institution_share_fen": state.institution_share_fen + event.institution_share,
        "segment_base_fen": state.segment_base_fen + event.base,
        "segment_share_fen": state.segment_share_fen + event.pool_share,
        "shares": state.shares + 1,
        "dues": (*state.dues, due) if due.open_fen(state.remitted_fen) else state.dues,
    }


def _written_off(state: Recovery, event: Event) -> dict[str, object]:
    match event:
        case WriteOffRequested():
            proposal = Proposal(ground=event.ground, ruling_no=event.ruling_no, ruled_on=event.ruled_on, by=event.by)
            return {"proposal": proposal}
        case WriteOffApproval() if state.proposal:
            approved_by = (*state.proposal.approved_by, event.by)
            return {"proposal": state.proposal.model_copy(update={"approved_by": approved_by})}
        case WriteOffApproved():
            return {"written_off_fen": state.written_off_fen + event.amount, "proposal": None}
        case WriteOffRefused():
            return {"proposal": None}
    return {}


def _flagged(due: Due) -> Due:
    return due.model_copy(update={"flagged": True})


def _with_next_due(state: Recovery) -> Recovery:
    days = [due.due_on for due in state.dues if not due.flagged and due.open_fen(state.covered_fen)]
    return state.model_copy(update={"next_due_on": min(days, default=None)})
