"""A database that is older than the bus: what it has not taken is read again; decisions that it has lost stop it."""

import asyncio
import json
import logging

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.messaging.provisioning import Consumer, ensure_consumer
from shared.messaging.tables import inbox, outbox, parked, taken_streams
from shared.messaging.unit_of_work import EVENTS

log = logging.getLogger("riskpool.healing")
LOOKED_AT_ONCE = 100


async def lost_decisions(engine: AsyncEngine, js: JetStreamContext, service: str) -> str:
    """What is missing when the bus has an event of this service that its outbox has not; empty when nothing is.

    An event is committed before it is published, so this happens only on a database that was put back.
    """
    try:
        newest = await js.get_last_msg(EVENTS, f"events.*.{service}.>")
    except NotFoundError:
        return ""
    event_id = (newest.headers or {}).get("Nats-Msg-Id")
    if event_id is None:
        return ""
    async with engine.connect() as connection:
        if (await connection.execute(select(outbox.c.id).where(outbox.c.event_id == event_id))).first():
            return ""
        last = select(outbox.c.event_id, outbox.c.recorded_at).where(outbox.c.stream == EVENTS)
        kept = (await connection.execute(last.order_by(outbox.c.id.desc()).limit(1))).one_or_none()
    known = f"ends with event {kept.event_id} of {kept.recorded_at.isoformat()}" if kept else "holds no event"
    where = f"{newest.subject}, sequence {newest.seq}, {_time_of(newest)}"
    return is_older(service, f"its outbox {known}", f"the bus has event {event_id} ({where})")


def is_older(service: str, ends: str, has: str) -> str:
    """What an operator is told: where the database ends, and who has which event after that."""
    return (
        f"数据库比已公布的决定旧，{service} 停止服务，等待运维人员处理（见 docs/backup.md）。 "
        f"The database of {service} is older than what {service} has announced: {ends}, but {has}. "
        "Nothing was changed. Restore a newer backup of this database, or all databases from one backup and a new bus: "
        "docs/backup.md"
    )


async def note_taken(engine: AsyncEngine, js: JetStreamContext, consumer: Consumer) -> int:
    """Keep how far the bus says that this database has taken a stream; an ack is sent after the commit.

    How many messages it has not yet taken.
    """
    info = await js.consumer_info(consumer.stream, consumer.durable)
    taken = info.ack_floor.stream_seq if info.ack_floor else 0
    row = {"stream": consumer.stream, "consumer_made": info.created.isoformat(), "stream_seq": taken}
    write = insert(taken_streams).values(row)
    async with engine.begin() as connection:
        await connection.execute(write.on_conflict_do_update(index_elements=["stream"], set_=row))
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


async def read_again_what_is_missing(
    engine: AsyncEngine, js: JetStreamContext, consumer: Consumer, inbox_of: str
) -> bool:
    """Begin a durable consumer anew when it is past messages that this database has not taken; whether it was.

    ``inbox_of`` is the consumer's name in the inbox, which drops everything that was taken.
    """
    info = await js.consumer_info(consumer.stream, consumer.durable)
    taken = info.ack_floor.stream_seq if info.ack_floor else 0
    async with engine.connect() as connection:
        query = select(taken_streams).where(taken_streams.c.stream == consumer.stream)
        kept = (await connection.execute(query)).one_or_none()
    known = kept.stream_seq if kept and kept.consumer_made == info.created.isoformat() else None
    if taken == 0 or (known is not None and known >= taken):
        return False
    told = {"stream": consumer.stream, "taken_by_the_bus": taken, "known": known}
    first = 1 if known is None else known + 1
    begins = (await js.stream_info(consumer.stream)).state.first_seq
    if begins > first:  # whether it was taken cannot be told: of what is gone not even the ids are known
        told = {**told, "begins": begins, "gone": min(begins - 1, taken) - first + 1}
        log.error("the stream no longer has all that may be lacking: its senders must send it again", extra=told)
    if known is not None and not await _lacks(engine, js, consumer, inbox_of, max(first, begins), taken):
        return False
    log.warning("the database is older than the bus: reading the stream again from its beginning", extra=told)
    await js.delete_consumer(consumer.stream, consumer.durable)
    await ensure_consumer(js, consumer)
    return True


async def _lacks(
    engine: AsyncEngine, js: JetStreamContext, consumer: Consumer, inbox_of: str, first: int, last: int
) -> bool:
    """Whether a message for this consumer in these places was neither taken nor parked."""
    for start in range(first, last + 1, LOOKED_AT_ONCE):
        places = range(start, min(start + LOOKED_AT_ONCE, last + 1))
        found = await asyncio.gather(*(_message_id(js, consumer, place) for place in places))
        wanted = {identifier for identifier in found if identifier}
        async with engine.connect() as connection:
            for table in (inbox, parked):
                query = select(table.c.message_id)
                query = query.where(table.c.consumer == inbox_of, table.c.message_id.in_(sorted(wanted)))
                wanted -= set((await connection.execute(query)).scalars())
        if wanted:
            return True
    return False


async def _message_id(js: JetStreamContext, consumer: Consumer, place: int) -> str | None:
    """The id of the message there, when this consumer wants it and it can be read; else it was parked, if anything."""
    try:
        message = await js.get_msg(consumer.stream, place)
    except NotFoundError:
        return None
    if not any(_matches(subject, message.subject or "") for subject in consumer.subjects):
        return None
    try:
        identifier = json.loads(message.data or b"")["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return identifier if isinstance(identifier, str) else None


def _matches(wanted: str, subject: str) -> bool:
    """Whether a subject is one of those that ``*`` and ``>`` stand for."""
    words, given = wanted.split("."), subject.split(".")
    if words[-1] == ">":
        if len(given) < len(words):
            return False
        words, given = words[:-1], given[: len(words) - 1]
    return len(words) == len(given) and all(word in ("*", part) for word, part in zip(words, given, strict=True))


def _time_of(message: RawStreamMsg) -> str:
    """When the event was recorded, as its envelope says."""
    try:
        return str(json.loads(message.data or b"")["time"])
    except (ValueError, KeyError, TypeError):
        return "of an unknown time"
