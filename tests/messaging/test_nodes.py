"""A bus of three nodes keeps everything three times, and its configuration for one's own servers runs."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import nats
import pytest
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from riskpool.keys import Keys
from riskpool.layout import Layout
from riskpool.servers import NatsServer
from riskpool.supervisor import Program, StackError
from shared.messaging.bus import connect, servers_in
from shared.messaging.provisioning import Consumer, ensure_consumer, ensure_stream
from shared.messaging.unit_of_work import EVENTS
from tests.conftest import Nats, Nodes, eventually, free_port
from tests.messaging.test_tls import Authority

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
CONSUMER = Consumer(EVENTS, "pool", ("events.*.pool.A",))


@pytest.fixture
async def js(three_nodes: Nodes) -> AsyncIterator[JetStreamContext]:
    credentials = str(three_nodes.keys.credentials("operations"))
    client = await nats.connect(
        servers_in(three_nodes.url), user_credentials=credentials, max_reconnect_attempts=-1, reconnect_time_wait=0.2,
        error_cb=_ignored,
    )  # fmt: skip
    yield client.jetstream(timeout=2)
    await client.close()


async def _ignored(_error: Exception) -> None:
    """Nodes are killed here."""


async def until(asked: Callable[[], Awaitable[T]], seconds: float = 60) -> T:
    """What the bus answers, once it does and it is true."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := await asked():
                return answer
        except (NatsError, TimeoutError):
            pass
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_stream_and_its_consumer_are_kept_three_times_and_set_right_when_they_are_not(
    js: JetStreamContext,
) -> None:
    async def kept(times: int) -> bool:
        stream, consumer = await js.stream_info(EVENTS), await js.consumer_info(EVENTS, "pool")
        return [len(one.cluster.replicas or []) + 1 for one in (stream, consumer) if one.cluster] == [times] * 2

    created = await until(lambda: ensure_stream(js, EVENTS))
    await ensure_consumer(js, CONSUMER)
    await until(lambda: kept(3))
    await js.update_stream((await js.stream_info(EVENTS)).config.evolve(num_replicas=1))
    await until(lambda: kept(1))
    assert await ensure_stream(js, EVENTS) == created
    await until(lambda: kept(3))
    await js.add_consumer(EVENTS, CONSUMER.config().evolve(num_replicas=1))
    await ensure_consumer(js, CONSUMER)
    await until(lambda: kept(3))


async def test_a_stream_is_the_same_one_after_its_leader_died(three_nodes: Nodes, js: JetStreamContext) -> None:
    """Else the relay would take it for a new one, and publish everything again."""
    created = await until(lambda: ensure_stream(js, EVENTS))
    leader = (await js.stream_info(EVENTS)).cluster
    assert leader is not None and leader.leader is not None
    three_nodes.node(leader.leader).kill()

    async def has_another() -> bool:
        now = (await js.stream_info(EVENTS)).cluster
        return now is not None and now.leader not in (None, leader.leader)

    await until(has_another)
    assert await ensure_stream(js, EVENTS) == created


async def test_without_a_majority_nothing_is_stored_and_nothing_is_lost(
    three_nodes: Nodes, js: JetStreamContext
) -> None:
    await ensure_stream(js, EVENTS)
    before = await js.publish("events.yanqing.pool.A", b"before")
    for node in three_nodes.nodes[:2]:
        node.kill()
    with pytest.raises((NatsError, TimeoutError)):
        await js.publish("events.yanqing.pool.A", b"refused")
    three_nodes.nodes[0].launch()

    async def stores() -> bool:
        return (await js.publish("events.yanqing.pool.A", b"after")).seq > before.seq

    await until(stores)
    assert (await js.get_msg(EVENTS, before.seq)).data == b"before"


# -- servers of one's own --------------------------------------------------------------------------------------------


class OwnNode(Nats):
    """A node by ops/nats/cluster.conf, with the ports of the test instead of the usual ones."""

    def __init__(self, name: str, settings: Path, port: int, monitor: int) -> None:
        server = NatsServer(settings.parent, settings.with_suffix(".log"), port, monitor)
        super().__init__(server)
        command = (server.program().command[0], "-c", str(settings))
        self._program = Program(name, command, server.log, environment={**os.environ, "RISKPOOL_NODE": name})


@pytest.fixture
def own_nodes(tmp_path: Path) -> Iterator[list[OwnNode]]:
    authority, names = Authority(tmp_path), [f"nats-{number}" for number in (1, 2, 3)]
    certificate, key = authority.issue("node")
    routes = {name: free_port() for name in names}
    nodes = []
    for name in names:
        place, port, monitor = tmp_path / name, free_port(), free_port()
        keys = ("keys", str(tmp_path / "keys"), "--accounts", str(place / "accounts"))
        subprocess.run([sys.executable, "-m", "riskpool", *keys], check=True, capture_output=True)
        place.mkdir()
        (place / "keys").mkdir()
        (place / "keys" / "accounts.conf").write_text((tmp_path / "keys" / "server" / "accounts.conf").read_text())
        text = (ROOT / "ops" / "nats" / "cluster.conf").read_text()
        for printed, actual in {
            "0.0.0.0:4222": f"127.0.0.1:{port}", "127.0.0.1:8222": f"127.0.0.1:{monitor}", "/data": str(place / "data"),
            "0.0.0.0:6222": f"127.0.0.1:{routes[name]}", "/etc/riskpool/tls/node.crt": str(certificate),
            "/etc/riskpool/tls/node.key": str(key), "/etc/riskpool/tls/authority.crt": str(authority.file),
            **{f"{one}:6222": f"127.0.0.1:{route}" for one, route in routes.items()},
        }.items():  # fmt: skip
            assert printed in text
            text = text.replace(printed, actual)
        (place / "cluster.conf").write_text(text)
        nodes.append(OwnNode(name, place / "cluster.conf", port, monitor))
    for node in nodes:
        node.launch()
    eventually(lambda: all(node.is_ready() for node in nodes), 60)
    yield nodes
    for node in nodes:
        node.kill()


async def test_the_configuration_for_ones_own_servers_makes_a_bus_of_three(
    own_nodes: list[OwnNode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKPOOL_NATS_URL", ",".join(node.url for node in own_nodes))
    monkeypatch.setenv("RISKPOOL_NATS_REPLICAS", "3")
    monkeypatch.setenv("RISKPOOL_NATS_CA", str(tmp_path / "ca.pem"))
    credentials = Keys(tmp_path / "keys").credentials("pool")
    client = await asyncio.wait_for(connect("test", "pool", credentials=credentials), 10)
    await ensure_stream(client.jetstream(timeout=5), EVENTS)
    found = (await client.jetstream().stream_info(EVENTS)).cluster
    assert found is not None and len(found.replicas or []) == 2
    await client.close()


def test_two_nodes_are_refused() -> None:
    with pytest.raises(StackError, match="one node, or three"):
        Layout(nodes=2)
