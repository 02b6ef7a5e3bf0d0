"""Two services and a partner under kill -9, redelivery and loss: every event has its effect once, and its one receipt.

A partner sends declines to the toy, which announces each; the counter counts what was announced. The partner sends an
event again until it has a receipt, as the contract asks of it. The last two tests break a service on purpose, to show
that this harness sees it.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import nats
import pytest
from nats.aio.client import Client

from shared.messaging.envelope import HEADERS
from tests.conftest import Nats, Postgres, eventually
from tests.messaging import impatient, toy
from tests.messaging.outside import Nursery, Process, envelope, make_database, sign_agreements, takes_from

NUMBER = 300
SECONDS = 1.5
SUBJECT = "partners.bank-a.yanqing.FinancingDeclined"


class Chain:
    """The services at work, the servers under them, and the partner."""

    def __init__(self, bus: Nats, postgres: Postgres, nursery: Nursery, directory: Path) -> None:
        self.bus, self.postgres, self.nursery = bus, postgres, nursery
        self.databases = {
            "review": make_database(postgres, toy.metadata), "counter": make_database(postgres, impatient.metadata),
        }  # fmt: skip
        self.log, self.fault = directory / "chain.log", directory / "fault"
        self.fault.write_text("")
        self.review, self.counter = self.process("review"), self.process("counter")

    def process(self, name: str) -> Process:
        process = Process(self.nursery, name, self.databases[name], self.bus.url, self.log)
        if name == "counter":
            process.environment["MESSAGING_FAULT"] = str(self.fault)
        return process

    async def rows(self, name: str, query: str) -> list[asyncpg.Record]:
        """Rows of a database that may just be coming back."""
        for _ in range(200):
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                connection = await asyncpg.connect(self.databases[name].replace("+asyncpg", ""), ssl=False, timeout=2)
                try:
                    return list(await connection.fetch(query))
                finally:
                    await connection.close()
            await asyncio.sleep(0.05)
        raise AssertionError(f"the database of {name} does not come back")

    async def counted(self, story: str) -> Counter[str]:
        """The reasons that arrived at the end of the chain, with how often."""
        query = f"select jsonb_array_elements_text(doc -> 'reasons') r from counts where key like '{story} %'"
        return Counter(row["r"] for row in await self.rows("counter", query))

    async def tallied(self, story: str) -> Counter[str]:
        """The reasons that the first service counted."""
        query = f"select jsonb_array_elements_text(doc -> 'reasons') r from tallies where key like '{story} %'"
        return Counter(row["r"] for row in await self.rows("review", query))

    async def receipts(self, story: str) -> Counter[str]:
        """The partner's events that were answered ``accepted``, with how often."""
        query = f"""select payload::jsonb #>> '{{data,event_id}}' id from outbox
                    where stream = 'RECEIPTS' and payload::jsonb #>> '{{data,event_id}}' like '{story} %'
                      and payload::jsonb #>> '{{data,outcome}}' = 'accepted'"""
        return Counter(row["id"] for row in await self.rows("review", query))

    async def is_idle(self, client: Client) -> bool:
        """Nothing waits: no outbox row, no message pending or at work."""
        for name in self.databases:
            if (await self.rows(name, "select 1 from outbox where published_at is null limit 1")):
                return False
        js = client.jetstream(timeout=1)
        with contextlib.suppress(nats.errors.Error, TimeoutError):
            for info in await js.streams_info():
                for one in await js.consumers_info(info.config.name or ""):
                    if (one.num_pending or 0) + (one.num_ack_pending or 0):
                        return False
            return True
        return False


@pytest.fixture(scope="module")
def running(bus: Nats, postgres: Postgres, nursery: Nursery, server_directory: Path) -> Iterator[Chain]:
    chain = Chain(bus, postgres, nursery, server_directory)
    processes = [chain.review.start(), chain.counter.start()]
    for process in processes:
        process.until_ready(30)
    asyncio.run(sign_agreements(bus.url, "bank-a"))
    eventually(lambda: asyncio.run(takes_from(bus.url, "bank-a")))
    yield chain
    for process in (chain.review, chain.counter):
        process.kill()


@pytest.fixture
async def chain(running: Chain) -> Chain:
    """The chain, whole again after the last test."""
    for process in (running.review, running.counter):
        if not process.is_running:
            process.start()
    for process in (running.review, running.counter):
        await asyncio.to_thread(process.until_ready, 30)
    return running


@pytest.fixture
async def client(running: Chain) -> AsyncIterator[Client]:
    async def quiet(error: Exception) -> None:
        pass

    client = await nats.connect(running.bus.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=quiet)
    yield client
    await client.close()


Fault = Callable[[], Awaitable[None]]


async def send(client: Client, identifier: str) -> None:
    """Until it is stored."""
    story, number = identifier.split(" ")
    body = envelope("FinancingDeclined", {"uscc": f"{story} {int(number) % 10}", "reason": identifier}, identifier)
    while True:
        try:
            await client.jetstream(timeout=1).publish(SUBJECT, body, headers=HEADERS)
            return
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError):
            await asyncio.sleep(0.05)


async def tell(chain: Chain, client: Client, story: str, fault: Fault | None = None) -> list[str]:
    """Send everything at an even pace, with the fault meanwhile, and again what has no receipt; until all is quiet."""
    wanted = [f"{story} {number}" for number in range(NUMBER)]

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for identifier in wanted:
                group.create_task(send(client, identifier))
                await asyncio.sleep(SECONDS / NUMBER)

    await asyncio.gather(all_of_them(), fault() if fault else asyncio.sleep(0))
    async with asyncio.timeout(40):
        while missing := set(wanted) - set(await chain.receipts(story)):
            if await chain.is_idle(client):
                await asyncio.gather(*(send(client, identifier) for identifier in missing))
            await asyncio.sleep(0.1)
        while not await chain.is_idle(client):
            await asyncio.sleep(0.1)
    return wanted


