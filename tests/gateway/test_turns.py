"""Events that reach the gateway in another order than their service recorded them in are folded in that order."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import nats
import nats.errors
import pytest
from nats.js import JetStreamContext
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.gateway.projections.dispatch import project
from services.gateway.projections.tables import cases
from services.gateway.projections.turns import beyond, in_turn
from services.gateway.tables import events, turns
from shared.contracts.base import Event
from shared.contracts.review import CaseOpened, EnterpriseVetoed, RatingRoundOpened
from shared.messaging import holding, provisioning
from shared.messaging.envelope import TURN, event_json, new_id
from shared.messaging.incoming import Incoming
from shared.messaging.intake import Intake
from shared.messaging.provisioning import Consumer, ensure_consumer, ensure_stream
from shared.messaging.reading import read_event
from shared.messaging.tables import parked, schemes
from shared.messaging.unit_of_work import EVENTS, Transaction
from tests.conftest import Nats
from tests.gateway.story import SCHEME, START, USCC, day

OPENED = CaseOpened(
    uscc=USCC, name="甲公司", recommender="scitech", need=100, affiliates=(), shareholders=(),
    admitted_on=day("2026-01-05"),
)  # fmt: skip
ROUND = RatingRoundOpened(uscc=USCC, round=1, seats=("drc",), opened_on=day("2026-01-06"))
VETOED = EnterpriseVetoed(uscc=USCC, reason="否决")


class Way:
    """The real bus into the gateway's real intake."""

    def __init__(self, js: JetStreamContext, engine: AsyncEngine) -> None:
        self.js, self.engine = js, engine
        self.intake = Intake(engine, "events", read_event, self._handle, self._begin, in_turn=in_turn)

    def _begin(self, connection: AsyncConnection) -> Transaction:
        return Transaction(connection, "gateway", ())

    async def _handle(self, transaction: Transaction, one: Incoming) -> str:
        assert one.envelope and isinstance(one.message, Event)
        transaction.write_together(project, (one.envelope, one.message))
        return "taken"

    async def send(self, event: Event, turn: int | None, identifier: str = "") -> str:
        """Publish an event as the relay of its service does; without a turn as the first releases did. Its id."""
        name, identifier = type(event).__name__, identifier or new_id()
        data = event.model_dump_json()
        text = event_json(event.service, identifier, name, START.isoformat(), data, scheme=SCHEME, subject=USCC)
        headers = {"Nats-Msg-Id": new_id(), **({TURN: str(turn)} if turn else {})}
        await self.js.publish(f"events.{SCHEME}.{event.service}.{name}", text.encode(), headers=headers)
        return identifier

    async def arrive(self) -> None:
        """Let the gateway take what is there, in one batch."""
        subscription = await self.js.pull_subscribe("events.>", "gateway", EVENTS)
        with contextlib.suppress(nats.errors.TimeoutError):  # nothing has come back yet
            await self.intake.take(await subscription.fetch(10, timeout=0.5))
        await subscription.unsubscribe()

    async def folded(self) -> Sequence[str]:
        """The kept events' names, in the order they were folded in."""
        async with self.engine.connect() as connection:
            return (await connection.execute(select(events.c.type).order_by(events.c.position))).scalars().all()


@pytest.fixture
async def way(engine: AsyncEngine, nats_server: Nats, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Way]:
    monkeypatch.setattr(provisioning, "ACK_WAIT_SECONDS", 0.5)
    async with engine.begin() as connection:
        await connection.execute(schemes.insert().values(scheme=SCHEME, version="1"))
    client = await nats.connect(nats_server.url)
    js = client.jetstream()
    await ensure_stream(js, EVENTS)
    await ensure_consumer(js, Consumer(EVENTS, "gateway", ("events.>",)))
    yield Way(js, engine)
    await js.delete_stream(EVENTS)
    await client.close()


async def test_events_that_come_together_are_folded_in_their_order(way: Way, connection: AsyncConnection) -> None:
    for event, turn in ((VETOED, 3), (ROUND, 2), (OPENED, 1)):
        await way.send(event, turn)
    await way.arrive()
    assert await way.folded() == ["CaseOpened", "RatingRoundOpened", "EnterpriseVetoed"]
    assert (await connection.execute(select(cases.c.review_status))).scalars().all() == ["vetoed"]


async def test_an_event_waits_for_the_one_before_it(way: Way) -> None:
    await way.send(OPENED, 1)
    await way.send(VETOED, 3)
    await way.arrive()
    assert await way.folded() == ["CaseOpened"]
    await way.send(ROUND, 2)
    while len(await way.folded()) < 3:
        await way.arrive()
    assert await way.folded() == ["CaseOpened", "RatingRoundOpened", "EnterpriseVetoed"]


async def test_what_waits_too_long_is_taken_and_the_rest_goes_on(
    way: Way, connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "OVERDUE_SECONDS", 1.0)
    await way.send(ROUND, 2)
    while not await way.folded():
        await way.arrive()
    await way.send(VETOED, 3)
    await way.send(OPENED, 1)
    await way.arrive()
    assert await way.folded() == ["RatingRoundOpened", "CaseOpened", "EnterpriseVetoed"]
    assert (await connection.execute(select(turns.c.last))).scalars().all() == [3]
    assert (await connection.execute(select(parked))).all() == []


async def test_a_relay_that_tells_no_turn_is_taken_as_it_comes(way: Way, connection: AsyncConnection) -> None:
    for event, turn in ((OPENED, None), (ROUND, None), (VETOED, 3)):
        await way.send(event, turn)
    await way.arrive()
    assert await way.folded() == ["CaseOpened", "RatingRoundOpened", "EnterpriseVetoed"]


async def test_an_event_at_a_turn_that_another_had_is_an_error_and_one_that_comes_again_is_none(
    way: Way, connection: AsyncConnection, caplog: pytest.LogCaptureFixture
) -> None:
    first = await way.send(OPENED, 1)
    await way.send(ROUND, 2)
    await way.arrive()
    await way.send(OPENED, 1, first)
    await way.send(OPENED, None, first)  # as a relay of the first releases would
    await way.arrive()
    assert "came after its turn" not in caplog.text
    assert (await connection.execute(select(turns.c.last))).scalars().all() == [2]
    decided_anew = await way.send(VETOED, 2)
    await way.arrive()
    [told] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert (told.message.startswith("came after its turn"), told.__dict__["id"]) == (True, decided_anew)
    assert await way.folded() == ["CaseOpened", "RatingRoundOpened", "EnterpriseVetoed"]


async def test_the_gateway_says_what_it_folded_beyond_what_a_service_has(
    way: Way, connection: AsyncConnection
) -> None:
    sent = [await way.send(event, turn) for turn, event in enumerate((OPENED, ROUND, VETOED), 1)]
    await way.arrive()
    assert await beyond(connection, "review", {SCHEME: 3}) == {}
    assert await beyond(connection, "review", {SCHEME: 2, "other": 9}) == {SCHEME: sent[::-1]}
    assert await beyond(connection, "review", {}) == {SCHEME: sent[::-1]}
    assert await beyond(connection, "pool", {}) == {}
