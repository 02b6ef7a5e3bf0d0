"""The pool on a real PostgreSQL: use cases through the unit of work, and the rules that the database keeps itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.pool import handlers, tables
from services.pool.audit import audit
from services.pool.journal import JournalRows
from services.pool.queries import account_balances, cash_at_end_of
from services.pool.store import AGGREGATES, BANK_REF, load_fund
from shared.clock import SHANGHAI
from shared.contracts.commands import InjectCapital, IssuePayoutNotice
from shared.contracts.partners import FundsReceived, StatementIssued, TransferSettled
from shared.contracts.pool import PoolEvent
from shared.contracts.registry import EVENTS
from shared.contracts.review import CompensationApproved
from shared.database import migrate
from shared.decisions import Accepted, Decision
from shared.messaging import tables as core
from shared.messaging.unit_of_work import Transaction, UnitOfWork
from shared.scheme.loader import load_scheme
from tests.conftest import Postgres
from tests.pool.world import fen, item

YANQING = load_scheme("yanqing")


@pytest.fixture
async def engine(postgres: Postgres) -> AsyncIterator[AsyncEngine]:
    postgres.role("pool")
    url = postgres.database()
    await asyncio.to_thread(migrate, "pool", url, "pool")
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(core.schemes.insert().values(scheme="yanqing", version=YANQING.version))
    yield engine
    await engine.dispose()


async def do(engine: AsyncEngine, handler: Any, message: Any, day: date = date(2026, 3, 2)) -> Decision:
    """One message in one transaction, as the service does it."""
    async with engine.begin() as connection:
        transaction = Transaction(connection, "pool", AGGREGATES, JournalRows)
        now = datetime(day.year, day.month, day.day, 9, tzinfo=SHANGHAI)
        unit = UnitOfWork(transaction, YANQING, now, "custodian", "custodian", "m")
        decision: Decision = await handler(unit, message)
        assert isinstance(decision, Accepted), decision
        await unit.record(decision.events)
        await transaction.flush()
        return decision


async def first_days(engine: AsyncEngine) -> None:
    for source in ("policy_fund", "inclusive_award"):
        capital = InjectCapital(source=source, amount=fen("15000000.00"), bank_ref=source)
        await do(engine, handlers.inject_capital, capital)
    items = (item("A", fen("100.00")), item("B", fen("50.00")))
    approved = CompensationApproved(half="2026H1", consented_on=date(2026, 3, 1), document_no="1", items=items)
    await do(engine, handlers.record_approval, approved)
    await do(engine, handlers.issue_payout_notice, IssuePayoutNotice(notice_no="1"))
    settled = TransferSettled(disbursement_id="D000001", bank_ref="B-1", settled_on=date(2026, 3, 3))
    await do(engine, handlers.settle_transfer, settled, date(2026, 3, 5))
    received = FundsReceived(
        purpose="recovery", loan_no="A", amount=fen("40.00"), bank_ref="R", received_on=date(2026, 3, 4)
    )
    await do(engine, handlers.book_funds, received, date(2026, 3, 5))


async def announced(connection: AsyncConnection) -> list[PoolEvent]:
    rows = await connection.execute(core.outbox.select().order_by(core.outbox.c.id))
    data = [(row.name, json.dumps(json.loads(row.payload)["data"])) for row in rows]
    read = [EVENTS["pool", name].model_validate_json(body) for name, body in data]
    return [event for event in read if isinstance(event, PoolEvent)]


async def test_a_story_leaves_states_entries_and_events_that_agree(engine: AsyncEngine) -> None:
    await first_days(engine)
    async with engine.connect() as connection:
        transaction = Transaction(connection, "pool", AGGREGATES)
        unit = UnitOfWork(transaction, YANQING, datetime(2026, 3, 5, tzinfo=SHANGHAI), "", "", "")
        fund = await load_fund(unit)
        assert fund is not None and fund.available_fen == fen("29999890.00")
        ledger = await account_balances(connection, "yanqing")
        assert (ledger["cash"], ledger["instructed"]) == (fund.cash_fen, -fund.instructed_fen)
        assert audit(await announced(connection), fund, ledger) == ()


async def test_a_statement_is_compared_with_the_ledgers_cash_at_the_end_of_its_day(engine: AsyncEngine) -> None:
    await first_days(engine)
    expected = {date(2026, 3, 1): "0.00", date(2026, 3, 2): "30000000.00", date(2026, 3, 3): "29999900.00",
                date(2026, 3, 4): "29999940.00"}
    for day, cash in expected.items():
        issued = StatementIssued(as_of=day, balance=fen(cash))
        decision = await do(engine, handlers.reconcile_statement, issued, date(2026, 3, 6))
        assert [type(event).__name__ for event in decision.events] == ["StatementReconciled"]
    async with engine.connect() as connection:
        assert await cash_at_end_of(connection, "another", date(2026, 3, 6)) == 0


@pytest.mark.parametrize("statement", ["update journal set amount_fen = 1", "delete from journal", "truncate journal"])
async def test_the_ledger_is_append_only(engine: AsyncEngine, statement: str) -> None:
    await first_days(engine)
    with pytest.raises(DBAPIError, match="append-only"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))


@pytest.mark.parametrize("wrong", [{"amount_fen": 0}, {"amount_fen": -5}, {"credit": "cash"}, {"seq": 1}])
async def test_a_row_of_the_journal_moves_money_from_one_account_to_another_once(
    engine: AsyncEngine, wrong: dict[str, object]
) -> None:
    day = datetime(2026, 3, 2, tzinfo=SHANGHAI)
    row = {"scheme": "yanqing", "seq": 2, "event_id": "e", "debit": "cash", "credit": "fee", "amount_fen": 5,
           "effective_on": day.date(), "recorded_at": day, "sha256": b"x"}  # fmt: skip
    async with engine.begin() as connection:
        await connection.execute(tables.journal.insert(), {**row, "seq": 1})
    with pytest.raises(IntegrityError):
        async with engine.begin() as connection:
            await connection.execute(tables.journal.insert(), {**row, **wrong})


async def test_what_moved_each_day_adds_up_to_the_journal(engine: AsyncEngine) -> None:
    await first_days(engine)
    added = """select account, effective_on, sum(greatest(amount_fen, 0)), sum(greatest(-amount_fen, 0))
               from entries group by 1, 2 order by 1, 2"""
    kept = "select account, day, debit_fen, credit_fen from account_days order by 1, 2"
    async with engine.connect() as connection:
        days = [tuple(row) for row in await connection.execute(text(kept))]
        assert days == [tuple(row) for row in await connection.execute(text(added))] and len(days) > 5


@pytest.mark.parametrize(
    "change",
    [
        {"cash_fen": -1}, {"cash_fen": 0}, {"instructed_fen": -1}, {"unallocated_fen": 3_000_000_000},
        {"shortfall_fen": 1}, {"counter_fen": 2_100_000_001}, {"state": "closed"}, {"gross_fen": -1},
    ],
)
async def test_the_database_refuses_a_fund_that_cannot_be(engine: AsyncEngine, change: dict[str, object]) -> None:
    await first_days(engine)
    with pytest.raises(IntegrityError):
        async with engine.begin() as connection:
            changed = text("update fund set doc = doc || cast(:change as jsonb)")
            await connection.execute(changed, {"change": json.dumps(change)})


async def test_the_database_refuses_what_happens_twice(engine: AsyncEngine) -> None:
    await first_days(engine)
    async with engine.begin() as connection:
        transaction = Transaction(connection, "pool", AGGREGATES)
        place = ("bank_ref", "yanqing", "R")
        known = await transaction.load("yanqing", BANK_REF, "R")
        transaction.states[place], transaction.changed[place] = known, BANK_REF
        with pytest.raises(IntegrityError, match="bank_refs_pkey"):
            await transaction.flush()
    for number, change in (("D000001", '{"status": "returned", "bank_ref": null}'), ("D000002", '{"amount_fen": 1}')):
        with pytest.raises(IntegrityError, match=f"disbursement {number} was"):
            async with engine.begin() as connection:
                update = "update disbursements set doc = doc || cast(:change as jsonb) where key = :number"
                await connection.execute(text(update), {"change": change, "number": number})


async def test_the_database_refuses_more_paid_than_approved_and_a_second_compensation(engine: AsyncEngine) -> None:
    await first_days(engine)
    for statement in (
        "update compensations set doc = doc || '{\"paid_fen\": 10001}' where key = 'A'",
        "insert into compensations (scheme, key, version, doc) select scheme, 'A2', version, doc from compensations",
        "update disbursements set doc = doc || '{\"status\": \"settled\"}' where key = 'D000002'",
    ):
        with pytest.raises(IntegrityError):
            async with engine.begin() as connection:
                await connection.execute(text(statement))
