"""The one place that knows FastStream: durable pull consumers taken in batches, and answers to requests."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.annotations import NatsMessage
from faststream.nats.security import NatsJWT, NatsSecurity
from nats.aio.msg import Msg

from shared.messaging import natsfix
from shared.messaging.accounts import inbox_prefix, is_asked
from shared.messaging.bus import credentials_file, nats_servers, tls
from shared.messaging.nkeys import signing_in
from shared.messaging.provisioning import Consumer

log = logging.getLogger("riskpool.binding")
Take = Callable[[Sequence[Msg]], Awaitable[None]]
Reply = Callable[[bytes, str], Awaitable[bytes]]
COMMANDS_AT_ONCE = 4


class Subscriber(Protocol):
    """What takes from a consumer: by itself when the binding starts after it was made, else when it is started."""

    async def start(self) -> None:
        """Begin to take."""

    async def stop(self) -> None:
        """Finish the batch at work and take no more."""


async def _as_it_came(message: Any) -> Any:
    """Instead of FastStream's decoder, which raises on a body that is not what its content-type header says."""
    return message.body


class Binding:
    """FastStream's broker with the settings that messaging.md found to be safe."""

    def __init__(self, service: str, closed: Callable[[], Awaitable[None]]):
        natsfix.install()
        file, context = credentials_file(), tls()
        encrypted: dict[str, Any] = {"ssl_context": context, "use_ssl": True} if context else {}
        self._inbox = f"{inbox_prefix(service)}.".encode()
        self.broker = NatsBroker(
            nats_servers(),
            name=f"riskpool-{service}-consumers",
            logger=None,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            graceful_timeout=15,
            connect_timeout=2,
            ping_interval=10,
            max_outstanding_pings=2,
            closed_cb=closed,
            inbox_prefix=inbox_prefix(service),
            security=NatsJWT(*signing_in(file.read_text), **encrypted) if file else NatsSecurity(**encrypted),
        )

    def consume(self, consumer: Consumer, take: Take) -> Subscriber:
        """Give a provisioned durable's messages to ``take``, batch by batch; it acks by itself."""
        subscriber = self.broker.subscriber(
            consumer.subjects[0],
            stream=JStream(consumer.stream, declare=False),
            durable=consumer.durable,
            pull_sub=PullSub(batch_size=natsfix.BATCH, timeout=natsfix.WAIT_SECONDS, batch=True),
            inbox_prefix=self._inbox,  # the connection's own holds for requests only
            ack_policy=AckPolicy.MANUAL,
            decoder=_as_it_came,
            no_reply=True,  # else a publisher's reply_to header makes us publish to any subject
        )

        @subscriber
        async def on_batch(message: NatsMessage) -> None:
            raw: Any = message.raw_message
            await take(raw)

        taking: Subscriber = subscriber
        return taking

    def serve(self, subject: str, queue: str, reply: Reply) -> None:
        """Answer requests on a subject, one replica of the queue each."""

        @self.broker.subscriber(subject, queue=queue, max_workers=COMMANDS_AT_ONCE, decoder=_as_it_came)
        async def on_request(message: NatsMessage) -> bytes:
            raw: Any = message.raw_message
            if not is_asked(raw.reply):
                log.error("not asked by anybody who may", extra={"subject": raw.subject, "reply": raw.reply})
                raise PermissionError(raw.reply)
            return await reply(raw.data, raw.subject)

    async def start(self) -> None:
        """Connect and start every subscriber made so far."""
        await self.broker.start()

    async def stop(self) -> None:
        """Finish the batches at work and disconnect."""
        await self.broker.stop()
