"""Streams and consumers are what the code says, whatever somebody made of them; and a header publishes nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, RePublish, StorageType, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from shared.messaging.envelope import new_id
from shared.messaging.nkeys import ACCOUNT, new_key
from shared.messaging.provisioning import Consumer, ensure_consumer, ensure_stream, ingress_stream, stream_config
from shared.messaging.unit_of_work import EVENTS, RECEIPTS
from tests.conftest import Nats
from tests.messaging.outside import Desk, Process, envelope

CONSUMER = Consumer(EVENTS, "tester", ("events.*.review.A", "events.*.review.B"))


@pytest.fixture
async def js(bus: Nats) -> AsyncIterator[JetStreamContext]:
    async with await nats.connect(bus.url) as client:
        js = client.jetstream()
        yield js
        with contextlib.suppress(NotFoundError):
            await js.delete_consumer(EVENTS, "tester")


@pytest.mark.parametrize("name", [EVENTS, RECEIPTS, ingress_stream("bank-x")])
async def test_a_stream_is_made_once_and_keeps_its_creation_time(js: JetStreamContext, name: str) -> None:
    created = await ensure_stream(js, name)
    assert await ensure_stream(js, name) == created
    config = (await js.stream_info(name)).config
    assert (config.storage, config.discard) == (StorageType.FILE, DiscardPolicy.NEW)
    assert config.subjects == stream_config(name).subjects


async def test_what_comes_through_an_account_is_stored_under_the_institution(js: JetStreamContext) -> None:
    name, account = ingress_stream("bank-acc"), new_key(ACCOUNT).public
    await ensure_stream(js, name, {"yanqing": account})
    await ensure_stream(js, name)  # as a service does, which knows of no accounts
    for subject in (f"partners.{account}.yanqing.LoanRepaid", "partners.bank-acc.yanqing.LoanRepaid"):
        stored = await js.publish(subject, b"{}")
        assert (await js.get_msg(name, stored.seq)).subject == "partners.bank-acc.yanqing.LoanRepaid"
    with pytest.raises(NoStreamResponseError):
        await js.publish(f"partners.{account}.other.LoanRepaid", b"{}")
    await ensure_stream(js, name, {})
    with pytest.raises(NoStreamResponseError):
        await js.publish(f"partners.{account}.yanqing.LoanRepaid", b"{}")


DRIFT: dict[str, dict[str, Any]] = {
    "age": {"max_age": 3600.0},
    "subjects": {"subjects": ["events.yanqing.>"]},
    "discard": {"discard": DiscardPolicy.OLD},
    "bytes": {"max_bytes": 1_000_000},
    "messages": {"max_msgs": 10},
    "messages per subject": {"max_msgs_per_subject": 1},
    "size": {"max_msg_size": 100},
    "dedupe": {"duplicate_window": 1.0},
    "no acks": {"no_ack": True},
    "copies": {"republish": RePublish(src=">", dest="copies.>")},
}


@pytest.mark.parametrize("what", DRIFT)
async def test_a_stream_that_drifted_is_set_right(js: JetStreamContext, what: str) -> None:
    created = await ensure_stream(js, EVENTS)
    before = (await js.stream_info(EVENTS)).config
    await js.update_stream(before.evolve(**DRIFT[what]))
    assert (await js.stream_info(EVENTS)).config != before
    assert await ensure_stream(js, EVENTS) == created
    assert (await js.stream_info(EVENTS)).config == before


async def test_a_plain_configuration_does_not_survive(js: JetStreamContext) -> None:
    await ensure_stream(js, EVENTS)
    before = (await js.stream_info(EVENTS)).config
    await js.update_stream(StreamConfig(name=EVENTS, subjects=["events.>"], max_age=60.0))
    await ensure_stream(js, EVENTS)
    assert (await js.stream_info(EVENTS)).config == before


async def test_what_cannot_be_set_right_is_an_error_and_not_silent(js: JetStreamContext) -> None:
    name = ingress_stream("in-memory")
    await js.add_stream(StreamConfig(name=name, subjects=["partners.in-memory.>"], storage=StorageType.MEMORY))
    with pytest.raises(APIError):
        await ensure_stream(js, name)


CONSUMER_DRIFT: dict[str, dict[str, Any]] = {
    "one filter": {"filter_subjects": None, "filter_subject": "events.*.review.C"},
    "other filters": {"filter_subjects": ["events.*.review.A", "events.*.review.C"]},
    "no filter": {"filter_subjects": None},
    "ack wait": {"ack_wait": 1.0},
    "attempts": {"max_deliver": 3},
    "pending": {"max_ack_pending": 5},
    "backoff": {"backoff": [1.0, 2.0], "max_deliver": 5},
    "headers only": {"headers_only": True},
    "removed when idle": {"inactive_threshold": 60.0},
}


@pytest.mark.parametrize("what", CONSUMER_DRIFT)
async def test_a_consumer_that_drifted_is_set_right(js: JetStreamContext, what: str) -> None:
    await ensure_stream(js, EVENTS)
    await ensure_consumer(js, CONSUMER)
    before = await js.consumer_info(EVENTS, "tester")
    await js.add_consumer(EVENTS, CONSUMER.config().evolve(**CONSUMER_DRIFT[what]))
    assert (await js.consumer_info(EVENTS, "tester")).config != before.config
    await ensure_consumer(js, CONSUMER)
    after = await js.consumer_info(EVENTS, "tester")
    assert sorted(after.config.filter_subjects or []) == sorted(CONSUMER.subjects)
    assert after.config.evolve(filter_subjects=None) == before.config.evolve(filter_subjects=None)
    assert after.created == before.created  # changed, not made anew: its position is kept


async def test_a_consumer_that_would_skip_what_is_there_is_made_anew(js: JetStreamContext) -> None:
    await ensure_stream(js, EVENTS)
    await js.publish("events.yanqing.review.A", b"{}")
    policy = {"deliver_policy": DeliverPolicy.NEW, "ack_policy": AckPolicy.EXPLICIT}
    await js.add_consumer(EVENTS, ConsumerConfig(durable_name="tester", filter_subject="events.>", **policy))  # type: ignore[arg-type]
    assert (await js.consumer_info(EVENTS, "tester")).num_pending == 0
    await ensure_consumer(js, CONSUMER)
    assert ((await js.consumer_info(EVENTS, "tester")).num_pending or 0) > 0


# -- a service at work -----------------------------------------------------------------------------------------------


async def test_a_service_sets_its_streams_and_consumers_right_while_it_works(toy_service: Process, desk: Desk) -> None:
    before = (await desk.js.stream_info(EVENTS)).config
    await desk.js.update_stream(before.evolve(max_age=3600.0))
    await desk.js.delete_consumer("PARTNER_bank-a", "review")
    await desk.js.delete_consumer(EVENTS, "review")
    await desk.until(lambda: is_as_before(desk, before))
    assert (await desk.receipt(await desk.decline("DRIFT", "fine"), 8))["outcome"] == "accepted"
    assert await desk.reasons("DRIFT") == ["fine"]


async def is_as_before(desk: Desk, before: StreamConfig) -> bool:
    return bool((await desk.js.stream_info(EVENTS)).config == before)


@pytest.mark.parametrize("good", [True, False])
async def test_a_reply_to_header_publishes_nothing(desk: Desk, good: bool) -> None:
    heard: list[str] = []

    async def hear(message: Any) -> None:
        heard.append(message.subject)

    subscription = await desk.client.subscribe("injected.>", cb=hear)
    place = "events.yanqing.gateway.BusinessDayStarted"
    count = "select count(*) from outbox"
    before = (await desk.js.stream_info(EVENTS)).state.last_seq, await desk.database.fetchval(count)
    for target in ("injected.core", place):
        data = {"uscc": "INJECT", "reason": "again" if good else 7}
        body = envelope("FinancingDeclined", data, identifier := new_id())
        await desk.submit(body, headers={"reply_to": target, "Nats-Reply-To": target, "correlation_id": "x"})
        await desk.receipt(identifier)
    await asyncio.sleep(0.3)
    await desk.client.flush()
    after = (await desk.js.stream_info(EVENTS)).state.last_seq, await desk.database.fetchval(count)
    assert heard == [] and after == (before[0], before[1] + 2)  # two receipts, no event
    await subscription.unsubscribe()


async def test_a_request_to_the_ingress_is_answered_by_the_server_only(desk: Desk) -> None:
    """The reply subject of a plain request is the server's PubAck's; the service answers by receipt."""
    body = envelope("FinancingDeclined", {"uscc": "REPLY", "reason": "fine"}, identifier := new_id())
    inbox = desk.client.new_inbox()
    subscription = await desk.client.subscribe(inbox)
    await desk.client.publish("partners.bank-a.yanqing.FinancingDeclined", body, reply=inbox)
    await desk.receipt(identifier)
    assert b'"stream"' in (await subscription.next_msg(1)).data
    with pytest.raises(nats.errors.TimeoutError):
        await subscription.next_msg(0.3)
