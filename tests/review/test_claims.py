"""The filing of claims (scheme.md section 4, claim.*)."""

from datetime import date

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.review.domain.claims import decide_claim
from services.review.domain.loans import Loan
from services.review.domain.repayments import decide_repayment
from shared.contracts import partners
from shared.contracts.review import (
    ClaimAccepted,
    ClaimRefused,
    ClaimRejected,
    LoanUncovered,
)
from shared.decisions import Accepted, Decision, Refusal
from shared.money import parse_yuan
from tests.review.loan_stories import (
    POLICY,
    USCC,
    accepted,
    accepted_claim,
    at,
    compensated_loan,
    covered,
    given,
    names,
    refused,
    repay,
    then,
)


def filed(yuan: str = "2000000.00", **changes: object) -> partners.LoanDefaulted:
    facts: dict[str, object] = {
        "loan_no": "A-0001", "classified": "substandard", "classified_on": date(2026, 6, 8),
        "outstanding_principal": parse_yuan(yuan),
    }
    return partners.LoanDefaulted.model_validate(facts | changes)


def claim(
    loan: Loan | None,
    filing: partners.LoanDefaulted | None = None,
    sender: str = "bank-a",
    on: str = "2026-06-10",
    compensated: tuple[Loan, ...] = (),
) -> Decision:
    return decide_claim(loan, filing or filed(), sender, compensated, at(on), POLICY)


def statement(loan_no: str, as_of: str) -> partners.RecoveryStatement:
    return partners.RecoveryStatement(loan_no=loan_no, as_of=date.fromisoformat(as_of), text="已起诉")


def test_a_claim_is_accepted_with_its_outstanding_principal_as_base() -> None:
    loan = then(given(covered()), claim(given(covered()), filed(evidence=("催收记录",))))
    assert loan.status == "claimed"
    assert loan.claim is not None and loan.claim.base_fen == 200_000_000
    assert loan.claim.accepted_at == "2026-06-10T10:00:00+08:00"


def test_an_accepted_claim_says_why_in_figures() -> None:
    (event,) = accepted(claim(given(covered())))
    assert isinstance(event, ClaimAccepted) and event.why is not None
    assert event.why.rule == "claim.amount" and event.why.clause
    assert (event.payee, event.why.figures["base"], event.why.figures["outstanding"]) == (
        "bank-a", "2000000.00", "3000000.00",
    )


def test_the_base_is_never_above_the_need_cap() -> None:
    (event,) = accepted(claim(given(covered(principal="6000000.00")), filed("5500000.00")))
    assert isinstance(event, ClaimAccepted)
    assert (event.claimed, event.base) == (550_000_000, 500_000_000)


def test_an_insured_loan_is_not_compensated() -> None:
    loan = given(covered(product="insurance", insurer="insurer-a", payee=None))
    assert refused(claim(loan)) == "claim.product"


def test_a_refused_claim_is_announced_with_its_rule() -> None:
    decision = claim(given(covered()), filed("3000000.01"))
    assert refused(decision) == "claim.amount" and isinstance(decision, Refusal)
    (event,) = decision.events
    assert isinstance(event, ClaimRefused)
    assert (event.uscc, event.loan_no, event.claimant, event.rule) == (USCC, "A-0001", "bank-a", "claim.amount")
    assert event.why is not None and event.why.figures["outstanding"] == "3000000.00"


def test_a_claim_on_an_unknown_loan_is_refused_and_announced() -> None:
    decision = claim(None)
    assert refused(decision) == "claim.party/unknown" and isinstance(decision, Refusal)
    assert [type(event) for event in decision.events] == [ClaimRefused]


def test_a_stranger_cannot_claim() -> None:
    assert refused(claim(given(covered()), sender="bank-b")) == "claim.party"


def test_the_guarantor_of_a_bank_loan_cannot_claim() -> None:
    assert refused(claim(given(covered(guarantor="guarantor-a")), sender="guarantor-a")) == "claim.party"


@pytest.mark.parametrize("sender", ["bank-a", "guarantor-a"])
def test_lender_and_guarantor_may_claim_a_guaranteed_loan_and_the_guarantor_is_paid(sender: str) -> None:
    loan = given(covered(product="guarantee", guarantor="guarantor-a", payee="guarantor-a"))
    (event,) = accepted(claim(loan, sender=sender))
    assert isinstance(event, ClaimAccepted)
    assert (event.claimant, event.payee) == (sender, "guarantor-a")


def test_a_loan_is_claimed_once() -> None:
    loan = given(covered(), accepted_claim())
    assert refused(claim(loan, filed("1999999.99"))) == "claim.party/claimed"


def test_a_rejected_claim_is_not_filed_again() -> None:
    rejected = ClaimRejected(uscc=USCC, loan_no="A-0001", reasons=("资料不实",), by="panel")
    assert refused(claim(given(covered(), accepted_claim(), rejected), filed("1.00"))) == "claim.party/claimed"


def test_the_same_claim_reported_again_is_a_duplicate() -> None:
    decision = claim(given(covered(), accepted_claim()))
    assert isinstance(decision, Accepted) and decision.duplicate and not decision.events


