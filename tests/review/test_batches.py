"""A batch's opening, submission and consent (scheme.md section 4, batch.* and compensation.amount)."""

from datetime import date
from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.review.domain.batches import (
    Batch,
    batch_keys,
    decide_consent,
    decide_opening,
    decide_submission,
    evolve_batch,
)
from services.review.domain.loans import Loan
from shared.contracts.base import Event
from shared.contracts.commands import ConsentClaimBatch, Exclusion
from shared.contracts.review import (
    ClaimBatchOpened,
    ClaimRejected,
    CompensationApproved,
    LoanUncovered,
    PrincipalRepaid,
)
from shared.decisions import Accepted, Decision, Refusal
from tests.review.loan_stories import (
    JULY,
    POLICY,
    USCC,
    accepted,
    claimed,
    in_batch,
    names,
    open_batch,
    refused,
    then,
    verified,
)


def rejected(loan_no: str) -> Loan:
    event = ClaimRejected(uscc=USCC, loan_no=loan_no, reasons=("资料不实",), by="panel")
    return then(in_batch(claimed(loan_no)), Accepted((event,)))


def after(batch: Batch, decision: Decision) -> Batch:
    changed: Batch | None = batch
    for event in accepted(decision):
        if batch.half in batch_keys(event):
            changed = evolve_batch(changed, event)
    assert changed is not None
    return changed


def submitted(*loans: Loan) -> Batch:
    batch = open_batch(*(loan.loan_no for loan in loans))
    return after(batch, decide_submission(batch, "2026H1", loans, POLICY))


def consent(
    batch: Batch | None,
    *loans: Loan,
    decision: Literal["consent", "refuse"] = "consent",
    without: tuple[str, ...] = (),
    reductions: dict[str, Decimal] | None = None,
) -> Decision:
    excluded = tuple(Exclusion(loan_no=loan_no, reason="暂缓") for loan_no in without)
    command = ConsentClaimBatch(half="2026H1", decision=decision, excluded=excluded, document_no="延政函〔2026〕20号")
    return decide_consent(batch, loans, reductions or {}, command, date(2026, 7, 15), POLICY)


# batch.half_year


def test_a_batch_holds_every_claim_accepted_by_the_cut_off_and_not_in_another() -> None:
    loans = [claimed("A-3", "2026-06-30"), claimed("A-1", "2026-07-01"), claimed("A-2", "2025-12-31"),
             in_batch(claimed("A-4"))]
    (event,) = accepted(decide_opening(None, "2026H1", loans, JULY, POLICY))
    assert isinstance(event, ClaimBatchOpened)
    assert event.loan_nos == ("A-2", "A-3")


def test_a_claim_knows_its_batch() -> None:
    loan = claimed()
    assert then(loan, decide_opening(None, "2026H1", [loan], JULY, POLICY)).half == "2026H1"


@pytest.mark.parametrize("today", [date(2026, 6, 1), date(2026, 6, 30)])
def test_a_batch_is_opened_only_after_its_cut_off(today: date) -> None:
    assert refused(decide_opening(None, "2026H1", [claimed()], today, POLICY)) == "batch.half_year"


def test_a_batch_of_a_later_year_is_too_early() -> None:
    assert refused(decide_opening(None, "9999H2", [claimed()], JULY, POLICY)) == "batch.half_year"


def test_a_half_year_has_one_batch() -> None:
    assert refused(decide_opening(open_batch(), "2026H1", [claimed()], JULY, POLICY)) == "batch.half_year/opened"


@pytest.mark.parametrize("half", ["2026H1", "0000H1"])
def test_an_empty_batch_is_not_opened(half: str) -> None:
    assert refused(decide_opening(None, half, [claimed(on="2026-07-01")], JULY, POLICY)) == "batch.half_year/empty"


# submission


def test_a_batch_is_submitted_with_its_verified_claims() -> None:
    loans = (verified("A-2", "2026-06-11"), verified("A-3", "2026-06-10"), rejected("A-1"))
    batch = submitted(*loans)
    assert (batch.status, batch.submitted) == ("submitted", ("A-3", "A-2"))


def test_a_batch_with_an_undecided_claim_is_not_submitted() -> None:
    batch = open_batch("A-1", "A-2")
    decision = decide_submission(batch, "2026H1", [verified("A-1"), in_batch(claimed("A-2"))], POLICY)
    assert refused(decision) == "batch.vote/undecided" and isinstance(decision, Refusal)
    assert decision.figures["loan_nos"] == "A-2"


def test_a_batch_without_a_verified_claim_is_not_submitted() -> None:
    assert refused(decide_submission(open_batch("A-1"), "2026H1", [rejected("A-1")], POLICY)) == (
        "batch.vote/none_verified"
    )


def test_a_claim_whose_loan_was_repaid_or_uncovered_meanwhile_holds_nothing_up() -> None:
    repaid = PrincipalRepaid(uscc=USCC, loan_no="A-2", amount=1, outstanding=0, repaid_on=JULY)
    uncovered = LoanUncovered(uscc=USCC, loan_no="A-3", institution="bank-a")
    loans = (
        verified("A-1"),
        then(in_batch(claimed("A-2")), Accepted((repaid,))),
        then(in_batch(claimed("A-3")), Accepted((uncovered,))),
    )
    assert [loan.status for loan in loans] == ["verified", "repaid", "rejected"]
    assert submitted(*loans).submitted == ("A-1",)


