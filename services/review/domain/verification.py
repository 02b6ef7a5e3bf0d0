"""The rating seats verify a claim: the lower principal that DRC may set, votes, majority, tie (batch.vote)."""

from collections import Counter
from typing import Literal

from services.review.domain.batches import Batch
from services.review.domain.loans import Claim, Loan
from services.review.policy import ReviewPolicy
from shared.contracts.base import Event, Why
from shared.contracts.commands import SetVerifiedPrincipal, VerifyClaim
from shared.contracts.review import ClaimRejected, ClaimRevoteOpened, ClaimVerified, ClaimVoteCast, VerifiedPrincipalSet
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan


def decide_verified_principal(
    loan: Loan | None, batch: Batch | None, command: SetVerifiedPrincipal, policy: ReviewPolicy
) -> Decision:
    """DRC sets a lower verified principal before the first vote on the claim (batch.vote, 三(六))."""
    if loan is None:
        return Refusal("unknown", "loan", {"loan_no": command.loan_no})
    claim = _under_verification(loan, batch)
    if isinstance(claim, Refusal):
        return claim
    figures = {"loan_no": loan.loan_no, "amount": format_yuan(command.amount), "base": format_yuan(claim.base_fen)}
    if claim.vote_begun:
        return Refusal("batch.vote", "begun", figures)
    if command.amount > claim.base_fen:
        return Refusal("batch.vote", "above_base", figures)
    why = policy.why("batch.vote", **figures)
    event = VerifiedPrincipalSet(
        uscc=loan.uscc, loan_no=loan.loan_no, amount=command.amount, reason=command.reason, why=why
    )
    return Accepted((event,), {"verified_principal": format_yuan(command.amount)})


def decide_verification(
    loan: Loan | None, batch: Batch | None, seat: str, command: VerifyClaim, policy: ReviewPolicy
) -> Decision:
    """A seat that rated the enterprise approves or rejects its claim; the last vote decides (batch.vote, 三(六))."""
    if loan is None:
        return Refusal("unknown", "loan", {"loan_no": command.loan_no})
    if seat not in loan.seats:
        return Refusal("permission", "claim_seat", {"loan_no": loan.loan_no, "seats": ", ".join(loan.seats)})
    claim = _under_verification(loan, batch)
    if isinstance(claim, Refusal):
        return claim
    if seat in claim.votes:
        return Refusal("batch.vote", "voted", {"loan_no": loan.loan_no, "seat": seat})
    if command.opinion == "reject" and not (command.comment or "").strip():
        return Refusal("batch.vote", "reason", {"loan_no": loan.loan_no})
    votes = claim.votes | {seat: command.opinion}
    why = policy.why("batch.vote", round=str(claim.round), voted=str(len(votes)), seats=str(len(loan.seats)))
    cast = ClaimVoteCast(
        uscc=loan.uscc, loan_no=loan.loan_no, seat=seat, opinion=command.opinion, comment=command.comment, why=why
    )
    comments = claim.comments | ({seat: command.comment} if command.comment else {})
    voted = claim.model_copy(update={"votes": votes, "comments": comments})
    return Accepted((cast, *_outcome(loan, voted, policy)), {"voted": len(votes), "seats": len(loan.seats)})


def _under_verification(loan: Loan, batch: Batch | None) -> Claim | Refusal:
    figures = {"loan_no": loan.loan_no, "status": loan.status, "half": loan.half}
    if loan.claim is None or batch is None:
        return Refusal("batch.vote", "not_in_batch", figures)
    if loan.status != "claimed":
        return Refusal("batch.vote", "decided", figures)
    if batch.status != "open":
        return Refusal("batch.vote", "closed", figures)
    return loan.claim


def _outcome(loan: Loan, claim: Claim, policy: ReviewPolicy) -> tuple[Event, ...]:
    """What follows when every seat has voted: the majority; else one more vote; else DRC's own opinion (panel.tie)."""
    if any(seat not in claim.votes for seat in loan.seats):
        return ()
    count = Counter(claim.votes.values())
    tally = {"approve": str(count["approve"]), "reject": str(count["reject"]), "seats": str(len(loan.seats))}
    opinion = next((each for each, votes in count.items() if votes * 2 > len(loan.seats)), None)
    if opinion is not None:
        return (_decided(loan, claim, opinion, "majority", policy.why("batch.vote", **tally)),)
    why = policy.why("panel.tie", round=str(claim.round), **tally)
    if claim.round == 1:
        return (ClaimRevoteOpened(uscc=loan.uscc, loan_no=loan.loan_no, why=why),)
    lead = next((each.id for each in policy.organisations.values() if each.kind == "drc"), "")
    return (_decided(loan, claim, claim.votes.get(lead, "reject"), "lead", why),)


def _decided(loan: Loan, claim: Claim, opinion: str, decided_by: Literal["majority", "lead"], why: Why) -> Event:
    if opinion == "approve":
        return ClaimVerified(
            uscc=loan.uscc,
            loan_no=loan.loan_no,
            half=loan.half,
            verified_principal=claim.principal_fen,
            ratio=loan.ratio,
            decided_by=decided_by,
            why=why,
        )
    rejecting = [seat for seat in loan.seats if claim.votes[seat] == "reject"]
    reasons = tuple(f"{seat}: {claim.comments[seat]}" for seat in rejecting if seat in claim.comments)
    return ClaimRejected(uscc=loan.uscc, loan_no=loan.loan_no, reasons=reasons, by="panel", why=why)
