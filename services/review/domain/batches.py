"""The half-year's verification batch: opening, submitting, the district government's consent (scheme.md section 4)."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from services.review.domain.loans import Loan
from services.review.policy import ReviewPolicy
from shared.calendar import half_end, half_of
from shared.contracts.base import Day, Event, Shape
from shared.contracts.commands import ConsentClaimBatch
from shared.contracts.review import (
    ClaimBatchOpened,
    ClaimBatchRefused,
    ClaimBatchSubmitted,
    ClaimRejected,
    CompensationApproved,
    CompensationItem,
)
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan, multiply


class Batch(Shape):
    """A half-year's batch; ``submitted`` are the verified claims that lie before the district government."""

    half: str
    status: Literal["open", "submitted", "refused", "consented"] = "open"
    loan_nos: tuple[str, ...]
    submitted: tuple[str, ...] = ()
    opened_on: Day
    consented_on: Day | None = None


def batch_keys(event: Event) -> tuple[str, ...]:
    """The batch that an event is about."""
    about = (ClaimBatchOpened, ClaimBatchSubmitted, CompensationApproved, ClaimBatchRefused)
    return (event.half,) if isinstance(event, about) else ()


def evolve_batch(batch: Batch | None, event: Event) -> Batch | None:
    """The batch after an event; none before it is opened."""
    if isinstance(event, ClaimBatchOpened):
        return Batch(half=event.half, loan_nos=event.loan_nos, opened_on=event.opened_on)
    if batch is None:
        return None
    match event:
        case ClaimBatchSubmitted():
            return batch.model_copy(update={"status": "submitted", "submitted": event.loan_nos})
        case ClaimBatchRefused():
            return batch.model_copy(update={"status": "refused"})
        case CompensationApproved():
            return batch.model_copy(update={"status": "consented", "consented_on": event.consented_on})
        case _:
            return batch


def decide_opening(
    batch: Batch | None, half: str, claimed: Sequence[Loan], today: date, policy: ReviewPolicy
) -> Decision:
    """Open a half-year's batch once, after its cut-off, over every claim accepted by then (batch.half_year, 三(六)).

    ``claimed`` are the loans with a claim that is not yet decided; those already in a batch stay there.
    """
    if batch is not None:
        return Refusal("batch.half_year", "opened", {"half": half, "opened_on": batch.opened_on.isoformat()})
    if half >= half_of(today):
        return Refusal("batch.half_year", "", {"half": half, "cut_off": half_end(half).isoformat()})
    held = [loan for loan in _by_acceptance(claimed) if not loan.half and _accepted_by(loan, half)]
    if not held:
        return Refusal("batch.half_year", "empty", {"half": half})
    why = policy.why("batch.half_year", half=half, cut_off=half_end(half).isoformat(), claims=str(len(held)))
    loan_nos = tuple(loan.loan_no for loan in held)
    return Accepted((ClaimBatchOpened(half=half, loan_nos=loan_nos, opened_on=today, why=why),), {"claims": len(held)})


def decide_submission(batch: Batch | None, half: str, loans: Sequence[Loan], policy: ReviewPolicy) -> Decision:
    """Submit a batch when every claim in it is decided and one is verified; again only after a refusal (batch.vote)."""
    if batch is None:
        return Refusal("unknown", "batch", {"half": half})
    if batch.status in ("submitted", "consented"):
        return Refusal("batch.vote", batch.status, {"half": half})
    undecided = [loan.loan_no for loan in loans if loan.status == "claimed"]
    if undecided:
        return Refusal("batch.vote", "undecided", {"half": half, "loan_nos": ", ".join(undecided)})
    verified = tuple(loan.loan_no for loan in _by_acceptance(loans) if loan.status == "verified")
    if not verified:
        return Refusal("batch.vote", "none_verified", {"half": half})
    why = policy.why("batch.consent", half=half, claims=str(len(loans)), verified=str(len(verified)))
    return Accepted((ClaimBatchSubmitted(half=half, loan_nos=verified, why=why),), {"verified": len(verified)})


def decide_consent(
    batch: Batch | None,
    loans: Sequence[Loan],
    reductions: Mapping[str, Decimal],
    command: ConsentClaimBatch,
    today: date,
    policy: ReviewPolicy,
) -> Decision:
    """The district government consents item by item, or refuses the batch (batch.consent, 三(六)).

    ``loans`` are the batch's; ``reductions`` are the sanctions in force by payee (compensation.amount).
    """
    if batch is None:
        return Refusal("unknown", "batch", {"half": command.half})
    if batch.status != "submitted":
        return Refusal("batch.consent", "", {"half": batch.half, "status": batch.status})
    excluded = {each.loan_no: each.reason for each in command.excluded}
    strangers = [loan_no for loan_no in excluded if loan_no not in batch.submitted]
    if strangers:
        return Refusal("batch.consent", "not_in_batch", {"half": batch.half, "loan_nos": ", ".join(strangers)})
    why = policy.why("batch.consent", half=batch.half, document_no=command.document_no, excluded=str(len(excluded)))
    if command.decision == "refuse":
        refused = ClaimBatchRefused(
            half=batch.half, document_no=command.document_no, excluded=command.excluded, why=why
        )
        return Accepted((refused,))
    verified = [loan for loan in _by_acceptance(loans) if loan.status == "verified"]
    items = tuple(_item(loan, reductions) for loan in verified if loan.loan_no not in excluded)
    total = format_yuan(sum(item.amount for item in items))
    approved = CompensationApproved(
        half=batch.half,
        consented_on=today,
        document_no=command.document_no,
        items=items,
        excluded=command.excluded,
        why=policy.why("compensation.amount", half=batch.half, items=str(len(items)), total=total),
    )
    rejected = tuple(
        ClaimRejected(
            uscc=loan.uscc, loan_no=loan.loan_no, reasons=(excluded[loan.loan_no],), by="government", why=why
        )
        for loan in verified
        if loan.loan_no in excluded
    )
    return Accepted((approved, *rejected), {"items": len(items), "total": total})


def _item(loan: Loan, reductions: Mapping[str, Decimal]) -> CompensationItem:
    """compensation.amount: verified principal × ratio × (1 − the payee's reduction), half-up to the fen."""
    if loan.payee is None or loan.claim is None or loan.claim.verified_fen is None:
        raise ValueError(f"loan {loan.loan_no} is verified without a payee or a principal")
    reduction = reductions.get(loan.payee, Decimal(0))
    return CompensationItem(
        loan_no=loan.loan_no,
        uscc=loan.uscc,
        payee=loan.payee,
        lender=loan.lender,
        guarantor=loan.guarantor,
        guarantor_share=loan.guarantor_share,
        recommender=loan.recommender,
        verified_principal=loan.claim.verified_fen,
        ratio=loan.ratio,
        reduction=reduction,
        amount=multiply(loan.claim.verified_fen, loan.ratio, 1 - reduction),
    )


def _accepted_by(loan: Loan, half: str) -> bool:
    return loan.claim is not None and half_of(loan.claim.accepted_on) <= half


def _by_acceptance(loans: Sequence[Loan]) -> list[Loan]:
    """The order of payout.order inside one consent: acceptance time, then loan number."""
    claimed = [(loan, datetime.fromisoformat(loan.claim.accepted_at)) for loan in loans if loan.claim]
    return [loan for loan, _ in sorted(claimed, key=lambda pair: (pair[1], pair[0].loan_no))]
