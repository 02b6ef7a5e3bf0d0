"""Who floods holds up its own events alone: refused while its stream is full, taken again when there is room."""

from collections.abc import AsyncIterator

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.errors import APIError

from shared.messaging import provisioning
from shared.messaging.backlog import TAKERS, Backlog, backlog_of, make_room
from shared.messaging.envelope import new_id
from shared.messaging.provisioning import Consumer, ensure_consumer, ensure_stream, ingress_stream
from tests.conftest import Nats
from tests.messaging.outside import Desk, envelope

LIMIT = 100_000
STREAM = ingress_stream("flooder")


@pytest.fixture
async def js(bus: Nats, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JetStreamContext]:
    monkeypatch.setattr(provisioning, "INGRESS_BYTES", LIMIT)
    async with await nats.connect(bus.url) as client:
        js = client.jetstream()
        await ensure_stream(js, STREAM)
        yield js
        await js.delete_stream(STREAM)


async def flood(js: JetStreamContext) -> int:
    """Publish until it is refused; how many were taken."""
    for count in range(1000):
        try:
            await js.publish("partners.flooder.yanqing.FinancingDeclined", b"x" * 1000)
        except APIError as error:
            assert "maximum bytes exceeded" in (error.description or "")
            return count
    raise AssertionError("it was never refused")


async def take(js: JetStreamContext, service: str, count: int) -> None:
    """Take and ack as a service does."""
    subscription = await js.pull_subscribe("partners.flooder.>", service, STREAM)
    for message in await subscription.fetch(count, timeout=5):
        await message.ack_sync()
    await subscription.unsubscribe()


async def test_what_every_service_has_taken_makes_room_and_nothing_else_does(js: JetStreamContext) -> None:
    for service in sorted(TAKERS)[1:]:
        await ensure_consumer(js, Consumer(STREAM, service, ("partners.flooder.>",)))
    sent = await flood(js)
    for service in sorted(TAKERS)[1:]:
        await take(js, service, sent)
    assert not await make_room(js, "flooder")  # one service has no consumer yet: it will want all of them
    first = sorted(TAKERS)[0]
    await ensure_consumer(js, Consumer(STREAM, first, ("partners.flooder.>",)))
    assert (await backlog_of(js, "flooder")).waiting == sent
    await take(js, first, 10)
    assert await make_room(js, "flooder")
    known = await backlog_of(js, "flooder")
    assert known.waiting == sent - 10 == (await js.stream_info(STREAM)).state.messages and known.since is not None
    assert await flood(js) == 10
    await take(js, first, sent)
    for service in sorted(TAKERS)[1:]:
        await take(js, service, 10)
    assert await make_room(js, "flooder")
    assert await backlog_of(js, "flooder") == Backlog(0, None, 0, LIMIT)


async def test_what_is_taken_is_kept_while_there_is_room(js: JetStreamContext) -> None:
    for service in TAKERS:
        await ensure_consumer(js, Consumer(STREAM, service, ("partners.flooder.>",)))
    await js.publish("partners.flooder.yanqing.FinancingDeclined", b"x")
    for service in TAKERS:
        await take(js, service, 1)
    assert not await make_room(js, "flooder")
    known = await backlog_of(js, "flooder")
    assert known.waiting == 0 and known.bytes > 0


async def test_nobody_waits_behind_a_flood_of_another(desk: Desk) -> None:
    sent = [new_id() for _ in range(1500)]
    for identifier in sent:
        subject = "partners.bank-a.yanqing.FinancingDeclined"
        await desk.client.publish(subject, envelope("FinancingDeclined", {"uscc": "F", "reason": "fine"}, identifier))
    await desk.client.flush()
    calm = new_id()
    await desk.submit(envelope("FinancingDeclined", {"uscc": "C", "reason": "fine"}, calm), by="bank-b")
    assert (await desk.receipt(calm, 20))["outcome"] == "accepted"
    assert await desk.receipts(sent[-1]) == []
    await desk.until(lambda: desk.receipts(sent[-1]), 60)
    assert len(await desk.receipts(sent[0])) == 1


async def test_an_institution_that_never_sent_has_no_backlog(js: JetStreamContext) -> None:
    assert await backlog_of(js, "nobody") == Backlog(0, None, 0, LIMIT)
