"""Pushing a rated case, and how a push or a rating ends without a loan (scheme.md section 3)."""

from decimal import Decimal

import pytest

from services.review.domain.admission import decide_bar, decide_withdrawal
from services.review.domain.agreements import evolve_agreement
from shared.contracts.base import Event, Product
from shared.contracts.commands import Person
from shared.contracts.referral import EnterpriseBarred
from shared.contracts.review import FinancingFailed, FinancingPushed, InstitutionSanctioned
from shared.decisions import Accepted
from tests.review.story import POLICY, A, B, Story, accepted, agreement, day, names, refused, terms


@pytest.fixture
def rated() -> Story:
    story = Story()
    story.admit()
    story.rate("medium")
    return story


@pytest.fixture
def pushed(rated: Story) -> Story:
    rated.push("bank-a", "bank-b")
    return rated


def kinds(events: tuple[Event, ...]) -> list[str]:
    return [type(event).__name__ for event in events]


def bar(story: Story, uscc: str = A, on: str = "2026-01-10", until: str = "2029-01-10") -> None:
    barred = EnterpriseBarred(
        uscc=uscc, name="甲", legal_representative=Person(name="赵一", id="11022919X"), barred_on=day(on),
        until=day(until), reason="骗贷",
    )
    story.fold(decide_bar([case for case in story.cases.values() if case], barred, POLICY))


# ---- The push


def test_only_a_rated_case_is_pushed() -> None:
    story = Story()
    assert refused(story.push("bank-a")) == "unknown/case"
    story.admit()
    assert refused(story.push("bank-a")) == "push.rated"


def test_a_push_says_its_deadline_and_whom_the_scheme_prefers(rated: Story) -> None:
    rated.agreements["bank-b"] = agreement("bank-b", terms=terms("0.0300", "none"))
    (event,) = accepted(rated.push("bank-a", "bank-b"))
    assert isinstance(event, FinancingPushed)
    assert event.deadline_on == day("2026-03-09")
    assert not event.provisional
    assert [each.institution for each in event.preference][:2] == ["bank-b", "bank-a"]
    assert {each.product for each in event.preference} == {"bank"}


def test_a_deadline_in_a_year_without_announced_holidays_is_provisional() -> None:
    story = Story(agreement("bank-a", valid_to=day("2099-01-01")))
    story.admit()
    story.rate("medium", on="2031-01-05")
    (event,) = accepted(story.push("bank-a", on="2031-01-06"))
    assert isinstance(event, FinancingPushed)
    assert event.provisional


@pytest.mark.parametrize(
    ("institutions", "product", "refusal"),
    [
        ((), "bank", "push.rated/nobody"),
        (("bank-a", "bank-a"), "bank", "push.rated/double"),
        (("bank-x",), "bank", "push.rated/agreement"),
        (("bank-b", "guarantor-a"), "guarantee", "push.rated/agreement"),
        (("lender-a",), "bank", "loan.product/role"),
        (("bank-a", "guarantor-a"), "bank", "loan.product/role"),
        (("bank-a",), "guarantee", "loan.product/guarantor"),
        (("guarantor-a",), "guarantee", "loan.product/lender"),
        (("bank-a",), "insurance", "loan.product/insurer"),
        (("insurer-a",), "insurance", "loan.product/lender"),
    ],
)
def test_a_push_needs_institutions_that_fit_the_product(
    rated: Story, institutions: tuple[str, ...], product: Product, refusal: str
) -> None:
    assert refused(rated.push(*institutions, product=product)) == refusal


@pytest.mark.parametrize(
    ("institutions", "product"),
    [
        (("bank-a", "bank-b"), "bank"),
        (("lender-a", "guarantor-a"), "guarantee"),
        (("bank-a", "lender-a", "guarantor-a"), "guarantee"),
        (("bank-a", "insurer-a"), "insurance"),
    ],
)
def test_each_product_has_its_line_up(rated: Story, institutions: tuple[str, ...], product: Product) -> None:
    assert names(rated.push(*institutions, product=product)) == ["FinancingPushed"]


