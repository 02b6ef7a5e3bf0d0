"""This process's own connection to NATS: publishing, requests and provisioning (subscribing is binding.py's)."""

import asyncio
import contextlib
import json
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from shared.messaging.accounts import inbox_prefix
from shared.messaging.envelope import HEADERS, type_of
from shared.messaging.nkeys import signing_in
from shared.observability import traces

log = logging.getLogger("riskpool.bus")
COMMAND_SECONDS = 15.0
AGAIN_SECONDS = 3.0


class ServiceUnavailable(Exception):
    """Nobody answers for that service now: nothing was done, try again."""


class AnswerTimeout(Exception):
    """No answer in time: it is not known whether it was done; ask again with the same key."""


@dataclass(frozen=True)
class CommandAnswer:
    """A service's answer: ``status`` as in HTTP, ``body`` accepted or refused."""

    status: int
    body: dict[str, Any]


def nats_servers() -> list[str]:
    """The addresses in ``RISKPOOL_NATS_URL``, one for each node of the bus."""
    return servers_in(os.environ.get("RISKPOOL_NATS_URL", "nats://127.0.0.1:4222"))


def servers_in(url: str) -> list[str]:
    """The addresses of a list with commas; a client takes any of them, and another when it loses that one."""
    return [one.strip() for one in url.split(",") if one.strip()]


def credentials_file() -> Path | None:
    """The file of ``RISKPOOL_NATS_CREDENTIALS``; None where the bus lets in anybody."""
    file = os.environ.get("RISKPOOL_NATS_CREDENTIALS")
    return Path(file) if file else None


def tls() -> ssl.SSLContext | None:
    """What a connection is encrypted by: the authority in ``RISKPOOL_NATS_CA``, None where there is none.

    ``RISKPOOL_NATS_CERT`` and ``RISKPOOL_NATS_KEY`` are this side's own certificate, where the server asks for one.
    """
    authority, own = os.environ.get("RISKPOOL_NATS_CA"), os.environ.get("RISKPOOL_NATS_CERT")
    if not authority:
        return None
    context = ssl.create_default_context(cafile=authority)
    if own:
        context.load_cert_chain(own, os.environ.get("RISKPOOL_NATS_KEY") or None)
    return context


async def connect(
    name: str,
    service: str,
    closed: Callable[[], Awaitable[None]] | None = None,
    credentials: Path | None = None,
) -> Client:
    """A connection that never gives up; waits for a server that is not there yet.

    It takes its answers in the service's inbox, and signs in with ``credentials``, or those that the service has.
    """

    async def quiet(error: Exception) -> None:
        log.debug("nats", extra={"error": repr(error)[:200]})

    signing: dict[str, Any] = {}
    context = tls()
    if file := credentials or credentials_file():
        signing = dict(zip(("user_jwt_cb", "signature_cb"), signing_in(file.read_text), strict=True))
    while True:
        try:
            return await nats.connect(
                nats_servers(),
                name=name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,
                error_cb=quiet,
                closed_cb=closed,
                connect_timeout=2,
                ping_interval=10,
                max_outstanding_pings=2,
                inbox_prefix=inbox_prefix(service).encode(),
                tls=context,
                **signing,
            )
        except (OSError, nats.errors.Error) as error:
            log.warning("waiting for NATS", extra={"error": repr(error)[:200]})
            await asyncio.sleep(0.5)


class Bus:
    """What a service asks of the bus."""

    def __init__(self, client: Client):
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=5)

    async def request(self, subject: str, body: bytes, timeout: float) -> dict[str, Any]:
        """A request to a service; ServiceUnavailable or AnswerTimeout when none answers."""
        try:
            reply = await self.client.request(subject, body, timeout=timeout, headers=HEADERS)
        except nats.errors.NoRespondersError as error:
            raise ServiceUnavailable(subject) from error
        except (TimeoutError, nats.errors.TimeoutError) as error:
            raise AnswerTimeout(subject) from error
        except nats.errors.Error as error:
            raise ServiceUnavailable(subject) from error
        answer: dict[str, Any] = json.loads(reply.data)
        return answer

    async def ask_all(self, subject: str, seconds: float) -> list[Any]:
        """What everybody who listens answers within a time; ServiceUnavailable when the bus is away."""
        inbox, answers = self.client.new_inbox(), []
        try:
            taken = await self.client.subscribe(inbox)
            await self.client.publish(subject, b"{}", reply=inbox, headers=HEADERS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while (answer := await taken.next_msg(timeout=None)).data:  # an empty one: nobody listens
                        answers.append(json.loads(answer.data))
            await taken.unsubscribe()
        except nats.errors.Error as error:
            raise ServiceUnavailable(subject) from error
        return answers

    async def command(
        self,
        scheme: str,
        destination: str,
        name: str,
        *,
        key: str,
        body: bytes,
        organisation: str,
        kind: str,
        time: datetime,
    ) -> CommandAnswer:
        """Ask a service to carry out a command for an organisation; ``body`` is the command's JSON as it came.

        Who does not answer soon may have died with it: it is asked once more, and by its key it is done once.
        """
        envelope = {
            "specversion": "1.0",
            "id": key,
            "source": f"/agencies/{organisation}",
            "type": type_of(name),
            "time": time.isoformat(),
            "scheme": scheme,
            "data": json.loads(body),
        }
        subject = f"commands.{scheme}.{destination}.{name}"
        about = {"riskpool__scheme": scheme, "messaging__message__id": key}
        with traces.spanning(f"ask {name}", "client", None, **about) as span:
            if span.traceparent:
                envelope["traceparent"] = span.traceparent
            answer = await self._asked(subject, json.dumps(envelope).encode())
            span.told(riskpool__status=answer["status"], messaging__message__conversation_id=answer.get("case", ""))
        return CommandAnswer(answer["status"], answer["body"])

    async def _asked(self, subject: str, body: bytes) -> dict[str, Any]:
        """Ask, and after a while ask again, for the replica that had it in hand may have died."""
        try:
            return await self.request(subject, body, AGAIN_SECONDS)
        except AnswerTimeout:
            try:
                return await self.request(subject, body, COMMAND_SECONDS - AGAIN_SECONDS)
            except ServiceUnavailable as error:
                raise AnswerTimeout(subject) from error

    async def submit(self, institution: str, scheme: str, name: str, body: bytes, message_id: str) -> None:
        """Publish a partner event for an institution that has no bus client of its own; stored when this returns."""
        subject = f"partners.{institution}.{scheme}.{name}"
        about = {"riskpool__scheme": scheme, "messaging__message__id": message_id}
        with traces.spanning(f"submit {name}", "producer", None, **about) as span:
            headers = {**HEADERS, traces.HEADER: span.traceparent} if span.traceparent else HEADERS
            try:
                await self.js.publish(subject, body, headers=headers, timeout=5)
            except (nats.errors.Error, TimeoutError) as error:
                raise ServiceUnavailable(subject) from error
