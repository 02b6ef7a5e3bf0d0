"""Which disbursements the fund covers, and what the one loan means for the group (scheme.md section 3)."""

from decimal import Decimal

import pytest

from shared.contracts.base import Product
from shared.contracts.review import CaseClosed, LoanCovered, LoanNotCovered
from shared.decisions import Accepted, Decision, Refusal
from tests.review.story import SEATS, A, B, C, Story, accepted, agreement, day, names, refused
from tests.review.test_financing import bar


def pushed(product: Product = "bank", *institutions: str) -> Story:
    story = Story()
    story.admit()
    story.rate("medium")
    story.push(*(institutions or ("bank-a", "bank-b")), product=product)
    assert story.case().status == "pushed"
    return story


def covered(decision: Decision) -> LoanCovered:
    event = accepted(decision)[0]
    assert isinstance(event, LoanCovered)
    return event


def not_covered(decision: Decision) -> str:
    """The refusal, which is announced as LoanNotCovered under the same rule."""
    assert isinstance(decision, Refusal)
    (told,) = decision.events
    assert isinstance(told, LoanNotCovered)
    assert told.rule == decision.rule
    return refused(decision)


def test_a_pushed_bank_lends_and_would_be_paid() -> None:
    story = pushed()
    event = covered(story.disburse())
    assert (event.lender, event.payee, event.guarantor, event.guarantor_share) == ("bank-a", "bank-a", None, None)
    assert (event.principal, event.ratio, event.seats, event.recommender) == (
        3_000_000_00, Decimal("0.50"), SEATS, "scitech"
    )
    assert (story.case().status, story.case().loan_no) == ("financed", "A-0001")


def test_a_guaranteed_loan_is_paid_to_the_guarantor_who_shares_as_agreed() -> None:
    story = pushed("guarantee", "bank-a", "lender-a", "guarantor-a")
    event = covered(story.disburse(product="guarantee", guarantor="guarantor-a"))
    assert (event.payee, event.guarantor, event.guarantor_share) == ("guarantor-a", "guarantor-a", Decimal("0.80"))


def test_a_reported_share_comes_before_the_agreed_one_and_without_both_the_guarantor_keeps_all() -> None:
    story = pushed("guarantee", "bank-a", "guarantor-a")
    share = Decimal("0.60")
    event = covered(story.disburse(product="guarantee", guarantor="guarantor-a", guarantor_share=share))
    assert event.guarantor_share == share
    story = pushed("guarantee", "lender-a", "guarantor-a")
    assert covered(story.disburse("lender-a", product="guarantee", guarantor="guarantor-a")).guarantor_share == 1


def test_an_insured_loan_has_no_payee() -> None:
    story = pushed("insurance", "bank-a", "insurer-a")
    event = covered(story.disburse(product="insurance", insurer="insurer-a"))
    assert (event.payee, event.insurer, event.guarantor) == (None, "insurer-a", None)


@pytest.mark.parametrize("sender", ["lender-a", "bank-x"])
def test_a_loan_of_an_institution_it_was_not_pushed_to_is_not_covered(sender: str) -> None:
    assert not_covered(pushed().disburse(sender)) == "loan.pushed"


def test_a_loan_of_an_enterprise_without_a_case_or_a_push_is_not_covered() -> None:
    story = Story()
    assert not_covered(story.disburse()) == "loan.pushed/no_case"
    story.admit()
    assert not_covered(story.disburse()) == "loan.pushed"
    story.rate("low")
    assert not_covered(story.disburse()) == "loan.pushed"


def test_a_loan_reported_after_the_round_failed_or_the_case_was_closed_is_not_covered() -> None:
    story = pushed()
    story.day("2026-03-10")
    assert not_covered(story.disburse(on="2026-03-10")) == "loan.pushed"


def test_the_first_disbursement_takes_the_one_loan() -> None:
    story = pushed()
    story.disburse()
    assert not_covered(story.disburse("bank-b", loan_no="B-0001")) == "loan.once"
    assert not_covered(story.disburse("bank-a", loan_no="A-0002")) == "loan.once"


def test_the_same_report_again_is_a_duplicate_and_another_content_is_refused() -> None:
    story = pushed()
    story.disburse()
    again = story.disburse()
    assert isinstance(again, Accepted)
    assert (again.duplicate, again.events) == (True, ())
    assert not_covered(story.disburse(principal=2_000_000_00)) == "loan.once"
    assert not_covered(story.disburse(annual_rate=Decimal("0.05"))) == "loan.once"


def test_a_loan_number_belongs_to_one_loan_of_the_scheme() -> None:
    story = pushed()
    story.disburse()
    story.admit(C)
    story.rate("low", C)
    story.push("bank-b", uscc=C)
    assert not_covered(story.disburse("bank-b", uscc=C)) == "loan.number"
    assert names(story.disburse("bank-b", uscc=C, loan_no="B-0001")) == ["LoanCovered"]