def test_nothing_is_pushed_under_an_agreement_that_has_ended_or_was_terminated(rated: Story) -> None:
    rated.agreements["bank-a"] = agreement("bank-a", valid_to=day("2026-01-19"))
    assert refused(rated.push("bank-a", on="2026-01-20")) == "push.rated/agreement"
    ended = InstitutionSanctioned(
        institution="bank-b", measure="terminate", reason="合谋", sanctioned_on=day("2026-01-19")
    )
    terminated = evolve_agreement(rated.agreements["bank-b"], ended)
    assert terminated is not None
    rated.agreements["bank-b"] = terminated
    assert refused(rated.push("bank-b", on="2026-01-20")) == "push.rated/agreement"


@pytest.mark.parametrize("link", ["affiliates", "shareholders"])
def test_an_affiliate_or_shareholder_waits_while_the_other_is_pushed(link: str) -> None:
    story = Story()
    story.admit(A)
    story.admit(B, **{link: (A,)})
    for uscc in (A, B):
        story.rate("low", uscc)
    story.push("bank-a", uscc=B)
    assert refused(story.push("bank-a", uscc=A)) == "eligible.once/pushed"
    story.decline("bank-a", uscc=B)
    assert names(story.push("bank-a", uscc=A)) == ["FinancingPushed"]


def test_an_enterprise_does_not_wait_for_a_mere_shareholder_of_its_own() -> None:
    story = Story()
    story.admit(A)
    story.admit(B, shareholders=(A,))
    for uscc in (A, B):
        story.rate("low", uscc)
    story.push("bank-a", uscc=A)
    assert names(story.push("bank-a", uscc=B)) == ["FinancingPushed"]


def test_an_affiliate_named_by_the_other_side_only_is_shut_out_after_its_loan() -> None:
    story = Story()
    story.admit(B, affiliates=(A,))
    story.rate("low", B)
    story.push("bank-a", uscc=B)
    assert names(story.disburse(uscc=B)) == ["LoanCovered"]
    story.admit(A)
    story.rate("low", A)
    assert refused(story.push("bank-a", uscc=A)) == "eligible.once/financed"


# ---- A failed round


def test_a_push_fails_when_every_recipient_declined(pushed: Story) -> None:
    assert names(pushed.decline("bank-b")) == ["FinancingRefused"]
    assert (pushed.case().status, pushed.case().failures) == ("pushed", 0)
    assert pushed.decline("bank-b") == Accepted(duplicate=True)
    answer = pushed.decline("bank-a")
    assert names(answer) == ["FinancingRefused", "FinancingFailed"]
    failed = accepted(answer)[-1]
    assert isinstance(failed, FinancingFailed)
    assert (failed.failures, failed.cause) == (1, "declined")
    assert (pushed.case().status, pushed.case().grade, pushed.case().ratio) == ("admitted", None, None)


def test_nobody_declines_what_was_not_pushed_to_it(pushed: Story) -> None:
    assert refused(pushed.decline("lender-a")) == "loan.pushed/not_pushed"
    assert refused(pushed.decline("bank-a", uscc=B)) == "loan.pushed/not_pushed"


def test_a_push_fails_the_day_after_its_deadline(pushed: Story) -> None:
    assert pushed.case().deadline_on == day("2026-03-09")
    assert pushed.day("2026-03-09") == ()
    (failed,) = pushed.day("2026-03-10")
    assert isinstance(failed, FinancingFailed)
    assert (failed.failures, failed.cause) == (1, "deadline")
    assert pushed.day("2026-03-11") == ()


def test_the_second_failure_exhausts_the_case_for_life(pushed: Story) -> None:
    pushed.day("2026-03-10")
    pushed.rate("low", on="2026-03-11")
    pushed.push("bank-b", on="2026-03-16")
    assert names(pushed.decline("bank-b")) == ["FinancingRefused", "FinancingFailed", "FinancingExhausted"]
    assert (pushed.case().status, pushed.case().failures) == ("exhausted", 2)
    assert refused(pushed.open_round(on="2026-03-17")) == "eligible.attempts/panel"
    pushed.admit(on="2027-01-04")
    assert (pushed.case().status, pushed.case().failures) == ("admitted", 2)
    assert refused(pushed.open_round(on="2027-01-05")) == "eligible.attempts/panel"


