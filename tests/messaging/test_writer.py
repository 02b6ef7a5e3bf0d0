"""The writer on a real PostgreSQL: batches, duplicates, bad messages, two writers on one scheme, cut connections."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, MetaData, NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.aggregates import Aggregate, aggregate_table
from shared.clock import SHANGHAI
from shared.contracts.review import EnterpriseVetoed
from shared.database import is_outage
from shared.messaging.chain import NOTHING, event_sha256
from shared.messaging.unit_of_work import Transaction, UnitOfWork
from shared.messaging.writer import Work, Writer
from shared.scheme.loader import load_scheme
from tests.conftest import Postgres
from tests.messaging.outside import make_database
from tests.messaging.toy import Tally, evolve

NOW = datetime(2026, 1, 5, 9, tzinfo=SHANGHAI)
SCHEME = load_scheme("yanqing")
MOST = 5000
metadata = MetaData()
counts = aggregate_table(
    "limited", metadata, Column("count", BigInteger, Computed("((doc ->> 'count')::bigint)", persisted=True)),
    CheckConstraint("key <> 'FULL' or count <= 1", name="limited_is_full"),
)  # fmt: skip
COUNT = Aggregate("count", counts, Tally, evolve, lambda event: (event.about,))


class Desk:
    """A database, and writers on it; ``work`` counts one more of a thing."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine, self.tasks = engine, list[asyncio.Task[None]]()
        self.outside = create_async_engine(engine.url, poolclass=NullPool)
        self.numbers = itertools.count()

    def writer(self) -> Writer:
        writer = Writer(self.engine, "review", (COUNT,))
        self.tasks.append(asyncio.create_task(writer.run()))
        return writer

    def work(
        self, thing: str, identifier: str = "", scheme: str = "yanqing", then: Callable[..., Any] | None = None
    ) -> Work:
        identifier = identifier or f"m-{next(self.numbers)}"

        async def run(transaction: Transaction) -> Any:
            unit = UnitOfWork(transaction, SCHEME, NOW, "drc", "drc", identifier)
            seen = await then(unit) if then else await unit.load(COUNT, thing)
            await unit.record((EnterpriseVetoed(uscc=thing, reason=identifier),))
            return seen

        return Work(scheme, ("test", "/test", identifier), identifier.encode(), run)

    async def sql(self, query: str) -> list[Any]:
        async with self.outside.connect() as connection:
            return list(await connection.execute(text(query)))

    async def reasons(self, thing: str) -> list[str]:
        rows = await self.sql(f"select jsonb_array_elements_text(doc -> 'reasons') from limited where key = '{thing}'")
        return [row[0] for row in rows]

    async def chain_is_whole(self) -> int:
        """Every event's place and hash follow from the one before; how many there are."""
        columns = "position, recorded_at, payload, sha256"
        rows = await self.sql(f"select {columns} from outbox where scheme = 'yanqing' order by id")
        before = NOTHING
        for number, row in enumerate(rows, start=1):
            before = event_sha256(before, number, row.recorded_at, row.payload)
            assert (row.position, bytes(row.sha256)) == (number, before)
        ((position, digest),) = await self.sql("select position, sha256 from schemes where scheme = 'yanqing'")
        assert (position, bytes(digest)) == (len(rows), before)
        return len(rows)


@pytest.fixture
async def desk(postgres: Postgres) -> AsyncIterator[Desk]:
    url = await asyncio.to_thread(make_database, postgres, metadata)
    engine = create_async_engine(url, pool_size=8)
    desk = Desk(engine)
    yield desk
    for task in desk.tasks:
        task.cancel()
    await asyncio.gather(*desk.tasks, return_exceptions=True)
    await engine.dispose()


async def test_a_batch_is_decided_in_order_and_written_by_few_statements(desk: Desk) -> None:
    works = [desk.work("A") for _ in range(500)]
    await desk.writer().do(works)
    assert [work.error for work in works] == [None] * 500
    assert [work.result.count if work.result else 0 for work in works] == list(range(500))
    assert await desk.reasons("A") == [f"m-{number}" for number in range(500)]
    ((written,),) = await desk.sql("select written from schemes")
    assert written <= 2 and await desk.chain_is_whole() == 500


