"""A service on an older copy of its database: it takes again what it lacks, and stops when it lacks own decisions."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import nats
import pytest

from shared.messaging.healing import _matches
from tests.conftest import Nats, Postgres, eventually
from tests.messaging import impatient, toy
from tests.messaging.outside import Desk, Nursery, Process, make_database, sign_agreements, takes_from


class Pair:
    """The toy, whose announcements the counter counts, each on a database that can be put back."""

    def __init__(self, bus: Nats, postgres: Postgres, nursery: Nursery, directory: Path) -> None:
        self.bus, self.postgres = bus, postgres
        self.databases = {
            "review": make_database(postgres, toy.metadata), "counter": make_database(postgres, impatient.metadata),
        }  # fmt: skip
        fault = directory / "no-fault"
        fault.write_text("")
        self.processes = {
            name: Process(nursery, name, url, bus.url, directory / f"healing-{name}.log")
            for name, url in self.databases.items()
        }
        self.processes["counter"].environment["MESSAGING_FAULT"] = str(fault)

    def copied(self, name: str, copy: str) -> None:
        """Keep a copy of a stopped service's database."""
        self.processes[name].stop()
        self._template(self._database(name), copy)

    def put_back(self, name: str, copy: str) -> None:
        """Let a stopped service's database be as it was copied."""
        self.processes[name].stop()
        self.postgres.sql("postgres", f'drop database "{self._database(name)}" with (force)')
        self._template(copy, self._database(name))

    def start(self, name: str) -> Process:
        return self.processes[name].start().until_ready(30)

    def counted(self) -> int:
        query = "select coalesce(sum(jsonb_array_length(doc -> 'reasons')), 0) from counts where key like 'healing%'"
        return int(self.postgres.sql(self._database("counter"), query))

    def taken(self) -> list[str]:
        """The partner's events that the toy has taken."""
        query = "select message_id from inbox where consumer = 'partner-bank-a'"
        return self.postgres.sql(self._database("review"), query).split()

    async def submit(self, number: int) -> set[str]:
        """Events that are answered, and of which nothing is announced."""
        async with await nats.connect(self.bus.url) as client:
            desk = Desk(client, None)  # type: ignore[arg-type]
            return {await desk.decline("healing", "again") for _ in range(number)}

    async def announce(self, number: int) -> None:
        """The toy decides something, so many times."""
        async with await nats.connect(self.bus.url) as client:
            database = await asyncpg.connect(self.databases["review"].replace("+asyncpg", ""), ssl=False)
            desk = Desk(client, database)
            for count in range(number):
                receipt = await desk.receipt(await desk.decline(f"healing {count}", f"reason {count}"))
                assert receipt["outcome"] == "accepted"
            await database.close()

    def _database(self, name: str) -> str:
        return self.databases[name].rsplit("/", 1)[1]

    def _template(self, source: str, target: str) -> None:
        self.postgres.sql("postgres", f'create database "{target}" template "{source}"')


@pytest.fixture
def pair(server_directory: Path, postgres: Postgres, nursery: Nursery, bus: Nats) -> Iterator[Pair]:
    bus.wipe()
    pair = Pair(bus, postgres, nursery, server_directory)
    for name in pair.processes:
        pair.start(name)
    asyncio.run(sign_agreements(bus.url, "bank-a"))
    eventually(lambda: asyncio.run(takes_from(bus.url, "bank-a")))
    yield pair
    for process in pair.processes.values():
        process.kill()


def test_what_an_older_database_lacks_is_taken_again_once_each(pair: Pair) -> None:
    asyncio.run(pair.announce(1))
    first = asyncio.run(pair.submit(3))
    eventually(lambda: first <= set(pair.taken()))
    pair.copied("review", "older_taken")
    pair.start("review")
    second = asyncio.run(pair.submit(4))
    eventually(lambda: second <= set(pair.taken()))
    pair.put_back("review", "older_taken")
    assert second.isdisjoint(pair.taken())
    pair.start("review")
    eventually(lambda: second <= set(pair.taken()))
    asyncio.run(pair.announce(1))
    eventually(lambda: pair.counted() == 2)
    assert len(pair.taken()) == 1 + 3 + 4 + 1
    assert "reading the stream again from its beginning" in pair.processes["review"].tail()


