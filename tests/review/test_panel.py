"""The joint review: seats, votes, ties, veto, consent and the quota of high ratings (scheme.md section 2)."""

from collections import Counter
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.review.domain.panel import leading, majority
from shared.contracts.base import Grade
from shared.contracts.review import ConsentRequested, EnterpriseRated, LeadDecisionRequired, RevoteOpened
from tests.review.story import POLICY, SEATS, A, B, C, Story, accepted, agreement, day, names, refused

GRADES: tuple[Grade, ...] = get_args(Grade)
BALLOTS = st.lists(st.sampled_from(GRADES), min_size=len(SEATS), max_size=len(SEATS))


@pytest.fixture
def story() -> Story:
    story = Story()
    story.admit()
    return story


@pytest.fixture
def review(story: Story) -> Story:
    story.open_round()
    return story


# ---- Opening a round


def test_a_round_of_an_unknown_enterprise_is_refused() -> None:
    assert refused(Story().open_round()) == "unknown/case"


def test_a_round_opens_for_an_admitted_case(story: Story) -> None:
    assert names(story.open_round()) == ["RatingRoundOpened"]
    assert (story.case().status, story.case().round, story.case().seats) == ("in_review", 1, SEATS)


@pytest.mark.parametrize(
    ("seats", "refusal"),
    [
        (("drc", "finance", "scitech"), "panel.seats/bank"),
        (("drc", "finance", "bank-a"), "panel.seats/missing"),
        (("drc", "finance", "culture", "bank-a"), "panel.seats/missing"),
        (("drc", "finance", "scitech", "bank-a", "bank-a"), "panel.seats/double"),
        (("drc", "finance", "scitech", "guarantor-a"), "panel.seats/bank"),
        (("drc", "finance", "scitech", "bank-x"), "panel.seats/unfit"),
        (("drc", "finance", "scitech", "bank-a", "culture"), "panel.seats/unfit"),
        (("drc", "finance", "scitech", "bank-a", "insurer-a"), "panel.seats/unfit"),
        ((), "panel.seats/missing"),
    ],
)
def test_a_panel_without_its_seats_or_with_others_is_refused(
    story: Story, seats: tuple[str, ...], refusal: str
) -> None:
    assert refused(story.open_round(seats=seats)) == refusal


def test_guarantors_and_lenders_may_be_invited(story: Story) -> None:
    assert names(story.open_round(seats=(*SEATS, "bank-b", "lender-a", "guarantor-a"))) == ["RatingRoundOpened"]


def test_a_bank_whose_agreement_has_ended_takes_no_seat() -> None:
    story = Story(agreement("bank-a", valid_to=day("2026-01-14")))
    story.admit()
    assert refused(story.open_round(on="2026-01-15")) == "panel.seats/unfit"


def test_a_second_round_is_not_opened_while_one_is_open(review: Story) -> None:
    assert refused(review.open_round()) == "panel.seats/status"


# ---- Votes


def test_only_a_seat_votes(review: Story) -> None:
    assert refused(review.vote("bank-b", "low")) == "permission/seat"


def test_a_seat_votes_once_in_a_ballot(review: Story) -> None:
    assert names(review.vote("drc", "medium")) == ["VoteCast"]
    assert refused(review.vote("drc", "low")) == "panel.seats/voted"


def test_nobody_votes_without_an_open_round(story: Story) -> None:
    assert refused(story.vote("drc", "low")) == "panel.seats/closed"


def test_more_than_half_of_all_seats_rates_the_enterprise(review: Story) -> None:
    answer = review.ballot("medium", "low", "medium", "medium")
    assert names(answer) == ["VoteCast", "EnterpriseRated"]
    rated = accepted(answer)[-1]
    assert isinstance(rated, EnterpriseRated)
    assert (rated.grade, rated.ratio, rated.decided_by, rated.round) == ("medium", Decimal("0.50"), "majority", 1)
    assert (rated.rated_on, rated.lapses_on, rated.quota_year) == (day("2026-01-19"), day("2026-07-19"), None)
    assert rated.why is not None
    assert (rated.why.rule, rated.why.clause) == ("panel.majority", "三(三)")
    assert rated.why.figures == {"seats": "4", "votes": "medium 3, low 1"}
    assert {each.institution for each in rated.preference} >= {"bank-a", "bank-b", "insurer-a"}
    assert review.case().status == "rated"


def test_the_panel_may_decline(review: Story) -> None:
    assert names(review.ballot("decline", "decline", "decline", "low")) == ["VoteCast", "EnterpriseDeclined"]
    assert review.case().status == "declined"


def test_half_of_the_seats_is_no_majority_and_everybody_votes_once_more(review: Story) -> None:
    answer = review.ballot("medium", "medium", "low", "low")
    revote = accepted(answer)[-1]
    assert isinstance(revote, RevoteOpened)
    assert revote.tally == {"medium": 2, "low": 2}
    assert review.case().votes == {}
    assert names(review.ballot("low", "low", "low", "medium"))[-1] == "EnterpriseRated"


