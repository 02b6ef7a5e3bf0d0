"""The relay: in order, by one leader, and again when the bus forgot, so that nothing in an outbox stays unknown."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import create_async_engine

from shared.messaging import relay as module
from shared.messaging.envelope import new_id
from shared.messaging.incoming import Incoming
from shared.messaging.intake import Intake
from shared.messaging.provisioning import Consumer, ensure_consumer, ensure_stream
from shared.messaging.relay import Relay
from shared.messaging.service import Service
from shared.messaging.unit_of_work import EVENTS, RECEIPTS, Transaction
from tests.conftest import Nats, Postgres
from tests.messaging.outside import make_database


class Outbox:
    """A service's outbox with a relay, and what of it is on the bus."""

    def __init__(self, client: Client, database: asyncpg.Connection, dsn: str) -> None:
        self.client, self.js, self.database, self.dsn = client, client.jetstream(timeout=2), database, dsn
        self.sent = 0
        self.ensure = ensure_stream

    async def add(self, number: int, stream: str = EVENTS) -> None:
        """Rows as a unit of work writes them."""
        rows = []
        for _ in range(number):
            self.sent += 1
            subject = f"{stream.lower()}.yanqing.review.Happened"
            chained = (self.sent, b"x") if stream == EVENTS else (None, None)
            rows.append((new_id(), "yanqing", stream, subject, "Happened", json.dumps({"n": self.sent}), *chained))
        await self.database.executemany(
            """insert into outbox (event_id, scheme, stream, subject, name, payload, position, sha256)
               values ($1, $2, $3, $4, $5, $6, $7, $8)""",
            rows,
        )

    @contextlib.asynccontextmanager
    async def relay(self, js: JetStreamContext | None = None) -> AsyncIterator[Relay]:
        """A relay at work."""
        relay = Relay(self.dsn, js or self.js, lambda stream: self.ensure(self.js, stream), (EVENTS, RECEIPTS))
        task = asyncio.create_task(relay.run())
        yield relay
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def is_published(self) -> bool:
        new = "select count(*) = 0 from outbox where published_at is null"
        again = "select count(*) = 0 from relayed_streams where again_from is not null"
        return bool(await self.database.fetchval(f"select ({new}) and ({again})"))

    async def until_published(self, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not await self.is_published():
                await asyncio.sleep(0.02)

    async def on_the_bus(self, stream: str = EVENTS) -> list[int]:
        """The numbers in the stream, in its order."""
        last = (await self.js.stream_info(stream)).state.last_seq
        messages = await asyncio.gather(*(self._number(stream, seq) for seq in range(1, last + 1)))
        return [number for number in messages if number]

    async def _number(self, stream: str, seq: int) -> int:
        with contextlib.suppress(nats.js.errors.NotFoundError):
            return int(json.loads((await self.js.get_msg(stream, seq)).data or b"{}").get("n", 0))
        return 0

    async def every_row_is_where_it_says(self) -> None:
        for row in await self.database.fetch("select * from outbox order by id"):
            message = await self.js.get_msg(row["stream"], row["stream_seq"])
            assert (message.headers or {}).get("Nats-Msg-Id") == row["event_id"]


@pytest.fixture
def dsn(postgres: Postgres) -> str:
    return make_database(postgres).replace("+asyncpg", "")


@pytest.fixture
async def outbox(bus: Nats, dsn: str) -> AsyncIterator[Outbox]:
    database = await asyncpg.connect(dsn, ssl=False)
    client = await nats.connect(bus.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=_silent)
    for info in await client.jetstream().streams_info():
        await client.jetstream().delete_stream(info.config.name or "")
    yield Outbox(client, database, dsn)
    await client.close()
    await database.close()


async def _silent(error: Exception) -> None:
    pass


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.3)


async def test_rows_are_published_at_once_and_in_their_order(outbox: Outbox) -> None:
    await outbox.add(1200)
    async with outbox.relay():
        await outbox.until_published()
        for _ in range(5):
            await outbox.add(1)
            await outbox.until_published(0.5)  # woken by the insert: polling would take a second
        await outbox.add(30, RECEIPTS)
        await outbox.until_published()
    assert await outbox.on_the_bus() == list(range(1, 1206))
    assert await outbox.on_the_bus(RECEIPTS) == list(range(1206, 1236))
    await outbox.every_row_is_where_it_says()


async def test_of_two_relays_one_leads_and_the_other_follows_when_it_ends(outbox: Outbox) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with outbox.relay() as first:
            await outbox.add(100)
            await outbox.until_published()
            second_to_be = await stack.enter_async_context(outbox.relay())
            await outbox.add(100)
            await outbox.until_published()
            assert first.leading and not second_to_be.leading
        await outbox.add(100)
        await outbox.until_published(5)
        assert second_to_be.leading and not first.leading
    assert await outbox.on_the_bus() == list(range(1, 301))


async def test_a_relay_goes_on_after_its_database_connection_broke(outbox: Outbox) -> None:
    async with outbox.relay():
        await outbox.add(10)
        await outbox.until_published()
        await outbox.database.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        await outbox.add(10)
        await outbox.until_published()
    assert await outbox.on_the_bus() == list(range(1, 21))


