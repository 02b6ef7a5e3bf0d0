"""A partner on the bus: it publishes events with its own credentials and fetches its receipts (docs/partners.md)."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, Self

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout

from shared.messaging.bus import servers_in, tls
from shared.messaging.envelope import type_of
from shared.messaging.nkeys import signing_in

RECEIPT_SECONDS = 3.0
HEADERS = {"content-type": "application/cloudevents+json"}


def event_bytes(scheme: str, institution: str, name: str, fields: dict[str, Any], at: str, event_id: str) -> bytes:
    """A partner event as it is published; ``at`` is RFC 3339 with an offset, ``fields`` are as JSON has them."""
    about = str(fields.get("uscc") or fields.get("loan_no") or fields.get("disbursement_id") or "")
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/partners/{institution}",
        "type": type_of(name),
        **({"subject": about} if about else {}),
        "time": at,
        "datacontenttype": "application/json",
        "scheme": scheme,
        "data": fields,
    }
    return json.dumps(event, ensure_ascii=False).encode()


class BusClient(Protocol):
    """What a partner's program does, in whatever language."""

    async def publish(self, scheme: str, name: str, event: bytes) -> None:
        """Have an event stored; NatsError or TimeoutError when it is not known to be."""

    async def receipt(self, event_id: str, seconds: float = RECEIPT_SECONDS) -> dict[str, Any] | None:
        """The receipt of an event, or None when it does not come in time."""

    async def close(self) -> None:
        """Disconnect."""


class PartnerClient:
    """One institution's connection in Python."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._receipts: dict[str, dict[str, Any]] = {}  # that came before they were asked for

    @classmethod
    async def connect(cls, url: str, credentials: Callable[[], str]) -> Self:
        """Connect with the text of a ``.creds`` file to one of the addresses, and again when the connection is lost."""

        async def ignored(_error: Exception) -> None:
            """It shows as a publish without an answer."""

        claim, sign = signing_in(credentials)
        return cls(
            await nats.connect(
                servers_in(url),
                tls=tls(),
                user_jwt_cb=claim,
                signature_cb=sign,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,
                error_cb=ignored,
            )
        )

    async def publish(self, scheme: str, name: str, event: bytes) -> None:
        """Have an event stored; tried for a while, for the ingress may appear a moment after the agreement."""
        deadline = time.monotonic() + RECEIPT_SECONDS
        while True:
            try:
                await self._client.jetstream().publish(f"submit.{scheme}.{name}", event, headers=HEADERS, timeout=2)
                return
            except (NatsError, NatsTimeout):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)

    async def receipt(self, event_id: str, seconds: float = RECEIPT_SECONDS) -> dict[str, Any] | None:
        """The receipt of an event, or None when it does not come in time."""
        while event_id not in self._receipts:
            receipt = await self.next_receipt(seconds)
            if receipt is None:
                return None
            self._receipts[receipt["event_id"]] = receipt
        return self._receipts[event_id]

    async def next_receipt(self, seconds: float) -> dict[str, Any] | None:
        """The next receipt that was not fetched yet, acknowledged; None when there is none in time."""
        inbox = self._client.new_inbox()
        taken = await self._client.subscribe(inbox)
        try:
            wanted = json.dumps({"batch": 1, "expires": int(seconds * 1e9)}).encode()
            await self._client.publish("rcpt.next", wanted, reply=inbox)
            message = await taken.next_msg(timeout=seconds + 1)
        finally:
            await taken.unsubscribe()
        if not message.data:  # the server's word that none came
            return None
        await self._client.publish(message.reply, b"+ACK")
        receipt: dict[str, Any] = json.loads(message.data)["data"]
        return receipt

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()


Connect = Callable[[str, Callable[[], str]], Awaitable[BusClient]]
