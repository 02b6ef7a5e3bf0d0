"""The books from the roll-ups are the books from the journal, to the fen, whatever happened (pool.ledger, 二(二)2)."""

import asyncio
import json
import runpy
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from typer.testing import CliRunner

from riskpool.cli import app
from services.pool.books import Books, DayEnd
from services.pool.journal import JournalRows
from services.pool.queries import account_balances, balances_at_end_of, cash_at_end_of
from services.pool.store import AGGREGATES
from shared.clock import SHANGHAI
from shared.database import ROOT, migrate
from shared.decisions import Decision
from shared.messaging import tables as core
from shared.messaging.unit_of_work import Transaction, UnitOfWork
from shared.scheme.loader import load_scheme
from tests.conftest import Postgres
from tests.pool.history import START, History

YANQING = load_scheme("yanqing")
DAY = timedelta(days=1)
PERIODS = {
    "2024H2": (date(2024, 7, 1), date(2024, 12, 31)), "2025H1": (date(2025, 1, 1), date(2025, 6, 30)),
    "2025H2": (date(2025, 7, 1), date(2025, 12, 31)), "2025": (date(2025, 1, 1), date(2025, 12, 31)),
    "2026": (date(2026, 1, 1), date(2026, 12, 31)),
}


@pytest.fixture(scope="module", params=[1, 2])
def database(request: pytest.FixtureRequest, postgres: Postgres) -> str:
    """A pool with a random history of some eighteen months."""
    postgres.role("pool")
    url = postgres.database()
    migrate("pool", url, "pool")
    asyncio.run(_play(url, request.param))
    return url


async def _play(url: str, seed: int) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(core.schemes.insert().values(scheme="yanqing", version=YANQING.version))

    async def do(handler: Any, message: Any, day: date) -> Decision:
        async with engine.begin() as connection:
            transaction = Transaction(connection, "pool", AGGREGATES, JournalRows)
            now = datetime(day.year, day.month, day.day, 9, tzinfo=SHANGHAI)
            unit = UnitOfWork(transaction, YANQING, now, "custodian", "custodian", f"m-{day}")
            decision: Decision = await handler(unit, message)
            await unit.record(decision.events)
            await transaction.flush()
            return decision

    await History(do, seed).play(300)
    await engine.dispose()


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database)
    yield engine
    await engine.dispose()