async def test_a_stream_that_was_deleted_is_filled_again(outbox: Outbox) -> None:
    async with outbox.relay():
        await outbox.add(300)
        await outbox.until_published()
        await asyncio.sleep(0.4)
        await outbox.js.delete_stream(EVENTS)
        await outbox.add(20)
        await until_all_there(outbox, 320)
    await outbox.every_row_is_where_it_says()


async def until_all_there(outbox: Outbox, number: int, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(nats.js.errors.NotFoundError):
                if await outbox.is_published() and set(await outbox.on_the_bus()) == set(range(1, number + 1)):
                    return
            await asyncio.sleep(0.1)


async def fill_mixed(outbox: Outbox) -> None:
    """Rows of two streams, published: every fifth number is a receipt."""
    async with outbox.relay():
        for _ in range(80):
            await outbox.add(4)
            await outbox.add(1, RECEIPTS)
        await outbox.until_published()
        await asyncio.sleep(0.4)  # the streams' creation is known


async def filled_to(outbox: Outbox, place: int, stream: str = EVENTS) -> None:
    """Wait until a stream is filled again that far, and not to the end."""
    query = "select coalesce(again_from, 0) from relayed_streams where stream = $1"
    async with asyncio.timeout(10):
        while (await outbox.database.fetchval(query, stream)) < place:
            await asyncio.sleep(0.005)


async def waiting(outbox: Outbox) -> int:
    """What the service says of its outbox while it asks whether all is settled."""
    service = Service("review")
    service.engine = create_async_engine(outbox.dsn.replace("postgresql", "postgresql+asyncpg"))
    try:
        return int((await service.health.backlog())["unpublished"])
    finally:
        await service.engine.dispose()


async def until_filled(outbox: Outbox) -> None:
    async with asyncio.timeout(20):
        while await waiting(outbox):
            await asyncio.sleep(0.05)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows at a time, as the many of a real outbox are to a whole batch."""
    monkeypatch.setattr(module, "BATCH", 3)
    monkeypatch.setattr(module, "SPAN", 11)


async def test_what_fills_a_stream_again_goes_on_where_a_killed_relay_was_and_what_is_new_waits(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, tiny: None
) -> None:
    await fill_mixed(outbox)
    published = await outbox.database.fetch("select published_at from outbox order by id")
    for stream in (EVENTS, RECEIPTS):
        await outbox.js.delete_stream(stream)
    async with outbox.relay():
        await filled_to(outbox, 60)
        await outbox.add(10)
    places = await outbox.database.fetchrow("select * from relayed_streams where stream = $1", EVENTS)
    assert 60 <= places["again_from"] < places["again_through"] == 400
    assert await waiting(outbox) >= 340
    assert max(await outbox.on_the_bus()) < 400  # nothing new before what was there at the loss
    monkeypatch.setattr(module, "_AGAIN_NEXT", module._AGAIN_NEXT.replace("where", "where id > 55 and"))
    async with outbox.relay():  # which cannot see what was filled before
        await until_filled(outbox)
    assert await outbox.on_the_bus() == [*(n for n in range(1, 401) if n % 5), *range(401, 411)]
    assert await outbox.on_the_bus(RECEIPTS) == list(range(5, 401, 5))
    await outbox.every_row_is_where_it_says()
    assert await outbox.database.fetch("select published_at from outbox where id <= 400 order by id") == published


async def test_a_stream_lost_again_while_it_is_filled_begins_anew(outbox: Outbox, tiny: None) -> None:
    await fill_mixed(outbox)
    await outbox.js.delete_stream(EVENTS)
    async with outbox.relay():
        await filled_to(outbox, 200)
        await outbox.js.delete_stream(EVENTS)
        await outbox.add(10)
        await outbox.add(10, RECEIPTS)
        await until_filled(outbox)
    assert await outbox.on_the_bus() == [*(n for n in range(1, 401) if n % 5), *range(401, 411)]
    assert await outbox.on_the_bus(RECEIPTS) == [*range(5, 401, 5), *range(411, 421)]
    await outbox.every_row_is_where_it_says()


async def test_a_stream_shortened_while_it_is_filled_lacks_nothing(
    outbox: Outbox, bus: Nats, tmp_path: Path, tiny: None
) -> None:
    await fill_mixed(outbox)
    await outbox.js.delete_stream(EVENTS)
    async with outbox.relay():
        await filled_to(outbox, 100)
    store, old = bus.server.directory / "store", tmp_path / "old"
    bus.stop()
    shutil.copytree(store, old)
    bus.start()
    async with outbox.relay():
        await filled_to(outbox, 200)
    bus.stop()
    shutil.rmtree(store)
    shutil.copytree(old, store)
    bus.start()
    async with outbox.relay():
        await asyncio.sleep(1)
        await until_filled(outbox)
    assert set(await outbox.on_the_bus()) == {n for n in range(1, 401) if n % 5}
    await outbox.every_row_is_where_it_says()


async def forget_the_last(bus: Nats, outbox: Outbox, number: int, tmp_path: Path) -> None:
    """The server restarts with its files as they were before the last rows were published, as after a loss of power."""
    store, old = bus.server.directory / "store", tmp_path / "old"
    bus.stop()
    shutil.copytree(store, old)
    bus.start()
    await outbox.add(number)
    async with outbox.relay():
        await outbox.until_published()
    bus.stop()
    shutil.rmtree(store)
    shutil.copytree(old, store)
    bus.start()
    async with asyncio.timeout(10):
        while not await is_answered(outbox):
            await asyncio.sleep(0.05)
    assert len(await outbox.on_the_bus()) == outbox.sent - number


async def is_answered(outbox: Outbox) -> bool:
    with contextlib.suppress(nats.errors.Error):
        await outbox.client.jetstream(timeout=0.3).stream_info(EVENTS)
        return True
    return False


async def test_a_stream_that_was_shortened_is_filled_again(outbox: Outbox, bus: Nats, tmp_path: Path) -> None:
    async with outbox.relay():
        await outbox.add(50)
        await outbox.until_published()
    await forget_the_last(bus, outbox, 30, tmp_path)
    async with outbox.relay():
        await until_all_there(outbox, 80)
    await outbox.every_row_is_where_it_says()


@pytest.mark.parametrize("others", [0, 10, 100])
async def test_a_loss_is_noticed_although_new_messages_came_first(
    outbox: Outbox, bus: Nats, tmp_path: Path, others: int
) -> None:
    async with outbox.relay():
        await outbox.add(20)
        await outbox.until_published()
    await forget_the_last(bus, outbox, 5, tmp_path)
    for _ in range(others):
        await outbox.js.publish("events.yanqing.pool.Happened", b"{}")
    await outbox.add(40)
    async with outbox.relay():
        await until_all_there(outbox, 65)
    await outbox.every_row_is_where_it_says()


async def test_a_relay_that_dies_between_publishing_and_marking_publishes_again_to_no_effect(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await without_dedupe(outbox)
    monkeypatch.setattr(module, "_MARK", "select 1 / 0 from unnest($1::bigint[], $2::bigint[])")
    await outbox.add(40)
    async with outbox.relay():
        await asyncio.sleep(1)
    monkeypatch.undo()
    async with outbox.relay():
        await outbox.until_published()
    there = await outbox.on_the_bus()
    assert len(there) > 80 and set(there) == set(range(1, 41))
    assert await taken_by_an_inbox(outbox) == list(range(1, 41))


async def test_the_server_drops_what_it_was_sent_before(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MARK", "select 1 / 0 from unnest($1::bigint[], $2::bigint[])")
    await outbox.add(40)
    async with outbox.relay():
        await asyncio.sleep(0.7)
    monkeypatch.undo()
    async with outbox.relay():
        await outbox.until_published()
    assert await outbox.on_the_bus() == list(range(1, 41))
    await outbox.every_row_is_where_it_says()


async def without_dedupe(outbox: Outbox) -> None:
    await ensure_stream(outbox.js, EVENTS)
    config = (await outbox.js.stream_info(EVENTS)).config
    config.duplicate_window = 0.1
    await outbox.js.update_stream(config)

    async def as_it_is(js: JetStreamContext, name: str) -> str:
        return str((await js.stream_info(name)).created) if name == EVENTS else await ensure_stream(js, name)

    outbox.ensure = as_it_is


async def taken_by_an_inbox(outbox: Outbox) -> list[int]:
    """What a consumer makes of the stream."""
    taken: list[int] = []

    async def handle(transaction: Transaction, one: Incoming) -> None:
        taken.append(json.loads(one.raw.data)["n"])

    def read(raw: Msg) -> Incoming:
        return Incoming(raw, "/services/review", (raw.headers or {})["Nats-Msg-Id"], "", "Happened")

    engine = create_async_engine(outbox.dsn.replace("postgresql", "postgresql+asyncpg"))
    intake = Intake(engine, "test", read, handle, lambda connection: Transaction(connection, "test", ()))
    await ensure_consumer(outbox.js, Consumer(EVENTS, "test", ("events.>",)))
    subscription = await outbox.js.pull_subscribe_bind("test", EVENTS)
    last = (await outbox.js.stream_info(EVENTS)).state.last_seq
    seen = 0
    while seen < last:
        batch = await subscription.fetch(100, timeout=2)
        seen += len(batch)
        await intake.take(batch)
    await engine.dispose()
    return taken


async def test_one_row_that_the_server_refuses_keeps_the_order_of_the_rest(outbox: Outbox) -> None:
    class Flaky:
        """A JetStream whose acknowledgement of every seventh message is lost now and then."""

        def __init__(self, js: JetStreamContext) -> None:
            self.js, self.calls = js, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.js, name)

        async def publish(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls % 7 == 0:
                raise TimeoutError
            return await self.js.publish(*args, **kwargs)

    await outbox.add(28)
    flaky: Any = Flaky(outbox.js)
    async with outbox.relay(flaky):
        await outbox.until_published(15)
    assert sorted(await outbox.on_the_bus()) == list(range(1, 29))
    await outbox.every_row_is_where_it_says()