def test_a_service_killed_on_its_own_database_reads_nothing_again(pair: Pair) -> None:
    asyncio.run(pair.announce(3))
    eventually(lambda: pair.counted() == 3)
    for _ in range(2):  # what the bus knows is older, then as old as what the database keeps
        eventually(lambda: pair.postgres.sql(pair._database("counter"), "select 1 from taken_streams") == "1")
        pair.processes["counter"].kill()
        pair.start("counter")
    assert pair.counted() == 3
    assert "reading the stream again" not in pair.processes["counter"].tail()
    assert "no longer has all" not in pair.processes["counter"].tail()


@pytest.mark.parametrize("kept", [0, 1])
def test_what_an_older_database_lacks_and_the_stream_no_longer_has_is_an_error(pair: Pair, kept: int) -> None:
    first = asyncio.run(pair.submit(3))
    eventually(lambda: first <= set(pair.taken()))
    eventually(lambda: pair.postgres.sql(pair._database("review"), NOTED) == "3")
    pair.copied("review", f"older_gone_{kept}")
    pair.start("review")
    second = asyncio.run(pair.submit(4))
    eventually(lambda: second <= set(pair.taken()))
    pair.put_back("review", f"older_gone_{kept}")
    asyncio.run(purge(pair.bus.url, kept))
    process = pair.start("review")
    eventually(lambda: "no longer has all" in process.tail())
    assert f'"gone": {4 - kept}' in process.tail()
    eventually(lambda: len(pair.taken()) == 3 + kept)


NOTED = "select stream_seq from taken_streams where stream = 'PARTNER_bank-a'"


async def purge(bus: str, kept: int) -> None:
    """The partner's stream forgets what is old."""
    async with await nats.connect(bus) as client:
        await client.jetstream().purge_stream("PARTNER_bank-a", keep=kept)


def test_a_service_without_decisions_that_it_announced_says_so_and_does_nothing(pair: Pair) -> None:
    asyncio.run(pair.announce(1))
    pair.copied("review", "older_review")
    pair.start("review")
    asyncio.run(pair.announce(2))
    newest = pair.postgres.sql(
        pair._database("review"), "select event_id from outbox where stream = 'EVENTS' order by id desc limit 1"
    )
    pair.copied("review", "newer_review")
    pair.put_back("review", "older_review")
    process = pair.processes["review"].start()
    eventually(lambda: "is older than what review has announced" in reason_of(process))
    assert newest in reason_of(process)
    before = pair.postgres.sql(pair._database("review"), "select count(*) from outbox, inbox")
    asyncio.run(offer(pair.bus.url))
    assert pair.postgres.sql(pair._database("review"), "select count(*) from outbox, inbox") == before
    assert not process.is_ready

    pair.put_back("review", "newer_review")  # what an operator does: a newer backup
    pair.start("review")
    asyncio.run(pair.announce(1))
    eventually(lambda: pair.counted() == 5)  # with the one that was offered meanwhile


async def offer(bus: str) -> None:
    """A partner sends while the service refuses to work."""
    async with await nats.connect(bus) as client:
        await Desk(client, None).decline("healing offered", "meanwhile")  # type: ignore[arg-type]
        with pytest.raises(nats.errors.NoRespondersError):
            await Desk(client, None).command({"uscc": "X", "reason": "now"})  # type: ignore[arg-type]
    await asyncio.sleep(1)


def reason_of(process: Process) -> str:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{process.port}/readyz", timeout=2)
    except urllib.error.HTTPError as error:
        return str(json.loads(error.read()).get("reason", ""))
    except OSError:
        return ""
    return ""


@pytest.mark.parametrize(
    ("wanted", "subject", "matches"),
    [
        ("events.>", "events.yanqing.pool.PoolPaused", True),
        ("events.>", "events", False),
        ("events.*.review.LoanCovered", "events.yanqing.review.LoanCovered", True),
        ("events.*.review.LoanCovered", "events.yanqing.pool.LoanCovered", False),
        ("events.*.review.LoanCovered", "events.yanqing.review.LoanCovered.more", False),
        ("partners.bank-a.*.LoanRepaid", "partners.bank-b.yanqing.LoanRepaid", False),
    ],
)
def test_a_subject_is_wanted_as_the_bus_would_say(wanted: str, subject: str, matches: bool) -> None:
    assert _matches(wanted, subject) is matches
