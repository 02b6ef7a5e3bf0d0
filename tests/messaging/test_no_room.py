"""A bus without room for one more institution: that one waits, the others and the start do not."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nats
import nats.errors
import nats.js.errors
import pytest

from shared.messaging.envelope import new_id
from shared.messaging.provisioning import INGRESS_BYTES
from tests.conftest import Nats, Postgres, eventually
from tests.messaging import toy
from tests.messaging.outside import Desk, Nursery, Process, make_database, sign_agreements, takes_from

BANKS = ("bank-a", "bank-b", "bank-c")


@pytest.fixture
def small_bus(server_directory: Path) -> Iterator[Nats]:
    """A server with room for the streams of two institutions."""
    directory = server_directory / new_id() / "nats"
    room = f'jetstream {{ store_dir: "{directory / "store"}", max_file_store: {INGRESS_BYTES * 5 // 2} }}\n'
    server = Nats.alone(directory, more=room)
    server.start()
    yield server
    server.kill()


def test_an_institution_whose_stream_has_no_room_waits_and_nobody_else_does(
    small_bus: Nats, postgres: Postgres, nursery: Nursery, server_directory: Path
) -> None:
    url = make_database(postgres, toy.metadata)
    process = Process(nursery, "review", url, small_bus.url, server_directory / f"toy-{new_id()}.log")
    process.start().until_ready()
    try:
        asyncio.run(sign_agreements(small_bus.url, *BANKS))
        eventually(lambda: "no ingress stream" in process.tail(), 20)
        eventually(lambda: len(served_by(small_bus)) == 2)
        served = served_by(small_bus)
        [left] = {*BANKS} - {*served}
        assert process.is_ready and f'"institution": "{left}"' in process.tail()
        with pytest.raises(nats.js.errors.NoStreamResponseError):  # and sends it again later
            asyncio.run(submit(small_bus, left))

        process.stop()
        process.start().until_ready()  # also a start is not held up
        eventually(lambda: served_by(small_bus) == served)
        for name in served:
            asyncio.run(submit(small_bus, name))

        small_bus.stop()
        small_bus.server.more = ""  # an operator makes room
        small_bus.start()
        eventually(lambda: served_by(small_bus) == [*BANKS], 20)
    finally:
        process.kill()


def served_by(bus: Nats) -> list[str]:
    """Whose events the service takes."""
    return [name for name in BANKS if asyncio.run(takes_from(bus.url, name))]


async def submit(bus: Nats, institution: str) -> None:
    async with await nats.connect(bus.url) as client:
        desk = Desk(client, None)  # type: ignore[arg-type]
        await desk.submit(b"{}", by=institution)