# ---- A rating's lifetime


def test_a_rating_lapses_after_six_months_without_a_loan(rated: Story) -> None:
    assert rated.case().lapses_on == day("2026-07-19")
    assert rated.day("2026-07-19") == ()
    assert kinds(rated.day("2026-07-20")) == ["RatingLapsed"]
    assert (rated.case().status, rated.case().failures, rated.case().ratio) == ("admitted", 0, None)


def test_a_rating_that_lapses_while_pushed_closes_the_push_without_a_failure(rated: Story) -> None:
    rated.push("bank-a", on="2026-07-10")
    assert kinds(rated.day("2026-07-20")) == ["RatingLapsed"]
    assert (rated.case().status, rated.case().failures, rated.case().institutions) == ("admitted", 0, ())
    assert refused(rated.disburse(on="2026-07-21")) == "loan.pushed"


def test_a_lapsed_high_rating_gives_its_place_back() -> None:
    story = Story()
    story.admit()
    story.rate("high")
    story.consent(on="2026-02-02")
    assert kinds(story.day("2026-08-03")) == ["RatingLapsed", "HighSlotFreed"]
    assert story.quota() == ()


def test_a_covered_loan_outlives_its_rating_and_its_deadline(pushed: Story) -> None:
    pushed.disburse()
    assert pushed.days("2026-03-10", "2026-07-20") == [(), ()]
    assert pushed.case().status == "financed"


# ---- Bars and withdrawals


def test_a_barred_enterprise_gets_no_round_until_the_day_after(rated: Story) -> None:
    story = Story()
    story.admit()
    bar(story)
    assert refused(story.open_round(on="2029-01-10")) == "eligible.bar/case"
    assert story.case().status == "admitted"
    story.agreements["bank-a"] = agreement("bank-a", valid_to=day("2030-12-31"))
    assert names(story.open_round(on="2029-01-11")) == ["RatingRoundOpened"]


def test_a_barred_enterprise_is_not_pushed_and_a_bar_outlives_an_attempt(rated: Story) -> None:
    bar(rated)
    assert refused(rated.push("bank-a")) == "eligible.bar/case"
    rated.veto()
    rated.admit(on="2026-06-01")
    assert refused(rated.open_round(on="2026-06-02")) == "eligible.bar/case"


def test_a_second_bar_lengthens_the_first(rated: Story) -> None:
    bar(rated, on="2026-01-10", until="2029-01-10")
    bar(rated, on="2027-01-10", until="2030-01-10")
    assert (rated.case().barred_on, rated.case().barred_until) == (day("2026-01-10"), day("2030-01-10"))


def test_a_withdrawn_referral_ends_its_open_case_and_frees_its_place() -> None:
    story = Story()
    story.admit()
    story.rate("high")
    story.consent()
    assert names(story.fold(decide_withdrawal(story.case(), POLICY))) == ["CaseClosed", "HighSlotFreed"]
    assert story.case().status == "withdrawn"
    assert story.quota() == ()
    assert decide_withdrawal(story.case(), POLICY) == Accepted(duplicate=True)


def test_a_withdrawal_leaves_a_financed_case_and_an_unknown_one_alone(pushed: Story) -> None:
    pushed.disburse()
    assert decide_withdrawal(pushed.case(), POLICY).events == ()
    assert decide_withdrawal(None, POLICY).events == ()
    assert pushed.case().ratio == Decimal("0.50")


def test_a_new_attempt_starts_again_at_admitted_and_keeps_its_failures(pushed: Story) -> None:
    pushed.decline("bank-a")
    pushed.decline("bank-b")
    pushed.open_round(on="2026-02-02")
    pushed.veto()
    assert names(pushed.admit(on="2026-06-01")) == ["CaseOpened"]
    assert (pushed.case().status, pushed.case().failures, pushed.case().votes) == ("admitted", 1, {})


def test_a_financed_enterprise_is_not_opened_again(pushed: Story) -> None:
    pushed.disburse()
    assert pushed.admit(on="2027-01-04") == Accepted(duplicate=True)
