"""What the gateway has folded of a service's announcements: a database that ends before them was put back.

The bus says so, too (healing.py), but a new bus knows nothing. The gateway answers to a subject of its own, so that it
needs no right to publish to a service's inbox, where the bus's own answers come.
"""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.messaging.binding import Reply
from shared.messaging.envelope import HEADERS
from shared.messaging.healing import is_older
from shared.messaging.tables import outbox, relayed_streams, schemes
from shared.messaging.unit_of_work import EVENTS

log = logging.getLogger("riskpool.healing")
ASK_SECONDS = 2.0
HEARD_SECONDS = 10.0  # how long a gateway is waited for where the bus is new: all may have been started together
AGAIN_SECONDS = 30.0
Beyond = Callable[[AsyncConnection, str, Mapping[str, int]], Awaitable[dict[str, list[str]]]]


def asking(service: str) -> str:
    """Where a service asks, with the position of each of its chains."""
    return f"turns.{service}"


def told(service: str) -> str:
    """Where it is answered."""
    return f"turns.{service}.told"


def answering(engine: AsyncEngine, beyond: Beyond) -> Reply:
    """The gateway's answer: of each scheme of which it folded events beyond those positions, the newest ones' ids."""

    async def answer(body: bytes, subject: str) -> bytes:
        async with engine.connect() as connection:
            return json.dumps(await beyond(connection, subject.split(".")[1], json.loads(body))).encode()

    return answer


async def lost_turns(engine: AsyncEngine, client: Client, service: str) -> str | None:
    """What is missing when the gateway folded an event that the outbox has not; None when no gateway answers."""
    async with engine.connect() as connection:
        found = await connection.execute(select(schemes.c.scheme, schemes.c.position))
        positions = {row.scheme: row.position for row in found}
    newest = await _asked(client, service, json.dumps(positions).encode())
    if newest is None:
        return None
    for scheme, ids in newest.items():
        async with engine.connect() as connection:
            query = select(outbox.c.event_id).where(outbox.c.event_id.in_(ids))
            own = set((await connection.execute(query)).scalars())
        if missing := [one for one in ids if one not in own]:
            ends = f"its chain of {scheme} ends at {positions.get(scheme, 0)}"
            return is_older(service, ends, f"the gateway has folded event {missing[0]}")
    return ""


async def lost_turns_on_a_new_bus(engine: AsyncEngine, js: JetStreamContext, client: Client, service: str) -> str:
    """The same at a start, empty when nothing is; where the bus is new a gateway is waited for, a while."""
    until = monotonic() + (HEARD_SECONDS if await _is_new(engine, js) else 0)
    while (lost := await lost_turns(engine, client, service)) is None:
        if monotonic() >= until:
            log.warning("no gateway says what it has folded: going on")
            return ""
        await asyncio.sleep(0.3)
    return lost


async def keep_asking(engine: AsyncEngine, client: Client, service: str) -> None:
    """Ask a gateway now and then, for it may come later than the service; end the process where decisions are lost."""
    while True:
        try:
            if lost := await lost_turns(engine, client, service):
                log.critical(lost)
                os._exit(1)  # started again, it takes nothing and says why
        except Exception as error:
            log.warning("asked in vain", extra={"error": repr(error)[:300]})
        await asyncio.sleep(AGAIN_SECONDS)


async def _is_new(engine: AsyncEngine, js: JetStreamContext) -> bool:
    """Whether a database that holds decisions has published nothing to this bus yet."""
    created = str((await js.stream_info(EVENTS)).created)
    async with engine.connect() as connection:
        known = select(relayed_streams.c.created).where(relayed_streams.c.stream == EVENTS)
        decided = select(schemes.c.scheme).where(schemes.c.position > 0).limit(1)
        if (await connection.execute(decided)).first() is None:
            return False
        return (await connection.execute(known)).scalar() != created


async def _asked(client: Client, service: str, body: bytes) -> dict[str, Any] | None:
    """The answer; None when there is none in time, or nobody listens, which the server tells with an empty one."""
    listening = await client.subscribe(told(service))
    try:
        await client.publish(asking(service), body, reply=told(service), headers=HEADERS)
        answer = (await listening.next_msg(timeout=ASK_SECONDS)).data
    except (TimeoutError, nats.errors.TimeoutError):
        return None
    finally:
        await listening.unsubscribe()
    return dict(json.loads(answer)) if answer else None
