"""What waits for whom: made and ended by events, due as the scheme says, and only what the caller may do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.callers import Caller
from services.gateway.queries.worklist import KINDS, Item, counts, worklist
from shared.contracts import commands, pool, recovery, referral, review
from shared.contracts.base import Event
from shared.scheme.loader import load_scheme
from tests.gateway import story
from tests.gateway.story import OTHER, USCC, day, take, yuan

YANQING = load_scheme("yanqing")
TODAY = date(2026, 1, 20)
KIND_OF = {"bank-a": "bank", "bank-b": "bank", "guarantor-a": "guarantor", "custodian": "custodian"}
HEAD = frozenset({"officer", "head"})
LOAN = {"uscc": USCC, "loan_no": "A-1"}


def who(organisation: str, *roles: str) -> Caller:
    kind = KIND_OF.get(organisation) or YANQING.organisations[organisation].kind
    return Caller(YANQING, organisation, kind, roles=frozenset(roles) or HEAD)


async def waits(connection: AsyncConnection, organisation: str, today: date = TODAY, *roles: str) -> list[Item]:
    return await worklist(connection, who(organisation, *roles), today)


async def kinds(connection: AsyncConnection, *organisations: str, today: date = TODAY) -> list[list[tuple[str, str]]]:
    """(kind, about) of everything that waits for each organisation, standing duties left out."""
    standing = ("quota", "capital", "report")
    found = [await waits(connection, one, today) for one in organisations]
    return [[(item.kind, item.about) for item in items if item.kind not in standing] for items in found]


async def took(connection: AsyncConnection, *events: Event) -> AsyncConnection:
    await take(connection, events)
    return connection


def round_opened(*seats: str) -> Event:
    return review.RatingRoundOpened(uscc=USCC, round=1, seats=seats, opened_on=day("2026-01-15"))


def vote(seat: str, grade: Any = "medium") -> Event:
    return review.VoteCast(uscc=USCC, round=1, seat=seat, grade=grade)


def claim_accepted(loan_no: str = "A-1") -> Event:
    return review.ClaimAccepted(
        uscc=USCC,
        loan_no=loan_no,
        claimant="bank-a",
        payee="bank-a",
        classified="loss",
        claimed=yuan(100),
        base=yuan(100),
        accepted_on=day("2026-06-10"),
        accepted_at="2026-06-10T09:00:00+08:00",
    )


def claim_verified() -> Event:
    return review.ClaimVerified(
        **LOAN, half="2026H1", verified_principal=yuan(100), ratio=Decimal("0.5"), decided_by="majority"
    )


async def test_a_referral_waits_for_screening_and_a_returned_one_for_its_recommender(
    connection: AsyncConnection,
) -> None:
    await took(connection, story.referred())
    assert await kinds(connection, "drc", "scitech") == [[("screen", USCC)], []]
    await took(connection, referral.ReferralReturned(uscc=USCC, reason="材料", findings=()))
    assert await kinds(connection, "drc", "scitech", "culture") == [[], [("supplement", USCC)], []]
    changes = commands.AmendReferral(uscc=USCC, project="新项目")
    application = story.referred().model_dump()["application"]
    amended = referral.ReferralAmended.model_validate(
        {"uscc": USCC, "changes": changes, "application": application, "size": "small", "findings": ()}
    )
    await took(connection, amended)
    assert await kinds(connection, "drc", "scitech") == [[("screen", USCC)], []]
    await took(connection, story.admitted())
    assert await kinds(connection, "drc", "scitech") == [[], []]


async def test_every_seat_votes_and_who_has_voted_is_done(connection: AsyncConnection) -> None:
    await took(connection, story.referred(), story.admitted(), story.opened())
    assert await kinds(connection, "drc") == [[("round", USCC)]]
    await took(connection, round_opened("drc", "finance", "bank-a"), vote("bank-a"))
    voted = [("vote", USCC)]
    assert await kinds(connection, "drc", "finance", "bank-a", "bank-b") == [voted, voted, [], []]
    tally = review.RevoteOpened(uscc=USCC, round=1, tally={"low": 1})
    await took(connection, vote("drc"), vote("finance"), tally)
    assert await kinds(connection, "drc", "finance", "bank-a") == [voted, voted, voted]
    await took(connection, review.LeadDecisionRequired(uscc=USCC, round=1, options=("low", "medium")))
    assert await kinds(connection, "drc", "finance", "bank-a") == [[("tie", USCC)], [], []]


async def test_a_high_result_waits_for_the_government_and_goes_back_when_refused(connection: AsyncConnection) -> None:
    await took(connection, story.opened(), round_opened("drc"), vote("drc", "high"))
    await took(connection, review.ConsentRequested(uscc=USCC, round=1, ratio=Decimal(1)))
    assert await kinds(connection, "drc", "government") == [[], [("consent", USCC)]]
    await took(connection, review.ConsentRefused(uscc=USCC, document_no="1号"))
    assert await kinds(connection, "drc", "government") == [[("round", USCC)], []]


async def test_a_rated_case_is_pushed_before_its_rating_lapses_and_each_institution_answers(
    connection: AsyncConnection,
) -> None:
    await took(connection, story.referred(), story.admitted(), story.opened(), story.rated())
    (item,) = [one for one in await waits(connection, "drc") if one.kind == "push"]
    assert (item.name, item.href, item.due_on, item.overdue) == (
        "甲公司", f"/financing/{USCC}", date(2026, 7, 5), False,
    )  # fmt: skip
    assert [one.overdue for one in await waits(connection, "drc", date(2026, 7, 6)) if one.kind == "push"] == [True]
    await took(connection, story.pushed("bank-a", "bank-b"))
    (item,) = await waits(connection, "bank-b")
    assert (item.kind, item.due_on, item.href) == ("pushed", date(2026, 3, 9), f"/financing/{USCC}")
    await took(connection, review.FinancingRefused(uscc=USCC, institution="bank-b", reason="行业"))
    assert await kinds(connection, "drc", "bank-a", "bank-b") == [[], [("pushed", USCC)], []]
    await took(connection, story.covered())
    assert await kinds(connection, "drc", "bank-a") == [[], []]


async def test_claims_wait_for_their_batch_then_for_votes_then_for_both_decisions(connection: AsyncConnection) -> None:
    await took(connection, story.opened(), round_opened("drc", "bank-b"), story.covered(), claim_accepted())
    assert await kinds(connection, "drc", today=date(2026, 6, 30)) == [[]]
    july = date(2026, 7, 1)
    (item,) = [one for one in await waits(connection, "drc", july) if one.kind == "batch"]
    assert (item.about, item.href, item.due_on) == ("2026H1", "/claims/2026H1", date(2026, 7, 31))

    await took(connection, review.ClaimBatchOpened(half="2026H1", loan_nos=("A-1",), opened_on=july))
    claim = [("claim", "A-1")]
    assert await kinds(connection, "drc", "bank-b", "bank-a", today=july) == [claim, claim, []]
    await took(connection, review.ClaimVoteCast(**LOAN, seat="bank-b", opinion="approve"))
    assert await kinds(connection, "drc", "bank-b", today=july) == [claim, []]
    await took(connection, review.ClaimRevoteOpened(**LOAN))
    assert await kinds(connection, "bank-b", today=july) == [claim]
    await took(connection, claim_verified())
    assert await kinds(connection, "drc", "bank-b", today=july) == [[("submit", "2026H1")], []]
    await took(connection, review.ClaimBatchSubmitted(half="2026H1", loan_nos=("A-1",)))
    assert await kinds(connection, "drc", "government", today=july) == [[], [("consent_batch", "2026H1")]]
    await took(connection, story.life()["review"][-1])
    assert await kinds(connection, "drc", "government", today=july) == [[("notice", "")], []]
    (notice,) = [one for one in await waits(connection, "drc", july) if one.kind == "notice"]
    assert notice.figures == (("claims", "1"), ("amount", "1250000.00")) and notice.since == date(2026, 7, 15)


async def test_a_claim_without_statements_waits_for_the_institution(connection: AsyncConnection) -> None:
    refused = review.ClaimRefused(uscc=USCC, loan_no="A-1", claimant="bank-a", rule="claim.statement")
    await took(connection, refused)
    (item,) = await waits(connection, "bank-a")
    assert (item.kind, item.href) == ("statement", "/loans/A-1")
    await took(connection, claim_accepted())
    assert await waits(connection, "bank-a") == []


async def test_the_custodian_settles_and_the_institution_remits(connection: AsyncConnection) -> None:
    signed = review.AgreementSigned(
        institution="custodian", kind="custodian", name="托管", valid_from=TODAY, valid_to=day("2028-12-31")
    )
    july = date(2026, 7, 20)
    await took(connection, signed, story.covered(), story.instructed(1, "A-1", yuan(5)))
    items = await waits(connection, "custodian", july)
    assert [(one.kind, one.about, one.due_on) for one in items] == [
        ("report", "custodian_half_year:2026H1", date(2026, 7, 31)),
        ("disbursement", "D1", None),
    ]
    filed = pool.ReportFiled(kind="custodian_half_year", period="2026H1", by="custodian", filed_on=july)
    await took(connection, story.settled(2, "A-1", yuan(5)), filed, *story.life()["recovery"][:2])
    assert await waits(connection, "custodian", july) == []
    (item,) = await waits(connection, "bank-a", date(2026, 9, 30))
    assert (item.kind, item.about, item.due_on, item.overdue) == ("remittance", "A-1", date(2026, 9, 30), False)
    (item,) = await waits(connection, "bank-a", date(2026, 10, 1))
    assert item.overdue and item.figures == (("amount", "500000.00"),)


async def test_two_units_approve_a_write_off_and_a_fee(connection: AsyncConnection) -> None:
    requested = recovery.WriteOffRequested(
        **LOAN, ground="bankruptcy", ruling_no="1", ruled_on=day("2026-08-01"), by="bank-a"
    )
    income = pool.IncomeBooked(
        on=TODAY, fund=story.fund(1), amount=yuan(100), period="2026H1", bank_ref="I", loss=False
    )
    await took(connection, requested, income)
    both = [("fee", "2026"), ("write_off", "A-1")]
    assert await kinds(connection, "drc", "finance") == [[("write_off", "A-1")]] * 2
    new_year = date(2027, 1, 2)
    assert await kinds(connection, "drc", "finance", today=new_year) == [both] * 2
    approval = pool.FeeApproval(on=new_year, fund=story.fund(2), year=2026, rate=Decimal("0.18"), by="drc")
    await took(connection, recovery.WriteOffApproval(**LOAN, by="finance"), approval)
    assert await kinds(connection, "drc", "finance", today=new_year) == [[("write_off", "A-1")], [("fee", "2026")]]
    released = pool.FeeReleased(
        on=new_year, fund=story.fund(3), year=2026, rate=Decimal("0.18"), income=yuan(100), amount=yuan(18)
    )
    await took(connection, recovery.WriteOffApproved(**LOAN, amount=1), released)
    assert await kinds(connection, "drc", "finance", today=new_year) == [[], []]


async def test_departments_see_their_quota_and_the_bad_loans_to_follow_up(connection: AsyncConnection) -> None:
    await took(connection, story.referred(), story.covered(), claim_accepted())
    items = await waits(connection, "scitech", date(2026, 3, 1))
    assert [(one.kind, one.about, one.due_on, one.figures) for one in items] == [
        ("quota", "2026Q1", date(2026, 3, 31), (("referrals", "1 / 5"),)),
        ("tracking", "A-1", None, ()),
    ]
    pressed = referral.TrackingRecorded(
        uscc=USCC, by="scitech", note="催收", anomaly=False, kind="recovery_help", recorded_on=TODAY
    )
    await took(connection, pressed)
    assert [one.kind for one in await waits(connection, "scitech", date(2026, 3, 1))] == ["quota"]
    assert [one.kind for one in await waits(connection, "rulin")] == []


async def test_finance_sees_the_capital_that_is_missing(connection: AsyncConnection) -> None:
    (item,) = await waits(connection, "finance")
    assert (item.kind, item.figures) == ("capital", (("amount", "30000000.00"),))
    await took(connection, story.instructed(1, "A-1", 1, capital=yuan(30_000_000)))
    assert await waits(connection, "finance") == []


async def test_a_statement_that_differs_waits_until_a_later_one_agrees(connection: AsyncConnection) -> None:
    figures: dict[str, Any] = {"on": TODAY, "fund": story.fund(1), "ledger": 1}
    await took(connection, pool.StatementMismatch(as_of=TODAY, statement=2, **figures))
    assert await kinds(connection, "drc") == [[("mismatch", "2026-01-20")]]
    await took(connection, pool.StatementReconciled(as_of=TODAY + timedelta(1), statement=1, **figures))
    assert await kinds(connection, "drc") == [[]]


async def test_only_what_the_caller_may_do_waits(connection: AsyncConnection) -> None:
    await took(connection, review.ConsentRequested(uscc=USCC, round=1, ratio=Decimal(1)))
    await took(connection, story.referred(OTHER))
    assert [one.kind for one in await waits(connection, "government", TODAY, "head")] == ["consent"]
    assert await waits(connection, "government", TODAY, "officer") == []
    assert [one.kind for one in await waits(connection, "drc", TODAY, "officer")] == ["screen"]
    assert await waits(connection, "drc", TODAY, "auditor") == [] == await waits(connection, "drc", TODAY, "admin")


async def test_what_is_overdue_comes_first_then_what_waits_longest(connection: AsyncConnection) -> None:
    await took(connection, story.referred(), story.opened(OTHER), story.rated(uscc=OTHER))
    items = await waits(connection, "drc", date(2026, 8, 1))
    assert [(one.kind, one.overdue) for one in items] == [
        ("push", True), ("report", True), ("screen", False),
    ]  # fmt: skip


async def test_the_navigation_counts_what_the_list_holds_and_follows_every_event(connection: AsyncConnection) -> None:
    async def counted(organisation: str) -> dict[str, int]:
        return await counts(connection, who(organisation), TODAY)

    assert await counted("drc") == {}
    await took(connection, story.referred(), story.referred(OTHER))
    assert await counted("drc") == {"worklist": 2, "cases": 2}
    await took(connection, story.admitted(), story.opened())
    assert await counted("drc") == {"worklist": 2, "cases": 1, "review": 1}
    assert await counts(connection, who("drc", "auditor"), TODAY) == {}


async def test_a_life_leaves_nothing_waiting_that_is_done(connection: AsyncConnection) -> None:
    opened = review.ClaimBatchOpened(half="2026H1", loan_nos=("A-1",), opened_on=day("2026-07-01"))
    life = story.life()
    life["review"][-1:-1] = [opened, claim_verified(), review.ClaimBatchSubmitted(half="2026H1", loan_nos=("A-1",))]
    await take(connection, [event for events in life.values() for event in events])
    later = date(2026, 10, 20)
    everyone: Sequence[str] = ("drc", "finance", "government", "scitech", "bank-a", "bank-b")
    found = await kinds(connection, *everyone, today=later)
    assert found == [[], [], [], [("tracking", "A-1")], [("remittance", "A-1")], []]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_word_in_both_languages(kind: str) -> None:
    from services.gateway.console.words import word

    assert word("zh", "work", kind) != kind and word("en", "work", kind) != kind


async def test_schemes_do_not_see_each_other(connection: AsyncConnection) -> None:
    await take(connection, [story.referred()], scheme="elsewhere")
    assert await waits(connection, "drc") == []
    elsewhere = replace(who("drc"), scheme=replace(YANQING, id="elsewhere"))
    assert [one.kind for one in await worklist(connection, elsewhere, TODAY)] == ["screen"]
