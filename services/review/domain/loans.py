"""The covered loan and its claim: what the review service knows of them, folded from its own events."""

from typing import Literal

from pydantic import Field

from shared.contracts.base import Day, Event, Product, Rate, Shape
from shared.contracts.review import (
    ClaimAccepted,
    ClaimBatchOpened,
    ClaimRejected,
    ClaimRevoteOpened,
    ClaimVerified,
    ClaimVoteCast,
    CompensationApproved,
    LoanCompensated,
    LoanCovered,
    LoanEvent,
    LoanRecovered,
    LoanUncovered,
    PrincipalRepaid,
    SubsidyApplied,
    SubsidyApproved,
    SubsidyRefused,
    VerifiedPrincipalSet,
)

LoanStatus = Literal["covered", "repaid", "claimed", "verified", "approved", "compensated", "rejected", "closed"]


class Claim(Shape):
    """A claim on a loan and its verification; ``votes`` and ``comments`` are those of the current round."""

    claimant: str
    classified: str
    classified_on: Day | None = None
    claimed_fen: int
    base_fen: int
    accepted_on: Day
    accepted_at: str
    half: str | None = None
    set_fen: int | None = None
    round: int = 1
    votes: dict[str, str] = Field(default_factory=dict)
    comments: dict[str, str] = Field(default_factory=dict)
    verified_fen: int | None = None

    @property
    def vote_begun(self) -> bool:
        """Whether a seat has voted on it, in this round or an earlier one."""
        return bool(self.votes) or self.round > 1

    @property
    def principal_fen(self) -> int:
        """The principal the seats vote on: the lower one that DRC set, else the base."""
        return self.base_fen if self.set_fen is None else min(self.set_fen, self.base_fen)

    def at_most(self, outstanding_fen: int) -> "Claim":
        """The claim after a repayment: nobody receives more than its own loss (claim.amount)."""
        verified = None if self.verified_fen is None else min(self.verified_fen, outstanding_fen)
        return self.model_copy(update={"base_fen": min(self.base_fen, outstanding_fen), "verified_fen": verified})


class Loan(Shape):
    """A loan the fund covers, addressed by its ``loan_no``; money in fen."""

    loan_no: str
    uscc: str
    status: LoanStatus = "covered"
    lender: str
    product: Product
    guarantor: str | None = None
    insurer: str | None = None
    payee: str | None = None
    guarantor_share: Rate | None = None
    recommender: str
    seats: tuple[str, ...]
    ratio: Rate
    principal_fen: int
    outstanding_fen: int
    disbursed_on: Day
    matures_on: Day
    uncovered: bool = False
    claim: Claim | None = None
    approved_fen: int = 0
    paid_fen: int = 0
    returned_fen: int = 0

    @property
    def repaid_fen(self) -> int:
        """Principal repaid so far."""
        return self.principal_fen - self.outstanding_fen

    @property
    def half(self) -> str:
        """The half-year whose batch holds its claim, or empty."""
        return (self.claim and self.claim.half) or ""

    def belongs_to(self, institution: str) -> bool:
        """Whether the institution lent it or would be, or was, paid for it (claim.statement)."""
        return institution in (self.lender, self.payee)


def loan_keys(event: Event) -> tuple[str, ...]:
    """The loans that an event is about."""
    if isinstance(event, CompensationApproved):
        return tuple(item.loan_no for item in event.items)
    if isinstance(event, ClaimBatchOpened):
        return event.loan_nos
    if isinstance(event, (SubsidyApplied, SubsidyApproved, SubsidyRefused)):
        return ()
    return (event.loan_no,) if isinstance(event, LoanEvent) else ()


def evolve_loan(loan: Loan | None, event: Event) -> Loan | None:
    """The loan after an event; none before it is covered."""
    if isinstance(event, LoanCovered):
        return _covered(event)
    if loan is None:
        return None
    match event:
        case PrincipalRepaid():
            claim = loan.claim and loan.claim.at_most(event.outstanding)
            status = loan.status if event.outstanding else "repaid"
            return loan.model_copy(update={"outstanding_fen": event.outstanding, "claim": claim, "status": status})
        case LoanUncovered():
            status = "closed" if loan.claim is None else "rejected"
            return loan.model_copy(update={"uncovered": True, "status": status})
        case ClaimAccepted():
            return loan.model_copy(update={"status": "claimed", "claim": _claimed(event)})
        case CompensationApproved():
            return _approved(loan, event)
        case LoanCompensated():
            return _settled(loan, loan.paid_fen + event.amount, loan.returned_fen)
        case LoanRecovered():
            return _settled(loan, loan.paid_fen, max(loan.returned_fen, event.returned))
        case _:
            return loan if loan.claim is None else _verify(loan, loan.claim, event)


def _verify(loan: Loan, claim: Claim, event: Event) -> Loan:
    match event:
        case ClaimBatchOpened():
            return loan.model_copy(update={"claim": claim.model_copy(update={"half": event.half})})
        case VerifiedPrincipalSet():
            return loan.model_copy(update={"claim": claim.model_copy(update={"set_fen": event.amount})})
        case ClaimVoteCast():
            comments = claim.comments | ({event.seat: event.comment} if event.comment else {})
            voted = {"votes": claim.votes | {event.seat: event.opinion}, "comments": comments}
            return loan.model_copy(update={"claim": claim.model_copy(update=voted)})
        case ClaimRevoteOpened():
            again = claim.model_copy(update={"round": claim.round + 1, "votes": {}, "comments": {}})
            return loan.model_copy(update={"claim": again})
        case ClaimVerified():
            verified = claim.model_copy(update={"verified_fen": event.verified_principal})
            return loan.model_copy(update={"status": "verified", "claim": verified})
        case ClaimRejected():
            return loan.model_copy(update={"status": "rejected"})
        case _:
            return loan


def _covered(event: LoanCovered) -> Loan:
    return Loan(
        loan_no=event.loan_no,
        uscc=event.uscc,
        lender=event.lender,
        product=event.product,
        guarantor=event.guarantor,
        insurer=event.insurer,
        payee=event.payee,
        guarantor_share=event.guarantor_share,
        recommender=event.recommender,
        seats=event.seats,
        ratio=event.ratio,
        principal_fen=event.principal,
        outstanding_fen=event.principal,
        disbursed_on=event.disbursed_on,
        matures_on=event.matures_on,
    )


def _claimed(event: ClaimAccepted) -> Claim:
    return Claim(
        claimant=event.claimant,
        classified=event.classified,
        classified_on=event.classified_on,
        claimed_fen=event.claimed,
        base_fen=event.base,
        accepted_on=event.accepted_on,
        accepted_at=event.accepted_at,
    )


def _approved(loan: Loan, event: CompensationApproved) -> Loan:
    amount = next(item.amount for item in event.items if item.loan_no == loan.loan_no)
    return loan.model_copy(update={"approved_fen": amount, "status": "approved" if amount else "closed"})


def _settled(loan: Loan, paid_fen: int, returned_fen: int) -> Loan:
    """Settlements and closings come from two services in either order: closed is when all that was paid is back."""
    status = loan.status
    if paid_fen:
        status = "closed" if returned_fen >= paid_fen else "compensated"
    return loan.model_copy(update={"paid_fen": paid_fen, "returned_fen": returned_fen, "status": status})