async def nothing_lost_nothing_doubled(chain: Chain, story: str, wanted: list[str]) -> None:
    once = Counter(wanted)
    assert await chain.tallied(story) == once
    assert await chain.counted(story) == once
    assert await chain.receipts(story) == once


async def again_and_again(*steps: Callable[[], object]) -> None:
    """The steps one by one while the messages flow."""
    for step in steps:
        await asyncio.sleep(SECONDS / (len(steps) + 1))
        await asyncio.to_thread(step)


async def test_without_faults(chain: Chain, client: Client) -> None:
    wanted = await tell(chain, client, "calm")
    await nothing_lost_nothing_doubled(chain, "calm", wanted)


async def test_the_directory_of_the_bus_is_deleted(chain: Chain, client: Client) -> None:
    wanted = await tell(chain, client, "wiped", lambda: again_and_again(chain.bus.wipe))
    await nothing_lost_nothing_doubled(chain, "wiped", wanted)
    everything = await chain.rows("review", "select count(*) from outbox where stream = 'EVENTS'")
    state = (await client.jetstream().stream_info("EVENTS", subjects_filter="events.*.review.>")).state
    told = sum(n for subject, n in (state.subjects or {}).items() if ".review." in subject)
    assert told >= everything[0][0]  # what was announced before is there again, too


async def test_kill_9_of_the_consumer(chain: Chain, client: Client) -> None:
    steps = [chain.counter.kill, chain.counter.start]
    wanted = await tell(chain, client, "consumer", lambda: again_and_again(*steps))
    await nothing_lost_nothing_doubled(chain, "consumer", wanted)


async def test_kill_9_of_the_producer(chain: Chain, client: Client) -> None:
    steps = [chain.review.kill, chain.review.start]
    wanted = await tell(chain, client, "producer", lambda: again_and_again(*steps))
    await nothing_lost_nothing_doubled(chain, "producer", wanted)


async def test_kill_9_of_the_bus(chain: Chain, client: Client) -> None:
    steps = [chain.bus.kill, chain.bus.start]
    wanted = await tell(chain, client, "bus", lambda: again_and_again(*steps))
    await nothing_lost_nothing_doubled(chain, "bus", wanted)


async def test_kill_9_of_the_databases(chain: Chain, client: Client) -> None:
    steps = [chain.postgres.kill, chain.postgres.start]
    wanted = await tell(chain, client, "postgres", lambda: again_and_again(*steps))
    await nothing_lost_nothing_doubled(chain, "postgres", wanted)


async def test_two_replicas_of_each_and_kill_9_of_one(chain: Chain, client: Client) -> None:
    more = [chain.process("review").start(), chain.process("counter").start()]
    try:
        for process in more:
            await asyncio.to_thread(process.until_ready, 30)
        fault = again_and_again(chain.review.kill, chain.counter.kill)
        wanted = await tell(chain, client, "replicas", lambda: fault)
    finally:
        for process in more:
            process.kill()
    await nothing_lost_nothing_doubled(chain, "replicas", wanted)


@contextlib.contextmanager
def counter_with(chain: Chain, fault: str) -> Iterator[None]:
    """The counter has that fault meanwhile."""
    chain.fault.write_text(fault)
    yield
    chain.fault.write_text("")


async def test_messages_given_back_at_random_come_in_another_order(chain: Chain, client: Client) -> None:
    with counter_with(chain, "nak"):
        wanted = await tell(chain, client, "nak")
    await nothing_lost_nothing_doubled(chain, "nak", wanted)


async def everything_twice_more(client: Client) -> int:
    """Put what is in the stream of events into it again, mixed up, past the server's own dropping of duplicates."""
    js = client.jetstream()
    last = (await js.stream_info("EVENTS")).state.last_seq
    found = await asyncio.gather(*(js.get_msg("EVENTS", seq) for seq in range(max(1, last - NUMBER - 50), last + 1)))
    messages = random.sample(found * 2, len(found) * 2)
    await asyncio.gather(*(js.publish(m.subject or "", m.data or b"", headers=HEADERS, timeout=10) for m in messages))
    return len(messages)


async def test_duplicates_in_the_stream(chain: Chain, client: Client) -> None:
    wanted = await tell(chain, client, "twice")
    assert await everything_twice_more(client) > 2 * NUMBER
    async with asyncio.timeout(20):
        while not await chain.is_idle(client):
            await asyncio.sleep(0.1)
    await nothing_lost_nothing_doubled(chain, "twice", wanted)


# -- negative controls ---------------------------------------------------------------------------------------------


async def test_the_harness_sees_doubles_when_there_is_no_inbox(chain: Chain, client: Client) -> None:
    with counter_with(chain, "no inbox"):
        wanted = await tell(chain, client, "blind")
        await everything_twice_more(client)
        async with asyncio.timeout(20):
            while not await chain.is_idle(client):
                await asyncio.sleep(0.1)
    counted = await chain.counted("blind")
    assert set(counted) == set(wanted) and sum(counted.values()) > len(wanted)


async def test_the_harness_sees_losses_when_acks_come_before_the_commit(chain: Chain, client: Client) -> None:
    with counter_with(chain, "ack before commit"):
        steps = [chain.counter.kill, chain.counter.start]
        wanted = await tell(chain, client, "hasty", lambda: again_and_again(*steps))
    counted = await chain.counted("hasty")
    assert set(counted) < set(wanted)
    assert await chain.tallied("hasty") == Counter(wanted)
