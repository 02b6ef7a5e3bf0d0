"""The toy and a service that counts what it announces, with short waits, and with faults on request.

A fault is put in place here only, in the process that an environment variable names it for: the services know nothing of it.
"""

import asyncio
import os
import random
from collections.abc import Sequence
from typing import Any

from nats.aio.msg import Msg
from sqlalchemy import MetaData

from shared.aggregates import Aggregate, aggregate_table
from shared.contracts.base import Event, Shape
from shared.contracts.referral import ReferralWithdrawn
from shared.contracts.review import FinancingRefused
from shared.decisions import Accepted, Decision
from shared.messaging import intake, provisioning
from shared.messaging.intake import Incoming, Intake
from shared.messaging.service import Service
from shared.messaging.unit_of_work import UnitOfWork
from tests.messaging import toy

provisioning.ACK_WAIT_SECONDS = 1.5
intake.BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.4)  # type: ignore[assignment]


class Count(Shape):
    """The reasons that came, in the order they came in."""

    reasons: tuple[str, ...] = ()


def add(before: Count | None, event: Event) -> Count:
    """One more."""
    assert isinstance(event, ReferralWithdrawn)
    return Count(reasons=(*(before.reasons if before else ()), event.reason))


metadata = MetaData()
COUNT = Aggregate("count", aggregate_table("counts", metadata), Count, add, lambda event: (event.about,))


async def count(uow: UnitOfWork, event: FinancingRefused) -> Decision:
    """Counts what the toy announced."""
    return Accepted((ReferralWithdrawn(uscc=event.uscc, reason=event.reason),))


_take = Intake.take


async def _nak_some(self: Intake, raws: Sequence[Msg]) -> None:
    kept = []
    for raw in raws:
        if random.random() < 0.3:
            await raw.nak(delay=random.uniform(0, 0.3))
        else:
            kept.append(raw)
    if kept:
        await _take(self, random.sample(kept, len(kept)))


async def _slowly(self: Intake, raws: Sequence[Msg]) -> None:
    await _take(self, raws[:20])
    await asyncio.sleep(0.05)  # a kill finds some taken and not acked
    for i in range(20, len(raws), 20):
        await _take(self, raws[i : i + 20])


async def _ack_first(self: Intake, raws: Sequence[Msg]) -> None:
    for raw in raws:
        await raw.ack()
    await asyncio.sleep(0.2)
    await _take(self, raws)


async def _forget(self: Intake, connection: Any, batch: Sequence[Incoming]) -> list[Incoming]:
    return list(batch)


match os.environ.get("MESSAGING_FAULT", ""):
    case "nak":
        Intake.take = _nak_some  # type: ignore[method-assign]
    case "ack before commit":
        Intake.take = _ack_first  # type: ignore[method-assign]
    case "no inbox":
        Intake._fresh = _forget  # type: ignore[method-assign]

review = toy.app
counter = Service(name="referral", metadata=metadata, aggregates=(COUNT,), events={FinancingRefused: count}).asgi()
