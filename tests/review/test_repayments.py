"""What happens to a covered loan outside its claim (loan.repayment, and what the pool and recovery report)."""

from datetime import date

import pytest

from services.review.domain.loans import evolve_loan, loan_keys
from services.review.domain.repayments import note_compensation, note_recovery
from shared.contracts import pool, recovery
from shared.contracts.base import Event
from shared.contracts.review import ClaimVerified, LoanCompensated, LoanRecovered, PrincipalRepaid
from tests.review.loan_stories import (
    POLICY,
    USCC,
    accepted,
    accepted_claim,
    compensated_loan,
    covered,
    given,
    refused,
    repay,
    then,
)


def test_a_repayment_lowers_the_outstanding_principal() -> None:
    loan = then(given(covered()), repay(given(covered()), "500000.01"))
    assert (loan.outstanding_fen, loan.repaid_fen, loan.status) == (249_999_999, 50_000_001, "covered")


def test_a_loan_repaid_to_the_last_fen_is_repaid() -> None:
    loan = then(given(covered()), repay(given(covered()), "3000000.00"))
    assert (loan.outstanding_fen, loan.status) == (0, "repaid")


def test_nobody_repays_more_than_is_outstanding() -> None:
    assert refused(repay(given(covered()), "3000000.01")) == "loan.repayment"


def test_nothing_is_repaid_on_a_repaid_loan() -> None:
    loan = then(given(covered()), repay(given(covered()), "3000000.00"))
    assert refused(repay(loan, "0.01")) == "loan.repayment"


def test_only_the_lender_reports_a_repayment() -> None:
    loan = given(covered(product="guarantee", guarantor="guarantor-a", payee="guarantor-a"))
    assert refused(repay(loan, "1.00", sender="guarantor-a")) == "permission/loan_lender"


def test_a_repayment_of_an_unknown_loan_is_refused() -> None:
    assert refused(repay(None, "1.00")) == "unknown/loan"


@pytest.mark.parametrize(("on", "reason"), [("2026-05-21", "future"), ("2026-01-25", "early")])
def test_a_repayment_is_dated_between_disbursement_and_today(on: str, reason: str) -> None:
    assert refused(repay(given(covered()), "1.00", on=on)) == f"loan.repayment/{reason}"


def test_a_repayment_before_consent_lowers_the_claim_too() -> None:
    verified = ClaimVerified(
        uscc=USCC, loan_no="A-0001", half="2026H1", verified_principal=200_000_000, ratio=POLICY.grades["medium"],
        decided_by="majority",
    )
    loan = given(covered(principal="2000000.00"), accepted_claim(), verified)
    after = then(loan, repay(loan, "500000.00"))
    assert after.status == "verified"
    assert after.claim is not None and (after.claim.base_fen, after.claim.verified_fen) == (150_000_000, 150_000_000)


def test_after_consent_a_repayment_is_a_recovery() -> None:
    assert refused(repay(compensated_loan("A-0001"), "1.00")) == "loan.repayment/status"


def test_a_settled_compensation_is_noted_and_its_recovery_closes_the_loan() -> None:
    loan = compensated_loan("A-0001")
    assert (loan.status, loan.approved_fen, loan.paid_fen) == ("compensated", 50_00, 50_00)
    closed = recovery.RecoveryClosed(uscc=USCC, loan_no="A-0001", remitted=30_00, clawed_back=20_00)
    assert then(loan, note_recovery(closed)).status == "closed"


def test_a_loan_paid_further_after_its_recovery_closed_is_open_again() -> None:
    first = evolve_loan(compensated_loan("A-0001"), LoanRecovered(uscc=USCC, loan_no="A-0001", returned=50_00))
    assert first is not None and first.status == "closed"
    again = evolve_loan(first, LoanCompensated(uscc=USCC, loan_no="A-0001", amount=1))
    assert again is not None and again.status == "compensated"


def test_recovery_and_settlement_may_arrive_in_either_order() -> None:
    paid = LoanCompensated(uscc=USCC, loan_no="A-0001", amount=50_00)
    back = LoanRecovered(uscc=USCC, loan_no="A-0001", returned=100_00)
    loan = compensated_loan("A-0001")
    one, other = evolve_loan(evolve_loan(loan, paid), back), evolve_loan(evolve_loan(loan, back), paid)
    assert one == other and one is not None and one.status == "closed"


def test_what_the_pool_settled_becomes_a_fact_of_review() -> None:
    figures = dict.fromkeys(pool.FundFigures.model_fields, 0) | {"state": "active"}
    settled = pool.CompensationSettled.model_validate({
        "on": date(2026, 7, 20), "fund": figures, "uscc": USCC, "loan_no": "A-0001", "disbursement_id": "d-1",
        "amount": 50_00, "bank_ref": "r-1", "payee": "bank-a", "lender": "bank-a", "recommender": "scitech",
        "verified_principal": 100_00, "ratio": POLICY.grades["medium"],
    })
    (event,) = accepted(note_compensation(settled))
    assert isinstance(event, LoanCompensated) and event.amount == 50_00


def test_an_event_before_the_loan_is_covered_changes_nothing() -> None:
    event: Event = PrincipalRepaid(
        uscc=USCC, loan_no="A-0001", amount=1, outstanding=1, repaid_on=date(2026, 5, 20)
    )
    assert loan_keys(event) == ("A-0001",) and evolve_loan(None, event) is None
