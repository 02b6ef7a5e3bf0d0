"""Sanctions on institutions (scheme.md section 7, sanction.institution)."""

from datetime import date
from decimal import Decimal
from typing import Literal

import pytest

from services.review.domain.agreements import Agreement, evolve_agreement
from services.review.domain.loans import Loan
from services.review.domain.sanctions import decide_sanction
from shared.contracts.commands import SanctionInstitution
from shared.contracts.review import (
    AgreementSigned,
    CompensationApproved,
    CompensationItem,
    InstitutionSanctioned,
    LoanCompensated,
    LoanUncovered,
)
from shared.decisions import Decision, Refusal
from tests.review.loan_stories import POLICY, USCC, accepted, accepted_claim, covered, given, names, refused, then

TODAY = date(2026, 9, 1)


def agreement() -> Agreement:
    signed = AgreementSigned(
        institution="bank-a", kind="bank", name="甲银行", valid_from=date(2026, 1, 1), valid_to=date(2028, 12, 31),
        products=("bank",),
    )
    made = evolve_agreement(None, signed)
    assert made is not None
    return made


def compensated(loan_no: str = "A-0001", payee: str = "bank-a") -> Loan:
    item = CompensationItem(
        loan_no=loan_no, uscc=USCC, payee=payee, lender="bank-a", recommender="scitech", verified_principal=200_000_000,
        ratio=Decimal("0.50"), reduction=Decimal(0), amount=100_000_000,
    )
    approved = CompensationApproved(half="2026H1", consented_on=date(2026, 7, 15), document_no="1", items=(item,))
    settled = LoanCompensated(uscc=USCC, loan_no=loan_no, amount=100_000_000)
    return given(covered(loan_no=loan_no, payee=payee), accepted_claim(loan_no=loan_no), approved, settled)


def sanction(
    measure: Literal["reduce", "clawback", "terminate"],
    *loans: Loan,
    loan_nos: tuple[str, ...] | None = None,
    reduction: str | None = None,
    of: Agreement | None = None,
) -> Decision:
    command = SanctionInstitution(
        institution="bank-a",
        measure=measure,
        reduction=Decimal(reduction) if reduction else None,
        loan_nos=tuple(loan.loan_no for loan in loans) if loan_nos is None else loan_nos,
        reason="评级单位认定抬高利率",
    )
    return decide_sanction(of or agreement(), {loan.loan_no: loan for loan in loans}, command, TODAY, POLICY)


def sanctioned(decision: Decision) -> Agreement:
    after: Agreement | None = agreement()
    for event in accepted(decision):
        after = evolve_agreement(after, event)
    assert after is not None
    return after


def test_an_unknown_institution_is_not_sanctioned() -> None:
    command = SanctionInstitution(institution="bank-z", measure="terminate", reason="违约")
    assert refused(decide_sanction(None, {}, command, TODAY, POLICY)) == "unknown/institution"


@pytest.mark.parametrize("reduction", ["0.0001", "0.30", "1"])
def test_a_reduction_is_withheld_from_later_compensation(reduction: str) -> None:
    decision = sanction("reduce", reduction=reduction)
    (event,) = accepted(decision)
    assert isinstance(event, InstitutionSanctioned) and event.sanctioned_on == TODAY
    assert event.why is not None and event.why.rule == "sanction.institution" and event.why.clause
    assert sanctioned(decision).reduction == Decimal(reduction)


@pytest.mark.parametrize("reduction", [None, "0", "1.0001"])
def test_a_reduction_is_above_nothing_and_at_most_all(reduction: str | None) -> None:
    assert refused(sanction("reduce", reduction=reduction)) == "sanction.institution/reduction"


def test_a_clawback_names_its_compensated_loans_each_once() -> None:
    loans = (compensated("A-1"), compensated("A-2"))
    (event,) = accepted(sanction("clawback", *loans, loan_nos=("A-2", "A-1", "A-2"), reduction="0.50"))
    assert isinstance(event, InstitutionSanctioned)
    assert (event.loan_nos, event.reduction) == (("A-2", "A-1"), None)


def test_a_clawback_without_loans_is_refused() -> None:
    assert refused(sanction("clawback")) == "sanction.institution/loan_nos"


def test_a_clawback_names_the_loans_that_were_not_compensated_to_it() -> None:
    loans = (compensated("A-1"), compensated("A-2", payee="guarantor-a"), given(covered(loan_no="A-3")))
    decision = sanction("clawback", *loans, loan_nos=("A-1", "A-2", "A-3", "A-4"))
    assert refused(decision) == "sanction.institution/not_compensated" and isinstance(decision, Refusal)
    assert decision.figures["loan_nos"] == "A-2, A-3, A-4"


def test_a_termination_ends_the_agreement_and_leaves_loans_covered() -> None:
    decision = sanction("terminate")
    assert names(decision) == ["InstitutionSanctioned"]
    assert not sanctioned(decision).valid_on(TODAY)


def test_a_termination_uncovers_the_loans_it_names() -> None:
    free, claimed = given(covered(loan_no="A-1")), given(covered(loan_no="A-2"), accepted_claim(loan_no="A-2"))
    decision = sanction("terminate", free, claimed)
    assert names(decision) == ["InstitutionSanctioned", "LoanUncovered", "LoanUncovered"]
    assert [event.loan_no for event in accepted(decision) if isinstance(event, LoanUncovered)] == ["A-1", "A-2"]
    assert then(free, decision).status == "closed" and then(claimed, decision).status == "rejected"


def test_a_termination_names_loans_that_it_cannot_uncover() -> None:
    loans = (given(covered(loan_no="A-1")), given(covered(loan_no="B-1", lender="bank-b")), compensated("A-2"))
    decision = sanction("terminate", *loans, loan_nos=("A-1", "B-1", "A-2", "A-9"))
    assert refused(decision) == "sanction.institution/not_covered" and isinstance(decision, Refusal)
    assert decision.figures["loan_nos"] == "B-1, A-2, A-9"


def test_an_agreement_ends_once() -> None:
    ended = sanctioned(sanction("terminate"))
    assert refused(sanction("terminate", of=ended)) == "sanction.institution/terminated"


def test_compensation_can_still_be_clawed_back_after_the_agreement_ended() -> None:
    assert names(sanction("clawback", compensated(), of=sanctioned(sanction("terminate")))) == ["InstitutionSanctioned"]
