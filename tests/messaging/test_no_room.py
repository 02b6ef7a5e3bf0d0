"""No room for one institution, on the bus or among what is parked: that one waits, the others and the start do not."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nats
import nats.errors
import nats.js.errors
import pytest

from shared.messaging.envelope import new_id
from shared.messaging.intake import FULL_SECONDS, PARKED_BYTES
from shared.messaging.provisioning import INGRESS_BYTES
from tests.conftest import Nats, Postgres, eventually
from tests.messaging import toy
from tests.messaging.outside import (
    Desk,
    Nursery,
    Process,
    envelope,
    make_database,
    sign_agreements,
    takes_from,
)

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
        eventually(lambda: "no ingress stream" in process.tail())
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
        eventually(lambda: served_by(small_bus) == [*BANKS])
    finally:
        process.kill()


def served_by(bus: Nats) -> list[str]:
    """Whose events the service takes."""
    return [name for name in BANKS if asyncio.run(takes_from(bus.url, name))]


async def submit(bus: Nats, institution: str) -> None:
    async with await nats.connect(bus.url) as client:
        desk = Desk(client, None)  # type: ignore[arg-type]
        await desk.submit(b"{}", by=institution)


PARK = """insert into parked (consumer, stream, stream_seq, message_id, subject, headers, body, error, trace)
    select 'review', 'PARTNER_bank-a', -number, number, '', '{}', convert_to(repeat('x', 250000), 'UTF8'), '', ''
    from generate_series(1, $1::int) number"""


async def test_who_fills_the_place_of_what_nobody_can_read_waits_until_it_is_settled(
    desk: Desk, toy_service: Process
) -> None:
    await desk.database.execute(PARK, PARKED_BYTES // 250_000 + 1)
    identifier = new_id()
    await desk.submit(envelope("FinancingDeclined", {"wrong": "data"}, identifier))
    await asyncio.to_thread(eventually, lambda: "too much is parked" in toy_service.tail())
    other = new_id()
    await desk.submit(envelope("FinancingDeclined", {"wrong": "data"}, other), by="bank-b")
    assert (await desk.receipt(other))["outcome"] == "unreadable"  # others have their room
    assert not await desk.parked(identifier) and not await desk.receipts(identifier)

    await desk.database.execute("update parked set settled_at = now(), settlement = 'discarded' where stream_seq < 0")
    assert (await desk.receipt(identifier, 2 * FULL_SECONDS))["outcome"] == "unreadable"
    assert len(await desk.parked(identifier)) == 1
