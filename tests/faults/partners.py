"""The one place where partners connect: what they send may come twice, late, out of order, and again much later."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from riskpool.partners.client import RECEIPT_SECONDS, PartnerClient

MOST_DELAY_SECONDS = 0.3
Message = tuple[str, str, bytes]  # scheme, name, event


class Mischief:
    """What partners do to their own messages; ``sent`` has their events by id, ``counts`` says what was done."""

    def __init__(self, seed: int, url: Callable[[], str] | None = None, *, calm: bool = False) -> None:
        self.random, self.url, self.calm = Random(f"{seed}:partners"), url, calm
        self.sent: dict[str, Message] = {}
        self.counts: Counter[str] = Counter()

    async def connect(self, url: str, credentials: Callable[[], str]) -> "Partner":
        """An institution's connection, by its credentials."""
        return Partner(await PartnerClient.connect(self.url() if self.url else url, credentials), self)


class Partner:
    """One institution, used by several errands at once; they take turns in fetching receipts."""

    def __init__(self, client: PartnerClient, mischief: Mischief) -> None:
        self._client, self._mischief = client, mischief
        self._sent: list[Message] = []
        self._turn = asyncio.Lock()

    async def publish(self, scheme: str, name: str, event: bytes) -> None:
        """Once when calm; else late, so that others overtake it, once, twice or with something sent before."""
        did = self._mischief
        did.sent[str(json.loads(event)["id"])] = scheme, name, event
        did.counts["sent"] += 1
        if not did.calm:
            if did.random.random() < 0.3:
                did.counts["delayed"] += 1
                await asyncio.sleep(did.random.uniform(0, MOST_DELAY_SECONDS))
            if did.random.random() < 0.3:
                did.counts["twice"] += 1
                await self._client.publish(scheme, name, event)
            if self._sent and did.random.random() < 0.2:
                did.counts["again much later"] += 1
                await self._client.publish(*did.random.choice(self._sent))
        await self._client.publish(scheme, name, event)
        self._sent.append((scheme, name, event))

    async def receipt(self, event_id: str, seconds: float = RECEIPT_SECONDS) -> dict[str, Any] | None:
        """The receipt of an event, or None when it does not come in time."""
        async with self._turn:
            return await self._client.receipt(event_id, seconds)

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()
