"""The handlers of the case on a real database: what they find there, and that the stored state is the fold."""

import itertools
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.review import tables
from services.review.aggregates import AGREEMENTS, BATCHES, CASES, HIGH_QUOTAS, LOANS, SUBSIDIES
from services.review.domain.cases import Case
from services.review.domain.loans import Loan
from services.review.handlers import cases as handlers
from shared.aggregates import Aggregate
from shared.contracts import commands, gateway, partners, referral
from shared.contracts.commands import Person
from shared.contracts.registry import EVENTS
from shared.decisions import Decision, Refusal
from shared.messaging.tables import outbox
from shared.messaging.unit_of_work import Transaction, UnitOfWork
from shared.scheme.loader import load_scheme
from tests.conftest import Postgres, make_tables
from tests.review.story import SEATS, A, B, C, day

AGGREGATES: tuple[Aggregate[Any], ...] = (CASES, AGREEMENTS, HIGH_QUOTAS, LOANS, BATCHES, SUBSIDIES)
SCHEME = load_scheme("yanqing")


@pytest.fixture
async def engine(postgres: Postgres) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(postgres.database())
    async with engine.begin() as connection:
        await connection.run_sync(make_tables, tables.metadata)
    yield engine
    await engine.dispose()


class Desk:
    """Carries out one message after the other, each in a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.numbers = itertools.count(1)

    async def do(self, verb: str, message: object, sender: str = "drc", on: str = "2026-01-15") -> Decision:
        now = datetime.fromisoformat(on).replace(tzinfo=ZoneInfo("Asia/Shanghai")) + timedelta(hours=9)
        async with self.engine.begin() as connection:
            transaction = Transaction(connection, "review", AGGREGATES)
            unit = UnitOfWork(transaction, SCHEME, now, sender, "", f"message-{next(self.numbers)}")
            decision: Decision = await getattr(handlers, verb)(unit, message)
            await unit.record(decision.events)
            await transaction.flush()
        return decision

    async def case(self, uscc: str) -> Case:
        async with self.engine.connect() as connection:
            case = await Transaction(connection, "review", AGGREGATES).load(SCHEME.id, CASES, uscc)
        assert case is not None
        return case

    async def sign(self, institution: str, kind: str) -> None:
        command = commands.SignAgreement.model_validate({
            "institution": institution, "kind": kind, "name": institution, "valid_from": day("2026-01-01"),
            "valid_to": day("2028-12-31"), "products": ("bank", "guarantee"),
            "guarantor_shares": {"bank-a": Decimal("0.7")} if kind == "guarantor" else None,
            "terms": {"annual_rate_from": Decimal("0.0385"), "collateral": "none", "own_product": True},
        })
        await self.do("sign_agreement", command)

    async def admit(self, uscc: str, affiliates: tuple[str, ...] = (), shareholders: tuple[str, ...] = ()) -> None:
        admitted = referral.EnterpriseAdmitted(
            uscc=uscc, name=uscc, recommender="scitech", need=3_000_000_00, need_waived=False, sector="other",
            legal_representative=Person(name="赵一", id=f"id-{uscc}"), affiliates=affiliates,
            shareholders=shareholders, findings=(), admitted_on=day("2026-01-14"),
        )
        await self.do("enterprise_admitted", admitted, "referral")

    async def rate(self, uscc: str, grade: str = "medium", on: str = "2026-01-15") -> Decision:
        await self.do("open_rating_round", commands.OpenRatingRound(uscc=uscc, seats=SEATS), on=on)
        for seat in SEATS:
            vote = commands.CastVote.model_validate({"uscc": uscc, "grade": grade})
            answer = await self.do("cast_vote", vote, seat, on)
        return answer

    async def push(self, uscc: str, on: str = "2026-01-20") -> Decision:
        command = commands.PushFinancing(uscc=uscc, product="guarantee", institutions=("bank-a", "guarantor-a"))
        return await self.do("push_financing", command, on=on)

    async def disburse(self, uscc: str, loan_no: str, on: str = "2026-01-26") -> Decision:
        report = partners.LoanDisbursed(
            uscc=uscc, loan_no=loan_no, product="guarantee", principal=3_000_000_00, annual_rate=Decimal("0.04"),
            disbursed_on=day(on), matures_on=day("2027-01-25"), guarantor="guarantor-a",
        )
        return await self.do("loan_disbursed", report, "bank-a", on)


@pytest.fixture
async def desk(engine: AsyncEngine) -> Desk:
    desk = Desk(engine)
    await desk.sign("bank-a", "bank")
    await desk.sign("guarantor-a", "guarantor")
    return desk


def names(decision: Decision) -> list[str]:
    return [type(event).__name__ for event in decision.events]


async def test_a_group_is_found_whichever_side_names_the_other(desk: Desk) -> None:
    await desk.admit(A, affiliates=(B,), shareholders=(C,))
    await desk.admit(B)
    await desk.admit(C)
    for uscc in (A, B, C):
        await desk.rate(uscc)
    assert names(await desk.push(A)) == ["FinancingPushed"]
    refusals = [await desk.push(B), await desk.push(C)]
    assert [each.rule for each in refusals if isinstance(each, Refusal)] == ["eligible.once", "eligible.once"]
    covered = await desk.disburse(A, "A-0001")
    assert names(covered) == ["LoanCovered", "CaseClosed", "CaseClosed"]
    assert [(await desk.case(uscc)).status for uscc in (A, B, C)] == ["financed", "closed", "closed"]
    again = await desk.disburse(A, "A-0001")
    assert not isinstance(again, Refusal)
    assert again.duplicate


async def test_a_day_touches_only_the_cases_that_are_due(desk: Desk) -> None:
    for uscc in (A, B, C):
        await desk.admit(uscc)
    await desk.rate(A)
    await desk.rate(B, on="2026-03-02")
    await desk.push(A)
    due = await desk.case(A)
    assert due.deadline_on == day("2026-03-09")
    for on, expected in (("2026-03-09", []), ("2026-03-10", ["FinancingFailed"]), ("2026-09-02", []),
                         ("2026-09-03", ["RatingLapsed"])):
        started = gateway.BusinessDayStarted(date=day(on))
        assert names(await desk.do("business_day_started", started, "gateway", on)) == expected
    assert [(await desk.case(uscc)).status for uscc in (A, B, C)] == ["admitted"] * 3


async def test_a_bar_reaches_every_case_of_the_legal_representative(desk: Desk) -> None:
    for uscc in (A, B):
        await desk.admit(uscc)
    barred = referral.EnterpriseBarred(
        uscc=C, name="丙", legal_representative=Person(name="赵一", id=f"ID-{A}"), barred_on=day("2026-02-01"),
        until=day("2029-02-01"), reason="骗贷",
    )
    assert names(await desk.do("enterprise_barred", barred, "referral", "2026-02-01")) == ["CaseBarred"]
    assert [(await desk.case(uscc)).barred_until for uscc in (A, B)] == [day("2029-02-01"), None]


async def test_a_year_takes_two_high_ratings_and_a_veto_makes_room(desk: Desk) -> None:
    for uscc in (A, B, C):
        await desk.admit(uscc)
        await desk.rate(uscc, "high")
    answers = []
    for uscc in (A, B, C):
        consent = commands.ConsentHighRisk(uscc=uscc, decision="consent", document_no="8号")
        answers.append(await desk.do("consent_high_risk", consent, "government"))
    assert isinstance(answers[2], Refusal)
    assert answers[2].figures["used"] == "2"
    veto = commands.VetoEnterprise(uscc=A, reason="不符合方向")
    assert names(await desk.do("veto_enterprise", veto)) == ["EnterpriseVetoed", "HighSlotFreed"]
    consent = commands.ConsentHighRisk(uscc=C, decision="consent", document_no="9号")
    assert names(await desk.do("consent_high_risk", consent, "government")) == ["EnterpriseRated"]


async def test_the_stored_state_is_the_fold_of_the_announced_events(desk: Desk) -> None:
    await desk.admit(A)
    await desk.rate(A)
    await desk.push(A)
    await desk.disburse(A, "A-0001")
    folded: dict[tuple[str, str], Any] = {}
    async with desk.engine.connect() as connection:
        for row in await connection.execute(select(outbox.c.name, outbox.c.payload).order_by(outbox.c.id)):
            event = EVENTS["review", row.name].model_validate_json(json.dumps(json.loads(row.payload)["data"]))
            for aggregate in AGGREGATES:
                for key in aggregate.keys(event):
                    place = (aggregate.name, key)
                    folded[place] = aggregate.evolve(folded.get(place), event)
        stored = Transaction(connection, "review", AGGREGATES)
        assert set(folded) == {
            ("cases", A), ("loans", "A-0001"), ("agreements", "bank-a"), ("agreements", "guarantor-a")
        }
        for aggregate in AGGREGATES:
            for (name, key), state in folded.items():
                assert name != aggregate.name or await stored.load(SCHEME.id, aggregate, key) == state


async def test_the_database_refuses_a_second_loan_of_an_enterprise_and_more_outstanding_than_lent(desk: Desk) -> None:
    await desk.admit(A)
    await desk.rate(A)
    await desk.push(A)
    await desk.disburse(A, "A-0001")
    async with desk.engine.connect() as connection:
        loan = await Transaction(connection, "review", AGGREGATES).load(SCHEME.id, LOANS, "A-0001")
    assert isinstance(loan, Loan)
    for key, wrong in (("A-0002", loan), ("A-0003", loan.model_copy(update={"uscc": B, "outstanding_fen": -1})),
                       ("A-0004", loan.model_copy(update={"uscc": B, "outstanding_fen": 3_000_000_01}))):
        row = {"scheme": SCHEME.id, "key": key, "version": 1, "doc": wrong.model_dump(mode="json")}
        async with desk.engine.connect() as connection:
            with pytest.raises(IntegrityError):
                await connection.execute(tables.loans.insert(), row)
