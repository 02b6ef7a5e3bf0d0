"""The handlers on a real database: who surrounds an enterprise, and that the stored state is the fold."""

import itertools
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.referral import handlers, tables
from services.referral.aggregates import BARS, CASES, DEPARTMENT_YEARS
from services.referral.domain.case import Case
from services.referral.domain.group import parties_of
from services.referral.queries import surroundings
from shared.contracts import commands, recovery, review
from shared.contracts.registry import EVENTS
from shared.decisions import Decision
from shared.messaging.tables import outbox
from shared.messaging.unit_of_work import NotYet, Transaction, UnitOfWork
from shared.scheme.loader import load_scheme
from tests.conftest import Postgres, make_tables
from tests.referral.stories import A, B, C, D, holder, names, person, referral, refused
from tests.referral.test_outcomes import covered, settled

AGGREGATES = (CASES, BARS, DEPARTMENT_YEARS)
SCHEME = load_scheme("yanqing")
ON = datetime(2026, 3, 2, 9, tzinfo=ZoneInfo("Asia/Shanghai"))


class Desk:
    """Carries out one message after the other, each in a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.numbers = itertools.count(1)

    def unit(self, connection: Any, sender: str = "scitech") -> UnitOfWork:
        transaction = Transaction(connection, "referral", AGGREGATES)
        return UnitOfWork(transaction, SCHEME, ON, sender, "", f"message-{next(self.numbers)}")

    async def do(self, verb: str, message: object, sender: str = "scitech") -> Decision:
        async with self.engine.begin() as connection:
            unit = self.unit(connection, sender)
            decision: Decision = await getattr(handlers, verb)(unit, message)
            await unit.record(decision.events)
            await unit.transaction.flush()
            return decision

    async def case(self, uscc: str) -> Case:
        async with self.engine.connect() as connection:
            case = await self.unit(connection).load(CASES, uscc)
            assert case is not None
            return case

    async def tied(self, uscc: str) -> list[str]:
        async with self.engine.connect() as connection:
            case = await self.case(uscc)
            return [found.uscc for found in (await surroundings(self.unit(connection), uscc, case.application)).cases]


@pytest.fixture
async def desk(postgres: Postgres) -> AsyncIterator[Desk]:
    engine = create_async_engine(postgres.database())
    async with engine.begin() as connection:
        await connection.run_sync(make_tables, tables.metadata)
    yield Desk(engine)
    await engine.dispose()


async def admit(desk: Desk, uscc: str) -> None:
    await desk.do("screen_referral", commands.ScreenReferral(uscc=uscc, decision="admit"), "drc")


async def test_an_enterprise_is_surrounded_by_all_that_a_chain_of_holdings_reaches(desk: Desk) -> None:
    await desk.do("refer_enterprise", referral(A))
    await desk.do("refer_enterprise", referral(B, shareholders=[holder("0.25", uscc=A)]))
    await desk.do("refer_enterprise", referral(C, shareholders=[holder("0.25", uscc=B)]))
    await desk.do("refer_enterprise", referral(D))
    assert await desk.tied(A) == sorted([B, C]) and await desk.tied(C) == sorted([A, B])
    assert await desk.tied(D) == []


async def test_a_covered_loan_shuts_out_affiliates_that_are_referred_before_and_after(desk: Desk) -> None:
    await desk.do("refer_enterprise", referral(A))
    await admit(desk, A)
    await desk.do("refer_enterprise", referral(B, actual_controller=person(f"P-{A}")))
    assert names(await desk.do("note_loan", covered(A))) == ["LoanNoted", "ReferralClosed"]
    assert (await desk.case(B)).status == "ended"
    await desk.do("refer_enterprise", referral(C, shareholders=[holder("0.30", person=f"P-{A}")]))
    screened = await desk.do("screen_referral", commands.ScreenReferral(uscc=C, decision="admit"), "drc")
    refused(screened, "eligible.once")
    refused(await desk.do("refer_enterprise", referral(A), "commerce"), "eligible.open_case", "financed")


async def test_an_amendment_is_examined_among_those_that_it_ties_to(desk: Desk) -> None:
    await desk.do("refer_enterprise", referral(A))
    await admit(desk, A)
    await desk.do("note_loan", covered(A))
    await desk.do("refer_enterprise", referral(B))
    change = {"uscc": B, "actual_controller": person(f"P-{A}")}
    await desk.do("amend_referral", commands.AmendReferral.model_validate_json(json.dumps(change)))
    case = await desk.case(B)
    assert next(f for f in case.findings if f.rule == "eligible.once").figures["link"] == "same_controller"
    assert case.parties == parties_of(B, case.application)


async def test_a_bar_is_found_at_the_next_screening(desk: Desk) -> None:
    await desk.do("refer_enterprise", referral(A))
    await desk.do("bar_enterprise", commands.BarEnterprise(uscc=A, reason="骗贷"), "drc")
    await desk.do("refer_enterprise", referral(B, legal_representative=person(f"R-{A}")))
    for uscc in (A, B):
        screened = await desk.do("screen_referral", commands.ScreenReferral(uscc=uscc, decision="admit"), "drc")
        refused(screened, "eligible.bar")


async def test_a_repayment_that_overtakes_its_loan_waits(desk: Desk) -> None:
    await desk.do("refer_enterprise", referral(A))
    await admit(desk, A)
    repaid = review.PrincipalRepaid(uscc=A, loan_no="L-1", amount=1, outstanding=0, repaid_on=ON.date())
    with pytest.raises(NotYet):
        await desk.do("end_repaid", repaid)
    closed = recovery.RecoveryClosed(uscc=A, loan_no="L-1", remitted=1, clawed_back=0)
    with pytest.raises(NotYet):
        await desk.do("end_recovered", closed)
    await desk.do("note_loan", covered(A))
    assert names(await desk.do("end_repaid", repaid)) == ["ReferralClosed"]
    assert names(await desk.do("end_recovered", closed)) == []


async def test_a_message_about_an_unknown_enterprise_changes_nothing(desk: Desk) -> None:
    for verb, message in (
        ("note_failure", review.FinancingFailed(uscc=A, failures=1, cause="declined")),
        ("end_exhausted", review.FinancingExhausted(uscc=A, failures=2)),
        ("end_declined", review.EnterpriseDeclined(uscc=A, round=1)),
        ("end_vetoed", review.EnterpriseVetoed(uscc=A, reason="否决")),
        ("end_closed", review.CaseClosed(uscc=A, outcome="closed", rule="eligible.once")),
        ("note_loan", covered(A)),
        ("end_recovered", recovery.RecoveryClosed(uscc=A, loan_no="L-1", remitted=1, clawed_back=0)),
    ):
        assert names(await desk.do(verb, message)) == []


async def test_the_stored_state_is_the_fold_of_the_outbox(desk: Desk) -> None:
    await desk.do("refer_enterprise", referral(A, need="6000000.00", materials=[]))
    await desk.do("record_finding", commands.RecordFinding(uscc=A, note="逾期", adverse=True), "bank-a")
    screened = {"uscc": A, "decision": "return", "reason": "补充"}
    await desk.do("screen_referral", commands.ScreenReferral.model_validate(screened), "drc")
    amended = {"uscc": A, "need": "5000000.00", "materials": list(referral(A).materials)}
    await desk.do("amend_referral", commands.AmendReferral.model_validate_json(json.dumps(amended)))
    await admit(desk, A)
    await desk.do("note_failure", review.FinancingFailed(uscc=A, failures=1, cause="declined"))
    await desk.do("note_loan", covered(A))
    await desk.do("record_tracking", commands.RecordTracking(uscc=A, note="停产", anomaly=True))
    await desk.do("bar_enterprise", commands.BarEnterprise(uscc=A, reason="骗贷"), "drc")
    for uscc in (A, B):
        await desk.do("count_compensation", settled(uscc, f"L-{uscc}", ON.date()))
    async with desk.engine.connect() as connection:
        payloads = (await connection.execute(select(outbox.c.name, outbox.c.payload).order_by(outbox.c.id))).all()
        folded: dict[tuple[str, str], Any] = {}
        for name, payload in payloads:
            data = json.dumps(json.loads(payload)["data"])
            event = EVENTS[("referral", name)].model_validate_json(data)
            for aggregate in AGGREGATES:
                for key in aggregate.keys(event):
                    folded[aggregate.name, key] = aggregate.evolve(folded.get((aggregate.name, key)), event)  # type: ignore
        assert {place[0] for place in folded} == {"cases", "bars", "department_years"}
        for aggregate in AGGREGATES:
            for row in await connection.execute(select(aggregate.table.c.key, aggregate.table.c.doc)):
                assert folded.pop((aggregate.name, row.key)).model_dump(mode="json") == row.doc
        assert not folded


async def test_the_database_refuses_a_financed_case_without_a_loan(desk: Desk) -> None:
    await desk.do("refer_enterprise", referral(A))
    case = (await desk.case(A)).model_copy(update={"status": "financed"})
    with pytest.raises(IntegrityError, match="cases_financed_by_a_loan"):
        async with desk.engine.begin() as connection:
            await connection.execute(tables.cases.update().values(doc=case.model_dump(mode="json")))
