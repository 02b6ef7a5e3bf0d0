"""Partners' accounts on a bus of three nodes: whoever is shut out is shut out of each, also of one that was away."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import nats
import pytest
from nats.aio.client import Client, RawCredentials
from nats.errors import Error as NatsError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.bus_access import BusAccess, issue, revoke
from shared.messaging.bus import Bus, ServiceUnavailable, servers_in
from shared.messaging.provisioning import ensure_stream
from shared.messaging.unit_of_work import RECEIPTS
from tests.conftest import Nats, Nodes


@pytest.fixture
async def bus(three_nodes: Nodes) -> AsyncIterator[Bus]:
    credentials = str(three_nodes.keys.credentials("gateway"))
    client = await nats.connect(
        servers_in(three_nodes.url), user_credentials=credentials, inbox_prefix=b"_INBOX_gateway",
        max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_ignored,
    )  # fmt: skip
    yield Bus(client)
    await client.close()


@pytest.fixture
async def access(three_nodes: Nodes) -> AsyncIterator[BusAccess]:
    access = BusAccess(three_nodes.keys.operator.parent)
    yield access
    await access.close()


async def _ignored(_error: Exception) -> None:
    """A node is killed here."""


async def lets_in(node: Nats, credentials: str) -> bool:
    try:
        client: Client = await nats.connect(
            node.url, user_credentials=RawCredentials(credentials), allow_reconnect=False, max_reconnect_attempts=0,
            connect_timeout=5, error_cb=_ignored,
        )  # fmt: skip
    except (NatsError, OSError, TimeoutError):
        return False
    inside = client.is_connected
    await client.close()
    return inside


async def test_credentials_that_ended_while_a_node_was_away_let_nobody_in_once_it_is_told(
    three_nodes: Nodes, bus: Bus, access: BusAccess, connection: AsyncConnection
) -> None:
    await ensure_stream(bus.js, RECEIPTS)
    _, credentials = await issue(connection, "yanqing", "bank-x", "drc", "", None)
    await told_until(access, connection, bus, lambda: all_let_in(three_nodes.nodes, credentials, True))
    away = three_nodes.nodes[2]
    away.kill()
    await revoke(connection, "yanqing", "bank-x", "drc")
    here = three_nodes.nodes[:2]
    await told_until(access, connection, bus, lambda: all_let_in(here, credentials, False))
    await asyncio.to_thread(away.start)
    await told_until(access, connection, bus, lambda: all_let_in([away], credentials, False))


async def test_a_node_that_lost_its_directory_knows_every_account(
    three_nodes: Nodes, bus: Bus, access: BusAccess, connection: AsyncConnection
) -> None:
    await ensure_stream(bus.js, RECEIPTS)
    _, credentials = await issue(connection, "yanqing", "bank-x", "drc", "", None)
    await told_until(access, connection, bus, lambda: all_let_in(three_nodes.nodes, credentials, True))
    await asyncio.to_thread(three_nodes.forget, three_nodes.nodes[0])
    await told_until(access, connection, bus, lambda: all_let_in(three_nodes.nodes, credentials, True))


async def all_let_in(nodes: list[Nats], credentials: str, wanted: bool) -> bool:
    return all([await lets_in(node, credentials) is wanted for node in nodes])


async def told_until(
    access: BusAccess, connection: AsyncConnection, bus: Bus, holds: Callable[[], Awaitable[bool]]
) -> None:
    """As the gateway does it: again and again, for a node that comes is not a part of the bus at once."""
    deadline = time.monotonic() + 40
    while True:
        with contextlib.suppress(ServiceUnavailable):
            await access.tell(connection, bus)
            if await holds():
                return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)
