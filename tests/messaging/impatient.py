"""The toy and a service that counts what it announces, with short waits, and with faults on request.

Faults are put in place here only, in the process of a test that asks for one: the services know nothing of them.
"""

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path

from nats.aio.msg import Msg
from sqlalchemy import MetaData

from shared.aggregates import Aggregate, aggregate_table
from shared.contracts.base import Event, Shape
from shared.contracts.referral import ReferralWithdrawn
from shared.contracts.review import FinancingRefused
from shared.decisions import Accepted, Decision
from shared.messaging import intake, natsfix, provisioning, relay, service
from shared.messaging.envelope import new_id
from shared.messaging.incoming import Incoming
from shared.messaging.intake import Intake
from shared.messaging.service import Service
from shared.messaging.unit_of_work import UnitOfWork
from shared.messaging.writer import Work
from tests.messaging import toy

provisioning.ACK_WAIT_SECONDS = 1.5
natsfix.WAIT_SECONDS = 1.0
service.WATCH_SECONDS = 0.5
relay.CHECK_SECONDS = 0.5
relay.PUBLISH_SECONDS = 1.0
intake.BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.4)


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


# -- faults --------------------------------------------------------------------------------------------------------

_take, _work = Intake.take, Intake._work


def fault(intake: Intake) -> str:
    """The fault that the counter shall have now: the content of a file."""
    path = os.environ.get("MESSAGING_FAULT", "")
    return Path(path).read_text() if path and intake.consumer == "events" else ""


async def take(self: Intake, raws: Sequence[Msg]) -> None:
    """Take a batch; ``nak`` gives some of it back and mixes up the rest, ``ack before commit`` acks too early."""
    todo = list(raws)
    match fault(self):
        case "nak":
            back = [raw for raw in raws if random.random() < 0.3]
            for raw in back:
                await raw.nak(delay=random.uniform(0, 0.3))
            todo = [raw for raw in raws if raw not in back]
            random.shuffle(todo)
        case "ack before commit":
            for raw in raws:
                await raw.ack()
            await asyncio.sleep(0.3)
    if todo:
        await _take(self, todo)


def work(self: Intake, one: Incoming) -> Work:
    """What the writer is given; ``no inbox`` makes every delivery a message of its own."""
    made = _work(self, one)
    if fault(self) == "no inbox":
        made.key = (*made.key[:2], new_id())
    return made


Intake.take = take  # type: ignore[method-assign]
Intake._work = work  # type: ignore[method-assign]

SERVICES = {
    "review": toy.SERVICE,
    "counter": Service(name="referral", aggregates=(COUNT,), events={FinancingRefused: count}),
}
