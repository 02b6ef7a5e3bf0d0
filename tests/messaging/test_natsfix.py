"""What natsfix.py repairs: each fault shown on nats-py as it is, under FastStream, and gone when repaired."""

import asyncio
import contextlib
import importlib.util
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nats
import nats.aio.client
import nats.errors
import nats.js.client
import nats.protocol.parser
import pytest
from faststream import AckPolicy
from faststream._internal.endpoint.subscriber.supervisor import TaskCallbackSupervisor
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.annotations import NatsMessage
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy as Ack
from nats.js.api import ConsumerConfig

from shared.messaging import natsfix
from shared.messaging.envelope import new_id
from tests.conftest import Nats
from tests.messaging.outside import publish_raw

Install = Callable[[], None]
Pull = JetStreamContext.PullSubscription


def as_published(module: ModuleType) -> ModuleType:
    """The module again from its file, whatever was done to the one in use."""
    assert module.__file__
    spec = importlib.util.spec_from_file_location(f"{module.__package__}.as_published", module.__file__)
    assert spec and spec.loader
    again = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = again  # its dataclasses look there
    spec.loader.exec_module(again)
    return again


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts nats-py back as it was published; everything is as before after the test."""
    client, js, parser = (as_published(m) for m in (nats.aio.client, nats.js.client, nats.protocol.parser))
    monkeypatch.setattr(Pull, "fetch", js.JetStreamContext.PullSubscription.fetch)
    monkeypatch.setattr(JetStreamContext, "is_status_msg", classmethod(js.JetStreamContext.is_status_msg.__func__))
    monkeypatch.setattr(nats.aio.client.Client, "_process_headers", client.Client._process_headers)
    monkeypatch.setattr(nats.aio.client.Client, "_build_message", client.Client._build_message)
    monkeypatch.setattr(nats.protocol.parser, "MSG_RE", parser.MSG_RE)
    monkeypatch.setattr(nats.protocol.parser, "HMSG_RE", parser.HMSG_RE)
    return lambda: None


@pytest.fixture
def repaired(plain: Install) -> Install:
    """The repair, until the end of the test."""
    return natsfix.install


class Stream:
    """A stream with one durable, and what FastStream makes of it."""

    def __init__(self, js: JetStreamContext, url: str) -> None:
        self.js, self.url, self.name, self.durable = js, url, f"S{new_id()[-12:]}", "durable"
        self.taken: list[tuple[bytes, float]] = []
        self.fetches = 0

    async def make(self, ack_wait: float = 2) -> "Stream":
        await self.js.add_stream(name=self.name, subjects=[f"{self.name}.>"])
        await self.make_consumer(ack_wait)
        return self

    async def make_consumer(self, ack_wait: float = 2) -> None:
        config = ConsumerConfig(durable_name=self.durable, ack_policy=Ack.EXPLICIT, ack_wait=ack_wait)
        await self.js.add_consumer(self.name, config)

    async def publish(self, number: int) -> None:
        for _ in range(number):
            await self.js.publish(f"{self.name}.x", str(time.monotonic()).encode())

    def broker(self, timeout: float, **options: Any) -> tuple[NatsBroker, Any]:
        """FastStream's batch loop, acks by hand, as binding.py has it."""
        broker = NatsBroker(self.url, logger=None, **options)
        subscriber = broker.subscriber(
            f"{self.name}.>", stream=JStream(self.name, declare=False), durable=self.durable,
            pull_sub=PullSub(batch_size=natsfix.BATCH, timeout=timeout, batch=True), ack_policy=AckPolicy.MANUAL,
            no_reply=True,
        )  # fmt: skip

        @subscriber
        async def take(message: NatsMessage) -> None:
            raws: Any = message.raw_message
            for raw in raws:
                self.taken.append((raw.data, time.monotonic()))
                await raw.ack()

        return broker, subscriber

    @property
    def delays(self) -> list[float]:
        return [at - float(sent) for sent, at in self.taken]


