"""Premium subsidies of insured loans (scheme.md section 5, pool.subsidy; the review part)."""

from datetime import date
from typing import Literal

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.review.domain.loans import Loan
from services.review.domain.subsidies import (
    Subsidy,
    decide_application,
    decide_approval,
    decide_reported_premium,
    evolve_subsidy,
    subsidy_keys,
)
from shared.contracts.commands import ApproveSubsidy, Premium
from shared.contracts.review import LoanUncovered, SubsidyApplied, SubsidyApproved, SubsidyRefused
from shared.decisions import Accepted, Decision, Refusal
from shared.money import parse_yuan
from tests.review.loan_stories import POLICY, USCC, accepted, covered, given, refused

TODAY = date(2026, 2, 25)


def insured(**changes: object) -> Loan:
    facts: dict[str, object] = {"loan_no": "A-0002", "product": "insurance", "insurer": "insurer-a", "payee": None}
    return given(covered(**(facts | changes)))


def premium(**changes: object) -> Premium:
    facts: dict[str, object] = {
        "uscc": USCC, "loan_no": "A-0002", "policy_no": "P-0001", "premium": parse_yuan("60000.01"),
        "paid_on": date(2026, 2, 24), "valid_to": date(2027, 2, 23),
        "documents": ("disbursement_proof", "policy", "payment_proof"),
    }
    return Premium.model_validate(facts | changes)


def report(paid: Premium, subsidy: Subsidy | None = None, loan: Loan | None = None, by: str = "insurer-a") -> Decision:
    return decide_reported_premium(subsidy, loan or insured(), paid, by, TODAY, POLICY)


def approve(subsidy: Subsidy | None, decision: Literal["approve", "refuse"], reason: str | None = None) -> Decision:
    return decide_approval(subsidy, ApproveSubsidy(policy_no="P-0001", decision=decision, reason=reason), TODAY, POLICY)


def after(subsidy: Subsidy | None, decision: Decision) -> Subsidy:
    for event in accepted(decision):
        assert subsidy_keys(event) == ("P-0001",)
        subsidy = evolve_subsidy(subsidy, event)
    assert subsidy is not None
    return subsidy


def test_half_of_the_premium_is_applied_for_half_a_fen_rounded_up() -> None:
    (event,) = accepted(report(premium()))
    assert isinstance(event, SubsidyApplied)
    assert (event.premium, event.amount, event.insurer, event.applied_on) == (6_000_001, 3_000_001, "insurer-a", TODAY)
    assert event.why is not None and event.why.rule == "pool.subsidy" and event.why.figures["rate"] == "0.50"


def test_drc_records_an_enterprises_own_application() -> None:
    (event,) = accepted(decide_application(None, insured(), premium(), TODAY, POLICY))
    assert isinstance(event, SubsidyApplied) and event.insurer == "insurer-a"


def test_only_the_loans_insurer_reports_its_premium() -> None:
    assert refused(report(premium(), by="insurer-b")) == "permission/loan_insurer"


def test_a_loan_that_is_not_insured_gets_no_subsidy() -> None:
    loan = insured(product="bank", insurer=None, payee="bank-a")
    assert refused(report(premium(), loan=loan)) == "pool.subsidy/product"


def test_a_premium_on_an_unknown_loan_is_refused() -> None:
    assert refused(decide_reported_premium(None, None, premium(), "insurer-a", TODAY, POLICY)) == "unknown/loan"


def test_a_premium_of_another_enterprise_is_refused() -> None:
    assert refused(report(premium(uscc="911101191000000164"))) == "pool.subsidy/enterprise"


def test_an_uncovered_loan_gets_no_subsidy() -> None:
    uncovered = LoanUncovered(uscc=USCC, loan_no="A-0002", institution="insurer-a")
    facts = covered(loan_no="A-0002", product="insurance", insurer="insurer-a", payee=None)
    assert refused(report(premium(), loan=given(facts, uncovered))) == "pool.subsidy/uncovered"


def test_missing_proofs_are_named() -> None:
    decision = report(premium(documents=("policy", "photo")))
    assert refused(decision) == "pool.subsidy/documents" and isinstance(decision, Refusal)
    assert decision.figures["missing"] == "disbursement_proof, payment_proof"


@pytest.mark.parametrize(("valid_to", "taken"), [(TODAY, True), (date(2026, 2, 24), False)])
def test_the_policy_is_still_valid(valid_to: date, taken: bool) -> None:
    decision = report(premium(valid_to=valid_to))
    assert isinstance(decision, Accepted) if taken else refused(decision) == "pool.subsidy/expired"


@pytest.mark.parametrize(("paid_on", "taken"), [(TODAY, True), (date(2026, 2, 26), False)])
def test_the_premium_was_paid(paid_on: date, taken: bool) -> None:
    decision = report(premium(paid_on=paid_on))
    assert isinstance(decision, Accepted) if taken else refused(decision) == "pool.subsidy/future"


def test_the_same_premium_reported_again_is_a_duplicate() -> None:
    decision = report(premium(), after(None, report(premium())))
    assert isinstance(decision, Accepted) and decision.duplicate and not decision.events


@pytest.mark.parametrize("changes", [{"premium": 1}, {"loan_no": "A-0003"}, {"paid_on": date(2026, 2, 23)}])
def test_a_policy_is_subsidised_once(changes: dict[str, object]) -> None:
    known = after(None, report(premium()))
    assert refused(report(premium(**changes), known, insured(loan_no="A-0003"))) == "pool.subsidy/once"


def test_drc_approves_once() -> None:
    applied = after(None, report(premium()))
    decision = approve(applied, "approve")
    (event,) = accepted(decision)
    assert isinstance(event, SubsidyApproved)
    assert (event.amount, event.loan_no, event.approved_on) == (3_000_001, "A-0002", TODAY)
    assert refused(approve(after(applied, decision), "approve")) == "pool.subsidy/decided"


@pytest.mark.parametrize("reason", [None, "", " "])
def test_a_refusal_needs_a_reason(reason: str | None) -> None:
    assert refused(approve(after(None, report(premium())), "refuse", reason)) == "pool.subsidy/reason"


def test_a_refused_application_may_be_made_again() -> None:
    applied = after(None, report(premium()))
    decision = approve(applied, "refuse", "保单不清")
    (event,) = accepted(decision)
    assert isinstance(event, SubsidyRefused) and event.reason == "保单不清"
    again = after(after(applied, decision), report(premium(), after(applied, decision)))
    assert again.status == "applied"


def test_an_unknown_policy_is_not_approved() -> None:
    assert refused(approve(None, "approve")) == "unknown/policy"


@for_all(st.integers(1, 10**12))
def test_the_subsidy_is_half_the_premium_to_within_half_a_fen(fen: int) -> None:
    (event,) = accepted(report(premium().model_copy(update={"premium": fen})))
    assert isinstance(event, SubsidyApplied)
    assert 0 <= 2 * event.amount - fen <= 1


def test_the_subsidy_survives_its_own_document() -> None:
    subsidy = after(None, report(premium()))
    assert Subsidy.model_validate_json(subsidy.model_dump_json()) == subsidy
