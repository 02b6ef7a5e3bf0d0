"""This process's own connection to NATS: publishing, requests and provisioning (subscribing is binding.py's)."""

import asyncio
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


class ServiceUnavailable(Exception):
    """Nobody answers for that service now: nothing was done, try again."""


class AnswerTimeout(Exception):
    """No answer in time: it is not known whether it was done; ask again with the same key."""


@dataclass(frozen=True)
class CommandAnswer:
    """A service's answer: ``status`` as in HTTP, ``body`` accepted or refused."""

    status: int
    body: dict[str, Any]


def nats_url() -> str:
    """``RISKPOOL_NATS_URL``."""
    return os.environ.get("RISKPOOL_NATS_URL", "nats://127.0.0.1:4222")


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
                nats_url(),
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
        """Ask a service to carry out a command for an organisation; ``body`` is the command's JSON as it came."""
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
            answer = await self.request(subject, json.dumps(envelope).encode(), COMMAND_SECONDS)
            span.told(riskpool__status=answer["status"], messaging__message__conversation_id=answer.get("case", ""))
        return CommandAnswer(answer["status"], answer["body"])

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