def test_still_no_majority_lets_drc_decide_among_the_leading_options(review: Story) -> None:
    review.ballot("medium", "medium", "low", "low")
    answer = review.ballot("low", "low", "high", "high")
    required = accepted(answer)[-1]
    assert isinstance(required, LeadDecisionRequired)
    assert required.options == ("high", "low")
    assert refused(review.vote("drc", "low")) == "panel.seats/closed"
    assert refused(review.tie("medium")) == "panel.tie/option"
    decided = review.tie("low")
    assert names(decided) == ["TieDecided", "EnterpriseRated"]
    assert (review.case().status, review.case().grade, review.case().ratio) == ("rated", "low", Decimal("0.20"))


def test_a_tie_decided_as_high_still_needs_the_governments_consent(review: Story) -> None:
    review.ballot("medium", "medium", "high", "high")
    review.ballot("medium", "medium", "high", "high")
    assert names(review.tie("high")) == ["TieDecided", "ConsentRequested"]


def test_drc_decides_only_when_it_must(review: Story) -> None:
    assert refused(review.tie("low")) == "panel.tie/not_required"
    review.ballot("medium", "medium", "low", "low")
    assert refused(review.tie("low")) == "panel.tie/not_required"


@for_all(st.lists(st.sampled_from(GRADES), min_size=1, max_size=9))
def test_a_majority_is_more_than_half_of_all_seats_and_there_is_at_most_one(votes: list[Grade]) -> None:
    winners = [grade for grade, count in Counter(votes).items() if count * 2 > len(votes)]
    assert len(winners) <= 1
    assert majority(votes, len(votes)) == (winners[0] if winners else None)
    assert majority(votes, 2 * len(votes)) is None
    assert set(winners) <= set(leading(votes))


@for_all(BALLOTS, BALLOTS)
def test_every_ballot_ends_in_a_result_a_revote_or_drcs_decision(first: list[Grade], second: list[Grade]) -> None:
    story = Story()
    story.admit()
    story.open_round()
    story.ballot(*first)
    if story.case().status == "in_review":
        story.ballot(*second)
    if story.case().status == "in_review":
        story.tie(story.case().options[-1])
    assert story.case().status in ("rated", "declined", "awaiting_consent")
    assert story.case().status != "rated" or story.case().ratio == POLICY.grades[story.case().grade or "decline"]


# ---- Veto


def test_drc_may_veto_from_the_opening_until_the_push(story: Story) -> None:
    assert refused(story.veto()) == "panel.veto"
    story.rate("medium")
    assert names(story.veto()) == ["EnterpriseVetoed"]
    assert story.case().status == "vetoed"


def test_a_pushed_case_is_not_vetoed(story: Story) -> None:
    story.rate("medium")
    story.push("bank-a")
    assert refused(story.veto()) == "panel.veto"


def test_a_veto_of_a_high_rating_gives_its_place_back(story: Story) -> None:
    story.rate("high")
    story.consent()
    assert story.quota() == (A,)
    assert names(story.veto()) == ["EnterpriseVetoed", "HighSlotFreed"]
    assert story.quota() == ()


# ---- Consent and quota


def test_a_high_result_waits_for_the_government(review: Story) -> None:
    requested = accepted(review.ballot("high", "high", "high", "medium"))[-1]
    assert isinstance(requested, ConsentRequested)
    assert (requested.ratio, review.case().status) == (Decimal("1.00"), "awaiting_consent")
    rated = accepted(review.consent(on="2026-02-01"))[-1]
    assert isinstance(rated, EnterpriseRated)
    assert (rated.grade, rated.decided_by, rated.rated_on, rated.quota_year) == (
        "high", "consent", day("2026-02-01"), 2026
    )


def test_consent_is_asked_for_a_waiting_case_only(review: Story) -> None:
    assert refused(review.consent()) == "grade.consent"


def test_a_refused_consent_sends_the_case_back_to_the_panel(story: Story) -> None:
    story.rate("high")
    assert names(story.consent(refuse=True)) == ["ConsentRefused"]
    assert (story.case().status, story.case().grade, story.case().ratio) == ("admitted", None, None)
    assert names(story.open_round()) == ["RatingRoundOpened"]
    assert story.case().round == 2


def test_two_enterprises_a_year_are_rated_high(story: Story) -> None:
    for uscc in (B, C):
        story.admit(uscc)
        story.rate("high", uscc)
        story.consent(uscc)
    story.rate("high")
    assert refused(story.consent()) == "grade.high_quota"
    assert names(story.consent(on="2027-01-04")) == ["EnterpriseRated"]
    assert (story.quota(2026), story.quota(2027)) == ((B, C), (A,))


def test_a_place_is_freed_when_financing_fails(story: Story) -> None:
    for uscc in (B, C):
        story.admit(uscc)
        story.rate("high", uscc)
        story.consent(uscc)
    story.push("bank-a", uscc=B)
    assert names(story.decline("bank-a", uscc=B)) == ["FinancingRefused", "FinancingFailed", "HighSlotFreed"]
    story.rate("high")
    assert names(story.consent()) == ["EnterpriseRated"]
    assert story.quota() == (C, A)


def test_a_refused_consent_at_a_full_quota_is_still_possible(story: Story) -> None:
    for uscc in (B, C):
        story.admit(uscc)
        story.rate("high", uscc)
        story.consent(uscc)
    story.rate("high")
    assert names(story.consent(refuse=True)) == ["ConsentRefused"]
