"""How long business stands still when a replica or a node dies; docs/cluster.md has the figures."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import nats
import pytest
import pytest_asyncio

from riskpool.layout import Layout
from riskpool.services import SERVICES
from shared.messaging.bus import servers_in
from shared.messaging.owners import FIRST_KEY, partition_of
from shared.messaging.provisioning import ingress_stream
from shared.messaging.unit_of_work import EVENTS
from tests.faults.books import as_owner
from tests.faults.business import Business
from tests.faults.cast import cast_of
from tests.faults.partners import Mischief
from tests.faults.storm import Fault, Storm, told
from tests.faults.world import World

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chaos, pytest.mark.timeout(900)]
SCHEME = "calm"
BEFORE_SECONDS, AFTER_SECONDS = 2.0, 18.0
MOST_SECONDS = 10.0  # the gateway asks another replica after three
Act = Callable[[int], Awaitable[object]]


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout(nodes=3, replicas=2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def business(running: World, seed: int) -> AsyncIterator[Business]:
    async with running.doors(SCHEME, Mischief(seed, calm=True)) as doors:
        business = Business(doors, seed, cast_of(seed, 1))
        await business.open_fund()
        await business.settled()
        yield business


async def longest(act: Act, name: str, world: World) -> tuple[float, float]:
    """Do one after another; the longest that one took which a killed process may have had in hand, and when it died."""
    killed, number, most = 0.0, 0, 0.0
    storm = Storm(world.stack, world.links, None, [Fault(0, "kill", name, 0)])
    began, killing = time.monotonic(), asyncio.create_task(_later(storm))
    while time.monotonic() - began < BEFORE_SECONDS + AFTER_SECONDS:
        asked = time.monotonic()
        await act(number)
        number += 1
        killed = killed or (killing.result() if killing.done() else 0.0)
        if killed:
            most = max(most, time.monotonic() - asked)
    await storm.over()
    return most, killed


async def _later(storm: Storm) -> float:
    await asyncio.sleep(BEFORE_SECONDS)
    await storm.reached(0)
    return time.monotonic()


async def owner_of(world: World, scheme: str) -> int | None:
    """The database's process that holds the lock of the scheme's partition in the pool."""
    here = "database = (select oid from pg_database where datname = current_database())"
    query = f"select pid from pg_locks where locktype = 'advisory' and {here} and objid = $1 and granted"
    rows = await as_owner(world.stack, "pool", query, FIRST_KEY + partition_of(scheme))
    return rows[0]["pid"] if rows else None


async def watch(world: World, seen: list[tuple[float, int | None]]) -> None:
    """Note every change of the owner, and when."""
    while True:
        owner = await owner_of(world, SCHEME)
        if not seen or seen[-1][1] != owner:
            seen.append((time.monotonic(), owner))
        await asyncio.sleep(0.02)


async def test_commands_go_on_when_the_pools_owner_dies(running: World, business: Business) -> None:
    async def inject(number: int) -> None:
        ref = f"{os.urandom(4).hex()}-{number}"
        answer = await business.act("finance", "InjectCapital", source="policy_fund", amount="1.00", bank_ref=ref)
        assert answer.rule in ("", "pool.capital"), answer  # decided, if only that all capital is there

    for name in ("pool", "pool-2", "pool", "pool-2"):
        seen: list[tuple[float, int | None]] = []
        watching = asyncio.create_task(watch(running, seen))
        took, killed = await longest(inject, name, running)
        watching.cancel()
        # Its locks end with it; later they move because it is there again.
        moves = [(at - killed, owner) for at, owner in seen[1:] if -1 < at - killed < 1.5]
        owned = next((after for after, owner in moves if owner is not None), None)
        what = f"the owner, there was another after {max(owned, 0):.1f} s" if owned is not None else "not the owner"
        print(f"\n{name} killed, {what}: a command took {took:.1f} s at most")
        assert took < MOST_SECONDS
        await business.settled()


@pytest.mark.parametrize("stream", [ingress_stream("custodian"), EVENTS])
async def test_partners_go_on_when_a_streams_leader_dies(running: World, business: Business, stream: str) -> None:
    async def state(number: int) -> None:
        answer = await business.act("custodian", "StatementIssued", as_of="2026-01-05", balance=f"{number}.00")
        assert answer.outcome in ("accepted", "refused"), answer

    leader, unready = await leader_of(running, stream), list[str]()
    watching = asyncio.create_task(watch_readiness(running, unready))
    took, _ = await longest(state, leader, running)
    watching.cancel()
    assert unready == []
    print(f"\n{leader} killed, leader of {stream}: from event to receipt {took:.1f} s at most")
    assert took < 3 * MOST_SECONDS
    await business.settled()


async def watch_readiness(world: World, unready: list[str]) -> None:
    """Note when no process of a service is ready: whoever balances between them would have nobody to send to."""
    async with httpx.AsyncClient(timeout=5) as client:
        while True:
            for service in SERVICES:
                addresses = [f"http://127.0.0.1:{world.stack.ports[name]}" for name in world.stack.layout.of(service)]
                answers = await asyncio.gather(*(client.get(f"{one}/readyz") for one in addresses))
                if all(answer.status_code != 200 for answer in answers):
                    unready.append(service)
            await asyncio.sleep(0.3)


async def leader_of(world: World, stream: str) -> str:
    credentials = Path(world.stack.nats_credentials)
    client = await nats.connect(servers_in(world.stack.nats_url), user_credentials=str(credentials))
    try:
        info = await told(lambda: client.jetstream(timeout=10).stream_info(stream))
        assert info.cluster is not None and info.cluster.leader is not None
        return info.cluster.leader
    finally:
        await client.close()