async def test_every_row_of_the_roll_ups_is_what_the_journal_adds_up_to(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        books = Books(connection, "yanqing")
        kept = await books.moved(date.min, date.max)
        assert kept == await books.of_the_journal().moved(date.min, date.max)
        parties = {row[2:4] for row in kept if len(row) == 6}
        assert len(kept) > 300 and len(parties) >= 6


@pytest.mark.parametrize("period", PERIODS)
async def test_a_periods_figures_and_parties_are_the_journals(engine: AsyncEngine, period: str) -> None:
    first, last = PERIODS[period]
    async with engine.connect() as connection:
        books = Books(connection, "yanqing")
        proof = books.of_the_journal()
        figures = await books.figures(first, last)
        assert figures == await proof.figures(first, last)
        came = figures.capital_fen + figures.income_fen + figures.recoveries_fen + figures.clawbacks_fen
        paid = figures.compensation_fen + figures.subsidies_fen + figures.fees_fen
        assert figures.closing_fen == figures.opening_fen + came + figures.other_funds_fen - paid
        for by in ("institution", "department"):
            parties = await books.parties(by, first, last)  # type: ignore[arg-type]
            assert parties == await proof.parties(by, first, last)  # type: ignore[arg-type]
            assert sum(p.compensated_fen - p.returned_fen for p in parties) == figures.compensation_fen
            assert sum(p.recovered_fen for p in parties) == figures.recoveries_fen
            assert sum(p.clawed_back_fen for p in parties) == figures.clawbacks_fen
            assert sum(p.written_off_fen for p in parties) == figures.write_offs_fen


async def test_the_curve_is_the_journals_and_each_day_is_the_close_of_a_period(engine: AsyncEngine) -> None:
    first, last = date(2025, 3, 1), date(2026, 2, 28)
    async with engine.connect() as connection:
        books = Books(connection, "yanqing")
        curve = await books.curve(first, last)
        assert curve == await books.of_the_journal().curve(first, last)
        assert curve[0].day == first - DAY and len(curve) > 100
        for end in curve[::10]:
            figures = await books.figures(first, end.day)
            assert (end.cash_fen, end.balance_fen) == (figures.closing_cash_fen, figures.closing_fen)
            assert end.cash_fen == await cash_at_end_of(connection, "yanqing", end.day)
        assert await balances_at_end_of(connection, "yanqing", date.max) == await account_balances(
            connection, "yanqing"
        )
        assert await books.curve(START - 9 * DAY, START - DAY) == [DayEnd(START - 10 * DAY, 0, 0)]


async def test_another_fund_has_no_books(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        books = Books(connection, "another")
        assert await books.span() is None
        assert await books.parties("institution", date.min, date.max) == []
        assert (await books.figures(date.min, date.max)).closing_fen == 0


async def test_an_older_database_gets_its_parties_from_the_journal_and_the_instructions(engine: AsyncEngine) -> None:
    migration = runpy.run_path(str(ROOT / "services/pool/migrations/versions/0004_party_days.py"))
    kept = "select * from party_days order by 1, 2, 3, 4, 5"
    docs = "select key, doc from compensations order by 1"
    async with engine.connect() as connection:
        before = [[tuple(row) for row in await connection.execute(text(query))] for query in (kept, docs)]
        await connection.execute(text("delete from party_days"))
        await connection.execute(text("update compensations set doc = doc - 'payee' - 'recommender'"))
        for name in ("_LOANS", "_FILL", "_STATES"):
            await connection.execute(text(migration[name]))
        after = [[tuple(row) for row in await connection.execute(text(query))] for query in (kept, docs)]
        assert after == before and len(before[0]) > 30
        await connection.rollback()


def books(*options: str) -> tuple[int, str]:
    """What `riskpool books` prints, and its exit code."""
    done = CliRunner().invoke(app, ["books", *options])
    return done.exit_code, done.output


def test_the_command_prints_a_half_a_year_days_and_parties_and_that_they_agree(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", database)
    monkeypatch.setenv("COLUMNS", "140")
    for options in ((), ("--half", "2025H1"), ("--year", "2025"), ("--by", "day", "--half", "2025H2")):
        code, said = books(*options)
        assert code == 0 and "agree to the fen" in said
    _, said = books("--by", "institution")
    assert "guarantor-a" in said and "推荐单位" not in said
    _, said = books("--by", "department")
    assert "scitech" in said and "推荐单位" in said
    _, said = books("--json", "--year", "2025")
    told = json.loads(said)
    assert told["first"] == "2025-01-01" and told["opening"] == "0.00" and told["agree"]
    assert told["closing"] == told["days"][-1]["balance"]


def test_the_command_says_what_it_cannot_do(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", database)
    for options, words in (
        (("--scheme", "another"), "no money has moved in 'another'"),
        (("--half", "2025H3"), "a half-year is written 2026H1"),
        (("--half", "2025H1", "--year", "2025"), "exclude each other"),
    ):
        code, said = books(*options)
        assert code == 1 and words in said


@pytest.mark.parametrize("table", ["account_days", "party_days"])
def test_a_roll_up_that_is_not_the_journals_is_told(
    database: str, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    async def change(by: int) -> None:
        engine = create_async_engine(database)
        async with engine.begin() as connection:
            await connection.execute(text(f"update {table} set debit_fen = debit_fen + {by} where day < '2025-06-01'"))
        await engine.dispose()

    monkeypatch.setenv("RISKPOOL_DATABASE_URL", database)
    asyncio.run(change(1))
    try:
        code, said = books("--half", "2025H1")
        assert code == 1 and "DIFFER" in said
    finally:
        asyncio.run(change(-1))
    assert books("--half", "2025H1")[0] == 0
