"""Replicas share a service's schemes, and one takes over what another leaves."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest

from shared.messaging.owners import PARTITIONS, NoOwner, Owners, partition_of
from tests.conftest import Nats, Postgres

SCHEMES = [f"fund-{number}" for number in range(200)]
TAKEOVER_SECONDS = 3.0


class Replica:
    """One replica's part; it answers what is handed over with its name."""

    def __init__(self, name: str, dsn: str, client: Any) -> None:
        self.name = name
        self.owners = Owners(dsn, "pool", client, self.serve)
        self.task = asyncio.create_task(self.owners.run())
        self.seconds = 0.0

    async def serve(self, request: dict[str, Any]) -> Any:
        await asyncio.sleep(self.seconds)
        return [self.name, request["question"]]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Replicas:
    def __init__(self, dsn: str, url: str) -> None:
        self.dsn, self.url = dsn, url
        self.all: list[Replica] = []
        self.clients: list[Any] = []

    async def start(self, name: str) -> Replica:
        client = await nats.connect(self.url)
        self.clients.append(client)
        self.all.append(replica := Replica(name, self.dsn, client))
        return replica

    async def until(self, *numbers: int) -> float:
        """Until the replicas own that many; how many seconds it took."""
        begun = time.monotonic()
        while sorted(len(one.owners.partitions) for one in self.all if not one.task.done()) != sorted(numbers):
            assert time.monotonic() < begun + TAKEOVER_SECONDS * 3
            await asyncio.sleep(0.02)
        return time.monotonic() - begun


@pytest.fixture
async def replicas(postgres: Postgres, bus: Nats) -> AsyncIterator[Replicas]:
    replicas = Replicas(postgres.database().replace("+asyncpg", ""), bus.url)
    yield replicas
    for one in replicas.all:
        await one.end()
    for client in replicas.clients:
        await client.close()


def test_schemes_are_spread_over_the_partitions() -> None:
    assert {partition_of(scheme) for scheme in SCHEMES} == set(range(PARTITIONS))


async def test_one_owns_all_two_share_and_the_one_that_is_left_takes_over(replicas: Replicas) -> None:
    one = await replicas.start("one")
    await replicas.until(PARTITIONS)
    two = await replicas.start("two")
    await replicas.until(PARTITIONS // 2, PARTITIONS // 2)
    assert not set(one.owners.partitions) & set(two.owners.partitions)
    await one.end()
    taken = await replicas.until(PARTITIONS)
    print(f"taken over after {taken:.2f} s")
    assert taken < TAKEOVER_SECONDS


async def test_what_belongs_to_another_is_handed_over_to_it(replicas: Replicas) -> None:
    one, two = await replicas.start("one"), await replicas.start("two")
    await replicas.until(PARTITIONS // 2, PARTITIONS // 2)
    for scheme in SCHEMES:
        assert one.owners.own(scheme) != two.owners.own(scheme)
        asker, owner = (two, "one") if one.owners.own(scheme) else (one, "two")
        assert await asker.owners.hand_over(scheme, {"question": scheme}) == [owner, scheme]


async def test_nobody_waits_for_an_owner_that_dies_with_the_work_in_hand(replicas: Replicas) -> None:
    one, two = await replicas.start("one"), await replicas.start("two")
    await replicas.until(PARTITIONS // 2, PARTITIONS // 2)
    scheme = next(scheme for scheme in SCHEMES if one.owners.own(scheme))
    one.seconds = 60.0
    asked = asyncio.create_task(two.owners.hand_over(scheme, {"question": "?"}))
    await asyncio.sleep(0.2)
    await replicas.clients[0].close()
    await one.end()
    begun = time.monotonic()
    with pytest.raises(NoOwner):
        await asked
    assert time.monotonic() - begun < TAKEOVER_SECONDS * 2


async def test_an_owner_that_takes_its_time_is_waited_for(replicas: Replicas) -> None:
    one, two = await replicas.start("one"), await replicas.start("two")
    await replicas.until(PARTITIONS // 2, PARTITIONS // 2)
    scheme = next(scheme for scheme in SCHEMES if one.owners.own(scheme))
    one.seconds = 5.0
    assert await two.owners.hand_over(scheme, {"question": "?"}) == ["one", "?"]


async def test_nobody_answers_for_what_nobody_owns(replicas: Replicas) -> None:
    one = await replicas.start("one")
    await replicas.until(PARTITIONS)
    await one.end()
    with pytest.raises(NoOwner):
        await one.owners.hand_over("yanqing", {"question": "?"})


async def test_a_replica_whose_database_connection_is_cut_owns_nothing_until_it_has_another(
    replicas: Replicas, postgres: Postgres
) -> None:
    await replicas.start("one")
    await replicas.until(PARTITIONS)
    owners = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%owner'"
    postgres.sql("postgres", owners)
    await replicas.until(0)
    await replicas.until(PARTITIONS)
