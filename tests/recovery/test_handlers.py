"""The handlers on a real database: what they find, what the database refuses, and that the state is the fold."""

import itertools
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.recovery import handlers, tables
from services.recovery.aggregates import RECOVERIES, REPORTS
from services.recovery.domain.recovery import Recovery
from shared.contracts import commands, gateway, partners, pool, review
from shared.contracts.registry import EVENTS
from shared.decisions import Accepted, Decision
from shared.messaging.tables import outbox
from shared.messaging.unit_of_work import NotYet, Transaction, UnitOfWork
from shared.money import parse_yuan
from shared.scheme.loader import load_scheme
from tests.conftest import Postgres, make_tables
from tests.recovery.stories import LOAN, TODAY, USCC, names, opened, refused, settled

AGGREGATES = (RECOVERIES, REPORTS)
SCHEME = load_scheme("yanqing")


class Desk:
    """Carries out one message after the other, each in a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.numbers = itertools.count(1)

    def unit(self, connection: Any, sender: str = "bank-a", kind: str = "") -> UnitOfWork:
        now = datetime.combine(TODAY, datetime.min.time(), ZoneInfo("Asia/Shanghai"))
        transaction = Transaction(connection, "recovery", AGGREGATES)
        return UnitOfWork(transaction, SCHEME, now, sender, kind, f"message-{next(self.numbers)}")

    async def do(self, verb: str, message: object, sender: str = "bank-a", kind: str = "") -> Decision:
        async with self.engine.begin() as connection:
            unit = self.unit(connection, sender, kind)
            decision: Decision = await getattr(handlers, verb)(unit, message)
            await unit.record(decision.events)
            await unit.transaction.flush()
            return decision

    async def collect(self, amount: str) -> Decision:
        fact = {"loan_no": LOAN, "amount": amount, "collected_on": "2026-08-31"}
        return await self.do("share_recovery", partners.RecoveryCollected.model_validate_json(json.dumps(fact)))

    async def recovery(self) -> Recovery:
        async with self.engine.connect() as connection:
            recovery = await self.unit(connection).load(RECOVERIES, LOAN)
            assert recovery is not None
            return recovery


@pytest.fixture
async def desk(postgres: Postgres) -> AsyncIterator[Desk]:
    engine = create_async_engine(postgres.database())
    async with engine.begin() as connection:
        await connection.run_sync(make_tables, tables.metadata)
    yield Desk(engine)
    await engine.dispose()


def booked(amount: str, purpose: str = "recovery", loan_no: str = LOAN) -> pool.FundsBooked:
    return pool.FundsBooked.model_construct(
        purpose=purpose, uscc=USCC, loan_no=loan_no, amount=parse_yuan(amount), applied=parse_yuan(amount),
        bank_ref="R-1", received_on=TODAY,
    )


async def test_money_that_overtakes_its_compensation_waits(desk: Desk) -> None:
    with pytest.raises(NotYet):
        await desk.do("book_remittance", booked("1.00"))
    assert names(await desk.do("book_remittance", booked("1.00", "other", ""))) == []


async def test_a_day_flags_only_what_is_late_by_then(desk: Desk) -> None:
    await desk.do("credit_compensation", settled("1250000.00"))
    await desk.collect("100.00")
    due_on = (await desk.recovery()).next_due_on
    assert due_on is not None
    for days, expected in ((0, []), (1, ["RemittanceOverdue"]), (2, [])):
        day = gateway.BusinessDayStarted(date=due_on + timedelta(days=days))
        assert names(await desk.do("flag_overdue", day)) == expected


async def test_a_clawback_asks_for_the_named_loans_that_recovery_knows(desk: Desk) -> None:
    await desk.do("credit_compensation", settled("1250000.00"))
    fact = {"institution": "bank-a", "measure": "clawback", "loan_nos": (LOAN, "A-9999"), "reason": "骗贷",
            "sanctioned_on": TODAY}
    decision = await desk.do("demand_clawback", review.InstitutionSanctioned.model_validate(fact))
    assert names(decision) == ["ClawbackDemanded"]
    assert (await desk.recovery()).demanded_fen == parse_yuan("1250000.00")


async def test_a_report_is_filed_once(desk: Desk) -> None:
    report = commands.FileReport(kind="recovery_half_year", period="2026H1")
    assert names(await desk.do("file_report", report, "drc", "drc")) == ["ReportFiled"]
    again = await desk.do("file_report", report, "drc", "drc")
    assert isinstance(again, Accepted) and again.duplicate
    refused(await desk.do("file_report", report, "custodian", "custodian"), "permission", "recovery_report")


async def test_the_first_years_figures_and_the_stored_state_is_the_fold_of_the_outbox(desk: Desk) -> None:
    await desk.do("credit_compensation", settled("1250000.00"))
    await desk.collect("1000000.00")
    await desk.collect("333333.33")
    assert (await desk.recovery()).pool_share_fen == parse_yuan("666666.67")
    await desk.do("book_remittance", booked("666666.67"))
    ruling = partners.WriteOffProposed(loan_no=LOAN, ground="execution_terminated", ruling_no="执1号", ruled_on=TODAY)
    await desk.do("propose_writeoff", ruling)
    for unit in ("drc", "finance"):
        await desk.do("approve_writeoff", commands.ApproveWriteOff(loan_no=LOAN, decision="approve"), unit, unit)
    assert (await desk.recovery()).written_off_fen == parse_yuan("583333.33")
    await desk.do("file_report", commands.FileReport(kind="recovery_half_year", period="2026H1"), "drc", "drc")
    await desk.do("book_remittance", booked("583333.33", "clawback"))
    async with desk.engine.connect() as connection:
        folded: dict[tuple[str, str], Any] = {}
        for name, payload in await connection.execute(select(outbox.c.name, outbox.c.payload).order_by(outbox.c.id)):
            event = EVENTS[("recovery", name)].model_validate_json(json.dumps(json.loads(payload)["data"]))
            for aggregate in AGGREGATES:
                for key in aggregate.keys(event):
                    folded[aggregate.name, key] = aggregate.evolve(folded.get((aggregate.name, key)), event)  # type: ignore
        for aggregate in AGGREGATES:
            for row in await connection.execute(select(aggregate.table.c.key, aggregate.table.c.doc)):
                assert folded.pop((aggregate.name, row.key)).model_dump(mode="json") == row.doc
        assert not folded
    assert (await desk.recovery()).status == "closed"


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"pool_share_fen": 125_000_001, "collected_fen": 125_000_001}, "recoveries_share_within_paid"),
        ({"collected_fen": 1}, "recoveries_shares_add_up"),
        ({"remitted_fen": -1}, "recoveries_remitted"),
        ({"institution_share_fen": -1, "collected_fen": -1}, "recoveries_institution_share"),
        ({"written_off_fen": 125_000_001}, "recoveries_written_off_within_paid"),
        ({"paid_fen": 250_000_000}, "recoveries_paid_within_verified"),
    ],
)
async def test_the_database_checks_the_money_rules_again(
    desk: Desk, changes: dict[str, int], constraint: str
) -> None:
    wrong = opened().model_copy(update=changes)
    row = {"scheme": "yanqing", "key": LOAN, "version": 1, "doc": wrong.model_dump(mode="json")}
    with pytest.raises(IntegrityError, match=constraint):
        async with desk.engine.begin() as connection:
            await connection.execute(tables.recoveries.insert().values(**row))
