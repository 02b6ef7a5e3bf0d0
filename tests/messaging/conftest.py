"""Servers for a module each, and the toy service at work on them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import nats
import pytest

from shared.messaging.envelope import new_id
from tests.conftest import Nats, Postgres, eventually
from tests.messaging import toy
from tests.messaging.outside import Desk, Nursery, Process, make_database, sign_agreements, takes_from


@pytest.fixture(scope="module")
def bus(server_directory: Path) -> Iterator[Nats]:
    """A NATS server for one module."""
    server = Nats.alone(server_directory / new_id() / "nats")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def toy_database(postgres: Postgres) -> str:
    return make_database(postgres, toy.metadata)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def toy_service(nursery: Nursery, bus: Nats, toy_database: str, server_directory: Path) -> Iterator[Process]:
    """The toy at work, with agreements of bank-a and bank-b."""
    log = server_directory / f"toy-{new_id()}.log"
    process = Process(nursery, "review", toy_database, bus.url, log).start().until_ready()
    asyncio.run(sign_agreements(bus.url, "bank-a", "bank-b"))
    eventually(lambda: asyncio.run(takes_from(bus.url, "bank-a")) and asyncio.run(takes_from(bus.url, "bank-b")))
    yield process
    process.kill()


@pytest.fixture
async def desk(toy_service: Process, bus: Nats, toy_database: str) -> AsyncIterator[Desk]:
    database = await asyncpg.connect(toy_database.replace("+asyncpg", ""), ssl=False)
    async with await nats.connect(bus.url) as client:
        yield Desk(client, database)
    await database.close()
