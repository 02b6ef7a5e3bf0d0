"""Loans: cover, repayments and claims as review says them."""

from typing import Any

from services.gateway.projections.tables import loans, reports
from services.gateway.projections.writing import Projected
from shared.contracts import review
from shared.contracts.base import Event


async def _claim(at: Projected, loan_no: str, status: str | None, claim: dict[str, Any]) -> None:
    values = {"claim_status": status} if status else {}
    await at.upsert(loans, {"loan_no": loan_no}, values, merge={"claim": claim})


def _figures(event: Event, *names: str) -> dict[str, Any]:
    return event.model_dump(mode="json", include=set(names))


async def covered(at: Projected, event: review.LoanCovered) -> None:
    """A disbursed loan is covered."""
    await at.upsert(
        loans,
        {"loan_no": event.loan_no},
        {
            "uscc": event.uscc,
            "lender": event.lender,
            "payee": event.payee,
            "guarantor": event.guarantor,
            "insurer": event.insurer,
            "guarantor_share": event.guarantor_share,
            "recommender": event.recommender,
            "product": event.product,
            "principal_fen": event.principal,
            "ratio": event.ratio,
            "annual_rate": event.annual_rate,
            "disbursed_on": event.disbursed_on,
            "matures_on": event.matures_on,
        },
    )


async def repaid(at: Projected, event: review.PrincipalRepaid) -> None:
    """Principal was repaid."""
    await at.upsert(loans, {"loan_no": event.loan_no}, {"uscc": event.uscc}, add={"repaid_fen": event.amount})


async def uncovered(at: Projected, event: review.LoanUncovered) -> None:
    """A sanction took the cover away."""
    await at.upsert(loans, {"loan_no": event.loan_no}, {"uncovered": True})


async def claim_accepted(at: Projected, event: review.ClaimAccepted) -> None:
    """A claim was accepted."""
    names = ("claimant", "payee", "classified", "claimed", "base", "accepted_on", "accepted_at")
    await _claim(at, event.loan_no, "claimed", _figures(event, *names))


async def batch_opened(at: Projected, event: review.ClaimBatchOpened) -> None:
    """The half-year's claims are verified together; a batch without a claim is thereby done (batch.half_year)."""
    for loan_no in event.loan_nos:
        await _claim(at, loan_no, None, {"half": event.half})
    if not event.loan_nos:
        await batch_done(at, event.half)


async def batch_submitted(at: Projected, event: review.ClaimBatchSubmitted) -> None:
    """The verification of the half-year is done."""
    await batch_done(at, event.half)


async def batch_done(at: Projected, half: str) -> None:
    """Book the half-year verification as done on the event's date, the first time only."""
    await at.insert(
        reports, [{"kind": "verification_half_year", "period": half, "organisation": "drc", "done_on": at.day}]
    )


async def principal_set(at: Projected, event: review.VerifiedPrincipalSet) -> None:
    """DRC set a lower verified principal."""
    figures = {"verified_principal": _figures(event, "amount")["amount"], "verified_principal_reason": event.reason}
    await _claim(at, event.loan_no, None, figures)


async def claim_verified(at: Projected, event: review.ClaimVerified) -> None:
    """The rating seats approved the claim."""
    await _claim(at, event.loan_no, "verified", _figures(event, "half", "verified_principal", "decided_by"))


async def claim_rejected(at: Projected, event: review.ClaimRejected) -> None:
    """The rating seats or the district government rejected the claim."""
    await _claim(at, event.loan_no, "rejected", {"reasons": list(event.reasons), "rejected_by": event.by})


async def compensation_approved(at: Projected, event: review.CompensationApproved) -> None:
    """The district government consented item by item."""
    for item in event.items:
        claim = {
            "half": event.half,
            "consented_on": event.consented_on.isoformat(),
            "document_no": event.document_no,
            **item.model_dump(mode="json", include={"verified_principal", "reduction"}),
        }
        await at.upsert(
            loans,
            {"loan_no": item.loan_no},
            {"claim_status": "approved", "approved_fen": item.amount},
            merge={"claim": claim},
        )
    for excluded in event.excluded:
        await _claim(at, excluded.loan_no, "rejected", {"reasons": [excluded.reason], "rejected_by": "government"})
