"""The rating seats verify a claim (scheme.md section 4, batch.vote)."""

from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.review.domain.loans import Loan
from services.review.domain.verification import decide_verification, decide_verified_principal
from shared.contracts.commands import SetVerifiedPrincipal, VerifyClaim
from shared.contracts.review import ClaimRejected, ClaimVerified
from shared.decisions import Accepted, Decision
from shared.money import parse_yuan
from tests.review.loan_stories import (
    POLICY,
    SEATS,
    accepted,
    claimed,
    in_batch,
    names,
    open_batch,
    refused,
    then,
    verified,
)

Opinion = Literal["approve", "reject"]


def vote(loan: Loan | None, seat: str, opinion: Opinion, comment: str | None = None) -> Decision:
    command = VerifyClaim(loan_no="A-0001", opinion=opinion, comment=comment)
    return decide_verification(loan, open_batch(), seat, command, POLICY)


def ballot(loan: Loan, *opinions: Opinion) -> tuple[Loan, Decision]:
    """The loan after each seat has voted, and the last decision."""
    decision: Decision = Accepted()
    for seat, opinion in zip(loan.seats, opinions, strict=True):
        decision = vote(loan, seat, opinion, "资料不实" if opinion == "reject" else None)
        loan = then(loan, decision)
    return loan, decision


def test_drc_sets_a_lower_principal_and_it_is_verified() -> None:
    loan = in_batch(claimed())
    command = SetVerifiedPrincipal(loan_no="A-0001", amount=parse_yuan("1500000.00"), reason="扣除保证金")
    lowered = then(loan, decide_verified_principal(loan, open_batch(), command, POLICY))
    _, decision = ballot(lowered, "approve", "approve", "approve", "approve")
    event = accepted(decision)[-1]
    assert isinstance(event, ClaimVerified) and event.verified_principal == 150_000_000


@pytest.mark.parametrize(("yuan", "taken"), [("2000000.00", True), ("2000000.01", False)])
def test_the_principal_is_only_lowered(yuan: str, taken: bool) -> None:
    command = SetVerifiedPrincipal(loan_no="A-0001", amount=parse_yuan(yuan), reason="核减")
    decision = decide_verified_principal(in_batch(claimed()), open_batch(), command, POLICY)
    assert isinstance(decision, Accepted) if taken else refused(decision) == "batch.vote/above_base"


def test_the_principal_is_set_before_the_first_vote() -> None:
    command = SetVerifiedPrincipal(loan_no="A-0001", amount=1, reason="核减")
    loan = in_batch(claimed())
    voted = then(loan, vote(loan, "drc", "approve"))
    assert refused(decide_verified_principal(voted, open_batch(), command, POLICY)) == "batch.vote/begun"
    again, _ = ballot(loan, "approve", "approve", "reject", "reject")
    assert refused(decide_verified_principal(again, open_batch(), command, POLICY)) == "batch.vote/begun"


def test_the_principal_is_set_in_an_open_batch_only() -> None:
    command = SetVerifiedPrincipal(loan_no="A-0001", amount=1, reason="核减")
    assert refused(decide_verified_principal(claimed(), None, command, POLICY)) == "batch.vote/not_in_batch"
    assert refused(decide_verified_principal(None, None, command, POLICY)) == "unknown/loan"
    assert refused(decide_verified_principal(verified(), open_batch(), command, POLICY)) == "batch.vote/decided"


def test_a_claim_is_verified_when_every_seat_has_voted_and_most_approve() -> None:
    loan, decision = ballot(in_batch(claimed()), "approve", "reject", "approve", "approve")
    assert names(decision) == ["ClaimVoteCast", "ClaimVerified"]
    event = accepted(decision)[-1]
    assert isinstance(event, ClaimVerified) and event.why is not None
    assert (event.half, event.verified_principal, event.ratio, event.decided_by) == (
        "2026H1", 200_000_000, Decimal("0.50"), "majority",
    )
    assert event.why.figures == {"approve": "3", "reject": "1", "seats": "4"}
    assert loan.status == "verified"


def test_nothing_is_decided_before_the_last_vote() -> None:
    loan = in_batch(claimed())
    for seat in SEATS[:3]:
        decision = vote(loan, seat, "approve")
        assert names(decision) == ["ClaimVoteCast"]
        loan = then(loan, decision)
    assert loan.status == "claimed"


def test_a_claim_that_most_reject_is_rejected_with_their_reasons() -> None:
    loan, decision = ballot(in_batch(claimed()), "reject", "reject", "approve", "reject")
    event = accepted(decision)[-1]
    assert isinstance(event, ClaimRejected) and event.by == "panel"
    assert event.reasons == ("drc: 资料不实", "finance: 资料不实", "bank-a: 资料不实")
    assert loan.status == "rejected"


def test_without_a_majority_every_seat_votes_once_more() -> None:
    loan, decision = ballot(in_batch(claimed()), "approve", "approve", "reject", "reject")
    assert names(decision) == ["ClaimVoteCast", "ClaimRevoteOpened"]
    assert loan.status == "claimed" and loan.claim is not None and not loan.claim.votes
    again, decision = ballot(loan, "approve", "approve", "approve", "reject")
    assert names(decision) == ["ClaimVoteCast", "ClaimVerified"] and again.status == "verified"


@pytest.mark.parametrize(("opinion", "status"), [("approve", "verified"), ("reject", "rejected")])
def test_after_a_second_tie_drcs_own_opinion_decides(opinion: Opinion, status: str) -> None:
    loan, _ = ballot(in_batch(claimed()), "approve", "approve", "reject", "reject")
    other: Opinion = "reject" if opinion == "approve" else "approve"
    again, decision = ballot(loan, opinion, opinion, other, other)
    assert again.status == status
    event = accepted(decision)[-1]
    assert event.why is not None and event.why.rule == "panel.tie"


def test_only_the_seats_that_rated_the_enterprise_verify_its_claim() -> None:
    assert refused(vote(in_batch(claimed()), "bank-b", "approve")) == "permission/claim_seat"


def test_a_seat_votes_once() -> None:
    loan = in_batch(claimed())
    assert refused(vote(then(loan, vote(loan, "drc", "approve")), "drc", "reject", "另有意见")) == "batch.vote/voted"


@pytest.mark.parametrize("comment", [None, "", "  "])
def test_rejecting_needs_a_comment(comment: str | None) -> None:
    assert refused(vote(in_batch(claimed()), "drc", "reject", comment)) == "batch.vote/reason"


def test_only_a_claim_in_an_open_batch_is_verified() -> None:
    command = VerifyClaim(loan_no="A-0001", opinion="approve")
    assert refused(vote(None, "drc", "approve")) == "unknown/loan"
    assert refused(decide_verification(claimed(), None, "drc", command, POLICY)) == "batch.vote/not_in_batch"
    assert refused(vote(verified(), "drc", "approve")) == "batch.vote/decided"
    closed = open_batch().model_copy(update={"status": "submitted"})
    assert refused(decide_verification(in_batch(claimed()), closed, "drc", command, POLICY)) == "batch.vote/closed"


@for_all(st.lists(st.sampled_from(["approve", "reject"]), min_size=3, max_size=7))
def test_a_claim_is_approved_exactly_when_more_than_half_of_all_seats_approve(opinions: list[Opinion]) -> None:
    loan = in_batch(claimed(seats=("drc", *(f"bank-{i}" for i in range(1, len(opinions))))))
    loan, _ = ballot(loan, *opinions)
    approvals = opinions.count("approve") * 2
    expected = "verified" if approvals > len(opinions) else "rejected" if approvals < len(opinions) else "claimed"
    assert loan.status == expected
