"""How long a half-year's figures take over a million rows of the journal: from the roll-up, and from the rows."""

import asyncio
import statistics
from datetime import date

from sqlalchemy import NullPool, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from riskpool.bench.peer_database import scratch_database
from riskpool.supervisor import StackError
from services.pool.books import Books
from shared.database import migrate

SCHEME = "timed"
HALF = date(2025, 1, 1), date(2025, 6, 30)
TIMES = 15


async def half_year_milliseconds(owner_url: str, rows: int) -> dict[str, float]:
    """Medians of EXPLAIN ANALYZE, in milliseconds, in a scratch database.

    The rows lie evenly in the five years to the end of the half-year that is asked for. Roll-up and journal must give
    the same figures, else StackError.
    """
    async with scratch_database(owner_url, "half_year") as url:
        await asyncio.to_thread(migrate, "pool", url.render_as_string(hide_password=False), str(url.username))
        engine = create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.execute(text(_FILL), {"scheme": SCHEME, "rows": rows, "last": HALF[1]})
            await connection.execute(text(_ADD_UP))
            await connection.execute(text("vacuum analyze journal, account_days"))
            books = Books(connection, SCHEME)
            of_the_journal = books.of_the_journal()
            if await books.figures(*HALF) != await of_the_journal.figures(*HALF):
                raise StackError("the roll-up's half-year is not the journal's")
            return {
                "half_year": await _explained(connection, books),
                "half_year_rows": await _explained(connection, of_the_journal),
            }


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