def test_an_uncovered_loan_cannot_be_claimed() -> None:
    loan = given(covered(), LoanUncovered(uscc=USCC, loan_no="A-0001", institution="bank-a"))
    assert loan.status == "closed"
    assert refused(claim(loan)) == "claim.party/uncovered"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"classified": "special_mention"}, "claim.classified"),
        ({"classified_on": date(2026, 6, 11)}, "claim.classified/future"),
        ({"classified_on": date(2026, 1, 25)}, "claim.classified/early"),
    ],
)
def test_only_a_loan_classified_as_bad_is_claimed(changes: dict[str, object], key: str) -> None:
    assert refused(claim(given(covered()), filed().model_copy(update=changes))) == key


@pytest.mark.parametrize("day", [date(2026, 1, 26), date(2026, 6, 10)])
def test_a_classification_on_the_day_of_disbursement_or_of_the_claim_counts(day: date) -> None:
    assert names(claim(given(covered()), filed(classified_on=day))) == ["ClaimAccepted"]


def test_a_claim_is_at_most_what_was_disbursed_and_not_repaid() -> None:
    loan = then(given(covered()), repay(given(covered()), "500000.01"))
    assert refused(claim(loan, filed("2500000.00"))) == "claim.amount"
    assert names(claim(loan, filed("2499999.99"))) == ["ClaimAccepted"]


def test_a_missing_recovery_statement_is_named() -> None:
    owed = (compensated_loan("A-7"), compensated_loan("A-8"))
    filing = filed(recovery_statements=(statement("A-7", "2026-06-01"),))
    decision = claim(given(covered()), filing, compensated=owed)
    assert refused(decision) == "claim.statement" and isinstance(decision, Refusal)
    assert decision.figures["missing"] == "A-8"


@pytest.mark.parametrize(
    ("as_of", "taken"), [("2026-03-12", True), ("2026-03-11", False), ("2026-06-10", True), ("2026-06-11", False)]
)
def test_a_recovery_statement_is_of_the_last_ninety_days(as_of: str, taken: bool) -> None:
    filing = filed(recovery_statements=(statement("A-7", as_of),))
    decision = claim(given(covered()), filing, compensated=(compensated_loan("A-7"),))
    assert isinstance(decision, Accepted) if taken else refused(decision) == "claim.statement/late"


def test_the_newest_of_two_statements_on_a_loan_counts() -> None:
    filing = filed(recovery_statements=(statement("A-7", "2025-12-01"), statement("A-7", "2026-06-01")))
    assert names(claim(given(covered()), filing, compensated=(compensated_loan("A-7"),))) == ["ClaimAccepted"]


def test_no_statement_is_owed_for_another_institutions_loan() -> None:
    other = compensated_loan("B-1", lender="bank-b", payee="guarantor-a", product="guarantee", guarantor="guarantor-a")
    assert names(claim(given(covered()), compensated=(other,))) == ["ClaimAccepted"]


def test_the_lender_owes_a_statement_although_the_guarantor_was_paid() -> None:
    guaranteed = compensated_loan("A-7", payee="guarantor-a", product="guarantee", guarantor="guarantor-a")
    assert refused(claim(given(covered()), compensated=(guaranteed,))) == "claim.statement"


@pytest.mark.parametrize(("on", "taken"), [("2027-07-25", True), ("2027-07-26", False)])
def test_a_claim_is_filed_within_six_months_after_maturity(on: str, taken: bool) -> None:
    decision = claim(given(covered()), on=on)
    assert isinstance(decision, Accepted) if taken else refused(decision) == "claim.deadline"


def test_the_product_is_judged_before_the_party_and_the_party_before_the_amount() -> None:
    insured = given(covered(product="insurance", insurer="insurer-a", payee=None))
    assert refused(claim(insured, filed("9000000.00"), sender="bank-b")) == "claim.product"
    assert refused(claim(given(covered()), filed("9000000.00"), sender="bank-b")) == "claim.party"


@for_all(st.lists(st.integers(1, 200_000_000), max_size=6), st.integers(1, 400_000_000))
def test_no_base_is_ever_above_what_is_outstanding_or_the_cap(repayments: list[int], claimed: int) -> None:
    loan = given(covered(principal="6000000.00"))
    for amount in repayments:
        repaid = partners.LoanRepaid(loan_no="A-0001", principal=amount, repaid_on=date(2026, 5, 20))
        decision = decide_repayment(loan, repaid, "bank-a", date(2026, 5, 20), POLICY)
        loan = then(loan, decision) if isinstance(decision, Accepted) else loan
    filing = filed().model_copy(update={"outstanding_principal": claimed})
    decision = claim(loan, filing)
    assert 0 <= loan.outstanding_fen <= loan.principal_fen
    if isinstance(decision, Accepted):
        after = then(loan, decision)
        assert after.claim is not None and after.claim.base_fen <= min(loan.outstanding_fen, POLICY.need_cap)
    else:
        assert refused(decision) == "claim.amount" and claimed > loan.outstanding_fen


def test_the_loan_survives_its_own_document() -> None:
    loan = compensated_loan("A-0001")
    assert Loan.model_validate_json(loan.model_dump_json()) == loan