async def test_a_message_taken_before_is_not_taken_again_whether_remembered_or_not(desk: Desk) -> None:
    first, writer = desk.work("A", "one"), desk.writer()
    await writer.do([first, again := desk.work("A", "one")])
    assert first.repeated is None and again.repeated and again.repeated.sha256 == b"one"
    await writer.do([later := desk.work("A", "one")])
    another = desk.writer()  # remembers nothing
    works = [desk.work("A", "two"), desk.work("A", "one"), desk.work("A", "three")]
    await another.do(works)
    assert later.repeated and [bool(work.repeated) for work in works] == [False, True, False]
    assert await desk.reasons("A") == ["one", "two", "three"] and await desk.chain_is_whole() == 3


async def test_a_message_that_fails_leaves_nothing_and_the_others_stand(desk: Desk) -> None:
    async def bug(unit: UnitOfWork) -> None:
        await unit.record((EnterpriseVetoed(uscc="A", reason="half"),))
        raise ZeroDivisionError

    works = [desk.work("A", f"{number}", then=bug if number == 3 else None) for number in range(6)]
    await desk.writer().do(works)
    assert isinstance(works[3].error, ZeroDivisionError)
    assert await desk.reasons("A") == ["0", "1", "2", "4", "5"] and await desk.chain_is_whole() == 5


async def test_what_the_database_refuses_fails_alone(desk: Desk) -> None:
    works = [desk.work("FULL" if number in (2, 4) else "A", f"{number}") for number in range(6)]
    await desk.writer().do(works)
    assert [work.error is not None for work in works] == [False] * 4 + [True, False]
    assert "limited_is_full" in str(works[4].error)
    assert await desk.reasons("A") == ["0", "1", "3", "5"] and await desk.reasons("FULL") == ["2"]
    assert await desk.chain_is_whole() == 5


async def test_a_query_sees_what_was_decided_before_it_in_the_same_batch(desk: Desk) -> None:
    async def ask(unit: UnitOfWork) -> int:
        return len(await unit.select(COUNT, counts.c.count >= 1))

    works = [desk.work(f"T-{number}", then=ask) for number in range(8)]
    await desk.writer().do(works)
    assert [work.result for work in works] == list(range(8))


async def test_two_writers_on_one_scheme_do_no_harm(desk: Desk) -> None:
    writers = [desk.writer(), desk.writer()]

    async def send(writer: Writer, name: str) -> list[Work]:
        sent: list[Work] = []
        for number in range(15):
            some = [desk.work("A", f"{name}-{number}-{place}") for place in range(7)]
            sent += some
            await writer.do(some)
        return sent

    parts = await asyncio.gather(*(send(writer, name) for writer, name in zip(writers, "ab", strict=True)))
    sent = [work for part in parts for work in part]
    assert [work.error for work in sent if work.error] == []
    assert Counter(await desk.reasons("A")) == Counter(work.key[2] for work in sent)
    assert await desk.chain_is_whole() == len(sent)


async def test_connections_cut_in_the_middle_lose_and_double_nothing(desk: Desk) -> None:
    writer, done = desk.writer(), asyncio.Event()

    async def cut() -> None:
        while not done.is_set():
            await desk.sql("""select pg_terminate_backend(pid) from pg_stat_activity
                              where pid <> pg_backend_pid() and datname = current_database()""")
            await asyncio.sleep(0.03)

    async def until_taken(identifier: str) -> None:
        while True:
            await writer.do([work := desk.work("A", identifier)])
            if work.error is None:
                return
            assert is_outage(work.error), repr(work.error)

    cutting = asyncio.create_task(cut())
    wanted = [f"c-{number}" for number in range(300)]
    async with asyncio.timeout(60):
        await asyncio.gather(*map(until_taken, wanted))
    done.set()
    await cutting
    assert Counter(await desk.reasons("A")) == Counter(wanted) and await desk.chain_is_whole() == len(wanted)


async def test_a_flooded_scheme_does_not_keep_another_waiting(desk: Desk) -> None:
    async with desk.engine.begin() as connection:
        await connection.execute(text("insert into schemes (scheme, version) values ('other', '')"))
    writer, order = desk.writer(), list[str]()

    async def say(name: str, works: list[Work]) -> None:
        await writer.do(works)
        order.append(name)

    flood = [desk.work("A") for _ in range(MOST)]
    async with asyncio.TaskGroup() as group:
        group.create_task(say("flood", flood))
        await asyncio.sleep(0)
        group.create_task(say("other", [desk.work("B", scheme="other")]))
    assert order == ["other", "flood"] and not any(work.error for work in flood)