@pytest.fixture
async def stream(bus: Nats) -> AsyncIterator[Stream]:
    async with await nats.connect(bus.url) as client:
        yield await Stream(client.jetstream(), bus.url).make()


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stream], None]:
    """Counts every call of fetch()."""

    def begin(stream: Stream) -> None:
        fetch = Pull.fetch

        async def counted(self: Any, *args: Any, **kwargs: Any) -> list[Msg]:
            stream.fetches += 1
            return await fetch(self, *args, **kwargs)

        monkeypatch.setattr(Pull, "fetch", counted)

    return begin


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The exceptions that ended a consumer's task; FastStream starts another."""
    found: list[BaseException] = []
    call = TaskCallbackSupervisor.__call__

    def watch(self: TaskCallbackSupervisor, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and (error := task.exception()):
            found.append(error)
        call(self, task)

    monkeypatch.setattr(TaskCallbackSupervisor, "__call__", watch)
    return found


async def bursts(stream: Stream, until: Callable[[], bool], timeout: float, seconds: float) -> None:
    """Lone messages and small bursts, while something else keeps the event loop busy now and then."""
    broker, _ = stream.broker(timeout)
    async with broker:
        await broker.start()
        deadline = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline:
            await stream.publish(3)
            await asyncio.sleep(timeout / 3)
            time.sleep(timeout / 2)
        await asyncio.sleep(0.3)


async def test_a_fetch_at_its_deadline_ends_the_loop_of_nats_py(
    stream: Stream, plain: Install, deaths: list[BaseException]
) -> None:
    await bursts(stream, lambda: bool(deaths), 0.03, 20)
    assert deaths and type(deaths[0]) is TimeoutError  # not nats.errors.TimeoutError, which FastStream expects


async def test_a_fetch_at_its_deadline_is_a_timeout_like_any_other_when_repaired(
    stream: Stream, repaired: Install, deaths: list[BaseException]
) -> None:
    repaired()
    await bursts(stream, lambda: False, 0.03, 3)
    assert not deaths and max(stream.delays) < 1.5 and len({sent for sent, _ in stream.taken}) == len(stream.taken)


@pytest.mark.parametrize("mended", [False, True])
async def test_a_deleted_consumer_is_a_hot_loop_unless_repaired(
    stream: Stream, plain: Install, count: Callable[[Stream], None], mended: bool
) -> None:
    if mended:
        natsfix.install()
    count(stream)
    broker, _ = stream.broker(1)
    async with broker:
        await broker.start()
        await stream.js.delete_consumer(stream.name, stream.durable)
        await asyncio.sleep(0.2)
        stream.fetches = 0
        await asyncio.sleep(1)
        assert stream.fetches <= 2 if mended else stream.fetches > 50
        if mended:
            await stream.make_consumer()
            await stream.publish(1)
            await asyncio.sleep(1.5)
            assert len(stream.taken) == 1  # and it goes on when the consumer is there again


@pytest.mark.parametrize("mended", [False, True])
async def test_a_closed_connection_starves_the_event_loop_unless_repaired(
    bus: Nats, server_directory: Path, plain: Install, count: Callable[[Stream], None], mended: bool
) -> None:
    if mended:
        natsfix.install()
    server = Nats.alone(server_directory / f"nats-closing-{mended}" / "nats")
    server.start()
    beats: list[float] = []
    running: list[Any] = []

    async def service() -> None:
        async with await nats.connect(server.url, allow_reconnect=False, error_cb=_quiet) as client:
            stream = await Stream(client.jetstream(), server.url).make()
            broker, subscriber = stream.broker(0.5, allow_reconnect=False, error_cb=_quiet)
            await broker.start()
            running.append(subscriber)
            while subscriber.running:
                beats.append(time.monotonic())
                await asyncio.sleep(0.02)
            with contextlib.suppress(Exception):
                await broker.stop()

    thread = threading.Thread(target=lambda: asyncio.run(service()), daemon=True)
    thread.start()
    while not running:
        await asyncio.sleep(0.02)
    server.kill()
    await asyncio.sleep(1)
    before = len(beats)
    await asyncio.sleep(1)
    after = len(beats)
    running[0].running = False
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    assert after - before > 10 if mended else after == before


async def _quiet(error: Exception) -> None:
    pass


@pytest.mark.parametrize("mended", [False, True])
async def test_a_lone_message_is_held_back_unless_repaired(stream: Stream, plain: Install, mended: bool) -> None:
    if mended:
        natsfix.install()
    broker, _ = stream.broker(1.5)
    async with broker:
        await broker.start()
        await asyncio.sleep(0.2)
        await stream.publish(1)
        while not stream.taken:
            await asyncio.sleep(0.01)
        await stream.publish(250)  # and what is there comes together
        while len(stream.taken) < 251:
            await asyncio.sleep(0.01)
    assert stream.delays[0] < 0.5 if mended else stream.delays[0] > 0.8


HOSTILE = {
    "no text": (b"\xff\xfe", b""),
    "form feed": (b"a\x0cb", b""),
    "cut header": (b"x", b"NATS/1.0"),
    "status": (b"x", b"NATS/1.0\r\nStatus: 404\r\n\r\n"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("mended", [False, True])
async def test_a_hostile_publisher_makes_the_subscriber_deaf_unless_repaired(
    bus: Nats, stream: Stream, plain: Install, hostile: str, mended: bool
) -> None:
    if mended:
        natsfix.install()
    subject, header = HOSTILE[hostile]
    await publish_raw(bus.url, f"{stream.name}.".encode() + subject, header, b"hostile")
    await stream.js.publish(f"{stream.name}.x", b"good")
    client = await nats.connect(bus.url, error_cb=_quiet, allow_reconnect=False)
    subscription = await client.jetstream().pull_subscribe_bind(stream.durable, stream.name)
    got: list[bytes] = []
    with contextlib.suppress(nats.errors.Error, nats.js.errors.Error, TimeoutError):
        got += [m.data for m in await subscription.fetch(natsfix.BATCH, timeout=0.7)]
    assert (b"hostile" in got) == mended
    closing: Awaitable[None] = client.close()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(closing, 2)