@pytest.mark.parametrize(
    ("product", "institutions", "report", "refusal"),
    [
        ("bank", ("bank-a",), {"product": "insurance", "insurer": "insurer-a"}, "loan.product/other"),
        ("guarantee", ("bank-a", "guarantor-a"), {"product": "guarantee"}, "loan.product/named_guarantor"),
        ("guarantee", ("bank-a", "guarantor-a"), {"product": "guarantee", "guarantor": "guarantor-b"},
         "loan.product/named_guarantor"),
        ("guarantee", ("bank-a", "guarantor-a"), {"product": "guarantee", "guarantor": "bank-a"},
         "loan.product/named_guarantor"),
        ("guarantee", ("bank-a", "guarantor-a"),
         {"product": "guarantee", "guarantor": "guarantor-a", "guarantor_share": Decimal("1.2")}, "loan.product/share"),
        ("insurance", ("bank-a", "insurer-a"), {"product": "insurance"}, "loan.product/named_insurer"),
    ],
)
def test_a_loan_of_another_shape_than_the_push_is_not_covered(
    product: Product, institutions: tuple[str, ...], report: dict[str, object], refusal: str
) -> None:
    assert not_covered(pushed(product, *institutions).disburse(**report)) == refusal


def test_the_sender_must_be_able_to_lend_under_the_product() -> None:
    story = pushed()
    story.agreements["bank-a"] = agreement("bank-a", "lender")
    assert not_covered(story.disburse()) == "loan.product/sender"


def test_the_principal_is_at_most_the_rated_need() -> None:
    story = pushed()
    assert not_covered(story.disburse(principal=3_000_000_01)) == "loan.cap"
    assert covered(story.disburse(principal=3_000_000_00)).principal == 3_000_000_00


@pytest.mark.parametrize(("on", "rule"), [("2028-12-31", None), ("2029-01-01", "eligible.term/disbursed")])
def test_a_loan_is_disbursed_inside_the_term(on: str, rule: str | None) -> None:
    story = Story()
    story.admit()
    story.rate("medium", on="2028-12-01")
    story.push("bank-a", on="2028-12-04")
    answer = story.disburse(on=on)
    assert (not_covered(answer) if rule else names(answer)) == (rule or ["LoanCovered"])


@pytest.mark.parametrize("disbursed_on", ["2026-01-19", "2026-01-27"])
def test_a_loan_is_disbursed_between_the_push_and_today(disbursed_on: str) -> None:
    assert not_covered(pushed().disburse(disbursed_on=day(disbursed_on))) == "loan.pushed/date"


def test_the_first_failing_guard_names_the_refusal() -> None:
    story = pushed()
    report = {"product": "insurance", "principal": 9_000_000_00, "disbursed_on": day("2020-01-01")}
    assert not_covered(story.disburse("bank-x", **report)) == "loan.pushed"
    assert not_covered(story.disburse(**report)) == "loan.product/other"
    assert not_covered(story.disburse(**report | {"product": "bank"})) == "loan.cap"
    assert not_covered(story.disburse(**report | {"product": "bank", "principal": 1})) == "eligible.term/disbursed"


def test_a_loan_paid_out_while_the_enterprise_was_barred_is_not_covered() -> None:
    story = pushed()
    bar(story, on="2026-01-22", until="2029-01-22")
    assert not_covered(story.disburse(disbursed_on=day("2026-01-23"))) == "eligible.bar/case"
    assert names(story.disburse(disbursed_on=day("2026-01-21"))) == ["LoanCovered"]


def test_the_first_loan_closes_the_open_cases_of_the_group() -> None:
    story = Story()
    story.admit(A, affiliates=(B,), shareholders=(C,))
    story.admit(B)
    story.admit(C)
    other = "91110119MA7XK2Q34P"
    story.admit(other)
    story.rate("high", B)
    story.consent(B)
    story.rate("low", A)
    story.push("bank-a", uscc=A)
    answer = story.disburse()
    assert names(answer) == ["LoanCovered", "CaseClosed", "HighSlotFreed", "CaseClosed"]
    closed = [event for event in accepted(answer) if isinstance(event, CaseClosed)]
    assert [(each.uscc, each.outcome, each.rule) for each in closed] == [
        (B, "closed", "eligible.once"), (C, "closed", "eligible.once")
    ]
    assert [story.case(each).status for each in (A, B, C, other)] == ["financed", "closed", "closed", "admitted"]
    assert story.quota() == ()


def test_a_pushed_case_closed_by_its_groups_loan_gets_no_loan_of_its_own() -> None:
    story = Story()
    for uscc in (A, B):
        story.admit(uscc)
        story.rate("low", uscc)
        story.push("bank-a", uscc=uscc)
    story.admit("91110119MA7XK2Q34P")
    linked = story.case(A).model_copy(update={"affiliates": (B,)})
    story.cases[A] = linked
    assert names(story.disburse()) == ["LoanCovered", "CaseClosed"]
    assert not_covered(story.disburse(uscc=B, loan_no="A-0002")) == "loan.once/group"