def test_a_batch_is_submitted_once_until_it_is_refused() -> None:
    batch = submitted(verified())
    assert refused(decide_submission(batch, "2026H1", [verified()], POLICY)) == "batch.vote/submitted"
    back = after(batch, consent(batch, verified(), decision="refuse"))
    assert back.status == "refused"
    assert names(decide_submission(back, "2026H1", [verified()], POLICY)) == ["ClaimBatchSubmitted"]
    done = after(batch, consent(batch, verified()))
    assert refused(decide_submission(done, "2026H1", [verified()], POLICY)) == "batch.vote/consented"


def test_a_batch_that_was_not_opened_is_unknown() -> None:
    assert refused(decide_submission(None, "2026H1", [], POLICY)) == "unknown/batch"
    assert refused(consent(None)) == "unknown/batch"


# batch.consent and compensation.amount


def test_consent_approves_the_compensation() -> None:
    loan = verified()
    decision = consent(submitted(loan), loan)
    (event,) = accepted(decision)
    assert isinstance(event, CompensationApproved)
    assert [(item.loan_no, item.payee, item.amount) for item in event.items] == [("A-0001", "bank-a", 100_000_000)]
    assert (event.half, event.consented_on) == ("2026H1", date(2026, 7, 15))
    done = then(loan, decision)
    assert (done.status, done.approved_fen) == ("approved", 100_000_000)


def test_items_stand_in_the_order_of_acceptance_then_number() -> None:
    loans = (verified("A-9", "2026-05-01"), verified("A-2", "2026-06-10"), verified("A-1", "2026-06-10"))
    (event,) = accepted(consent(submitted(*loans), *loans))
    assert isinstance(event, CompensationApproved)
    assert [item.loan_no for item in event.items] == ["A-9", "A-1", "A-2"]


def test_an_excluded_claim_is_rejected_by_the_government() -> None:
    loans = (verified("A-1"), verified("A-2"))
    decision = consent(submitted(*loans), *loans, without=("A-2",))
    assert names(decision) == ["CompensationApproved", "ClaimRejected"]
    approved, refused_item = accepted(decision)
    assert isinstance(approved, CompensationApproved) and [item.loan_no for item in approved.items] == ["A-1"]
    assert isinstance(refused_item, ClaimRejected)
    assert (refused_item.loan_no, refused_item.by, refused_item.reasons) == ("A-2", "government", ("暂缓",))
    assert [then(loan, decision).status for loan in loans] == ["approved", "rejected"]


def test_only_a_claim_of_the_batch_is_excluded() -> None:
    decision = consent(submitted(verified()), verified(), without=("A-7",))
    assert refused(decision) == "batch.consent/not_in_batch"


def test_only_a_submitted_batch_is_consented_to() -> None:
    assert refused(consent(open_batch(), verified())) == "batch.consent"
    batch = submitted(verified())
    assert refused(consent(after(batch, consent(batch, verified())), verified())) == "batch.consent"


def test_a_refused_batch_changes_no_claim() -> None:
    loan = verified()
    decision = consent(submitted(loan), loan, decision="refuse")
    assert names(decision) == ["ClaimBatchRefused"]
    assert then(loan, decision) == loan


@pytest.mark.parametrize(
    ("ratio", "reduction", "amount"),
    [("1.00", "0", 200_000_000), ("0.20", "0", 40_000_000), ("0.50", "0.20", 80_000_000), ("0.50", "1", 0)],
)
def test_compensation_is_principal_by_ratio_less_the_payees_reduction(ratio: str, reduction: str, amount: int) -> None:
    loan = verified(ratio=ratio)
    (event,) = accepted(consent(submitted(loan), loan, reductions={"bank-a": Decimal(reduction), "b": Decimal(1)}))
    assert isinstance(event, CompensationApproved)
    assert (event.items[0].amount, event.items[0].reduction) == (amount, Decimal(reduction))


def test_half_a_fen_is_rounded_up() -> None:
    repaid = PrincipalRepaid(uscc=USCC, loan_no="A-0001", amount=1, outstanding=199_999_999, repaid_on=JULY)
    loan = then(verified(), Accepted((repaid,)))
    (event,) = accepted(consent(submitted(loan), loan))
    assert isinstance(event, CompensationApproved)
    assert (event.items[0].verified_principal, event.items[0].amount) == (199_999_999, 100_000_000)


def test_a_loan_whose_compensation_is_wholly_withheld_is_closed() -> None:
    loan = verified()
    assert then(loan, consent(submitted(loan), loan, reductions={"bank-a": Decimal(1)})).status == "closed"


@for_all(
    st.integers(1, 500_000_000), st.sampled_from(["1.00", "0.50", "0.20"]),
    st.decimals(0, 1, places=4, allow_nan=False, allow_infinity=False),
)
def test_nobody_receives_more_than_its_loss(principal: int, ratio: str, reduction: Decimal) -> None:
    loan = verified(ratio=ratio, principal="5000000.00")
    assert loan.claim is not None
    loan = loan.model_copy(update={"claim": loan.claim.model_copy(update={"verified_fen": principal})})
    (event,) = accepted(consent(submitted(loan), loan, reductions={"bank-a": reduction}))
    assert isinstance(event, CompensationApproved)
    assert 0 <= event.items[0].amount <= principal


def test_the_batch_survives_its_own_document() -> None:
    batch = submitted(verified())
    assert Batch.model_validate_json(batch.model_dump_json()) == batch


def test_an_event_before_the_batch_is_opened_changes_nothing() -> None:
    events: list[Event] = list(accepted(consent(submitted(verified()), verified())))
    assert batch_keys(events[0]) == ("2026H1",) and evolve_batch(None, events[0]) is None
