"""How long a half-year's figures take over a million rows of the journal: from the roll-up, and from the rows."""

import asyncio
import statistics
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

from sqlalchemy import NullPool, make_url, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.pool.books import Books
from shared.database import migrate

SCHEME = "timed"
HALF = date(2025, 1, 1), date(2025, 6, 30)
TIMES = 15
COVERING = "create index journal_by_day on journal (scheme, effective_on) include (debit, credit, amount_fen)"


async def report_milliseconds(owner_url: str, rows: int = 1_000_000) -> dict[str, float]:
    """Medians of EXPLAIN ANALYZE, in milliseconds, in a database of its own that is dropped afterwards.

    The rows lie evenly in the five years to the end of the half-year that is asked for. ``owner_url`` is any database
    of the server's owner. Roll-up and journal must give the same figures, else AssertionError.
    """
    async with _filled(owner_url, rows) as connection:
        books = Books(connection, SCHEME)
        found = {
            "roll_up": await _explained(connection, books),
            "rows": await _explained(connection, books.of_the_journal()),
        }
        await connection.execute(text(COVERING))
        await connection.execute(text("vacuum analyze journal"))
        found["rows_indexed"] = await _explained(connection, books.of_the_journal())
        assert await books.figures(*HALF) == await books.of_the_journal().figures(*HALF)
    return found


@asynccontextmanager
async def _filled(owner_url: str, rows: int) -> AsyncIterator[AsyncConnection]:
    name = f"timed_{uuid.uuid4().hex[:12]}"
    server = create_async_engine(owner_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    url = make_url(owner_url).set(database=name)
    async with server.connect() as connection:
        await connection.execute(text(f"create database {name}"))
        try:
            await asyncio.to_thread(migrate, "pool", url.render_as_string(hide_password=False), url.username or "")
            engine = create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
            async with engine.connect() as filled:
                await filled.execute(text(_FILL), {"scheme": SCHEME, "rows": rows, "last": HALF[1]})
                await filled.execute(text(_ADD_UP))
                await filled.execute(text("vacuum analyze journal, account_days"))
                yield filled
            await engine.dispose()
        finally:
            await connection.execute(text(f"drop database {name} with (force)"))
            await server.dispose()


_FILL = """
insert into journal (scheme, seq, event_id, debit, credit, amount_fen, effective_on, recorded_at, sha256)
    select :scheme, n, n::text, debits[n % 5 + 1], credits[n % 5 + 1], n % 997 + 1,
        (:last)::date - ((:rows - n) * 1826 / :rows)::int, now(), '\\x00'
    from generate_series(1, (:rows)::bigint) n,
        (select array['cash', 'compensation', 'instructed', 'cash', 'cash'] as debits,
                array['recovered', 'instructed', 'cash', 'unallocated', 'capital:policy_fund'] as credits) names
"""
_ADD_UP = """
insert into account_days
    select scheme, account, effective_on, sum(debit_fen), sum(credit_fen)
    from (select scheme, debit as account, effective_on, amount_fen as debit_fen, 0 as credit_fen from journal
          union all select scheme, credit, effective_on, 0, amount_fen from journal) lines
    group by 1, 2, 3
"""


async def _explained(connection: AsyncConnection, books: Books) -> float:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    sql = str(books.movements(*HALF).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    times = []
    for _ in range(TIMES):
        [plan] = (await connection.exec_driver_sql(f"explain (analyze, timing off, format json) {sql}")).scalar_one()
        times.append(float(plan["Execution Time"]) + float(plan["Planning Time"]))
    return statistics.median(times)
