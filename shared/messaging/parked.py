"""What was parked: listed, looked at, handled again or discarded by whoever runs the machines; nothing is deleted.

An answer fits into one message of the bus whatever was parked: a list leaves bytes and trace out and comes in pages,
long texts in it are cut; the bytes of one message come in parts.
"""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from sqlalchemy import ColumnElement, Row, Text, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.clock import Clock
from shared.messaging.intake import Intake
from shared.messaging.tables import parked, parked_id

PAGE = 100
DISCARDED_AT_ONCE = 1000
PART_BYTES = 256 * 1024
HEADERS_SHOWN = 50
LISTED_CHARS: Mapping[str, int] = {"subject": 200, "error": 500}
IntakeOf = Callable[[str], Intake | None]
Asked = Mapping[str, Any]
KEY = (parked.c.consumer, parked.c.stream, parked.c.stream_seq, parked.c.message_id)
# A row without its bytes, which may hold an enterprise's data.
VIEW = (
    parked_id.label("id"), func.octet_length(parked.c.body).label("bytes"), *KEY, parked.c.subject, parked.c.error,
    parked.c.parked_at, parked.c.settled_at, parked.c.settlement, parked.c.settled_by, parked.c.reason,
)  # fmt: skip


class Parked:
    """One service's parked messages; ``intake_of`` gives a consumer's intake, None where nothing is to be repeated."""

    def __init__(self, engine: AsyncEngine, client: Client, intake_of: IntakeOf) -> None:
        self._engine, self._client, self._intake_of = engine, client, intake_of

    async def answer(self, body: bytes, subject: str) -> bytes:
        """Answer ``{"do": "list"|"look"|"show"|"replay"|"discard"|"discard_many", …}``.

        ``id`` names the one; ``consumer`` narrows, ``without`` leaves out what is of these schemes; ``refused`` in the
        answer says why it was not done.
        """
        asked: Asked = json.loads(body)
        match asked["do"]:
            case "list":
                told = await self._list(asked)
            case "look":
                told = _told(await self._one(asked, *VIEW))
            case "show":
                told = await self._show(asked)
            case "replay":
                told = await self._replay(asked)
            case "discard":
                told = await self._settle(asked, "discarded", asked["reason"])
            case "discard_many":
                told = await self._discard_many(asked)
            case other:
                raise ValueError(f"{other!r} is nothing that can be asked about parked messages")
        return json.dumps(told, default=str, ensure_ascii=False).encode()

    async def _list(self, asked: Asked) -> dict[str, Any]:
        """A page, newest first: what waits, or ``all``; ``before`` is the last one seen, as its moment and id."""
        limit = min(int(asked.get("limit", PAGE)), PAGE)
        query = select(*VIEW).where(*_among(asked)).order_by(parked.c.parked_at.desc(), parked_id.desc())
        if not asked.get("all"):
            query = query.where(parked.c.settled_at.is_(None))
        if asked.get("before"):
            moment, identifier = datetime.fromisoformat(asked["before"][0]), asked["before"][1]
            last = tuple_(literal(moment, parked.c.parked_at.type), literal(identifier, Text))
            query = query.where(parked.c.parked_at <= moment)  # what an index is read from
            query = query.where(tuple_(parked.c.parked_at, parked_id) < last)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.limit(limit + 1))).all()
        return {"items": [_listed(row) for row in rows[:limit]], "more": len(rows) > limit}

    async def _one(self, asked: Asked, *columns: ColumnElement[Any]) -> Row[Any] | None:
        query = select(*columns).where(parked_id == asked["id"], *_among(asked))
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).one_or_none()

    async def _show(self, asked: Asked) -> dict[str, Any]:
        """All that is kept of one; of its bytes as many as one answer carries, from ``offset`` on."""
        offset = int(asked.get("offset", 0))
        part = func.substr(parked.c.body, offset + 1, PART_BYTES).label("part")
        row = await self._one(asked, *VIEW, parked.c.headers, parked.c.trace, part)
        if row is None:
            return {"refused": "unknown"}
        headers = dict(islice(row.headers.items(), HEADERS_SHOWN))
        more = {"headers": headers, "headers_left_out": len(row.headers) - len(headers), "trace": row.trace}
        return {**_told(row), **more, "offset": offset, "body_base64": base64.b64encode(row.part).decode()}

    async def _replay(self, asked: Asked) -> dict[str, Any]:
        """Handle a message again, as when it came first; it stays parked when it fails again."""
        row = await self._one(asked, *parked.c)
        if row is None or row.settled_at is not None:
            return {"refused": "unknown" if row is None else "settled"}
        intake = self._intake_of(row.consumer)
        if intake is None:
            return {"refused": "answered"}
        place = f"$JS.ACK.{row.stream}.parked.1.{row.stream_seq}.1.{int(row.parked_at.timestamp() * 1e9)}.0"
        raw = Msg(_client=self._client, subject=row.subject, reply=place, data=row.body, headers=row.headers or None)
        decide = intake.decide if intake.writer else intake.decide_in_transaction
        [error] = await decide([intake.read_one(raw)])
        if error is not None:
            return {"refused": "failed", "problem": f"{type(error).__name__}: {error}"[:1000]}
        return await self._settle(asked, "replayed", "")

    async def _settle(self, asked: Asked, settlement: str, reason: str) -> dict[str, Any]:
        values = _settling(asked, settlement, reason)
        write = update(parked).where(parked_id == asked["id"], *_among(asked), parked.c.settled_at.is_(None))
        async with self._engine.begin() as connection:
            settled = (await connection.execute(write.values(values).returning(*VIEW))).one_or_none()
        if settled:
            return _told(settled)
        return {"refused": "settled" if await self._one(asked, parked.c.parked_at) else "unknown"}

    async def _discard_many(self, asked: Asked) -> dict[str, Any]:
        """Discard what waits of a consumer, the oldest first, as many as are done soon; how many, and whether more."""
        waits = select(*KEY).where(parked.c.settled_at.is_(None), *_among(asked))
        some = waits.order_by(parked.c.parked_at).limit(DISCARDED_AT_ONCE)
        write = update(parked).where(tuple_(*KEY).in_(some), parked.c.settled_at.is_(None))
        async with self._engine.begin() as connection:
            done = await connection.execute(write.values(_settling(asked, "discarded", asked["reason"])))
        return {"discarded": done.rowcount, "more": done.rowcount == DISCARDED_AT_ONCE}


def _among(asked: Asked) -> list[ColumnElement[bool]]:
    """Of one consumer where that is asked for, and of no scheme that the asker has nothing to do with."""
    found: list[ColumnElement[bool]] = []
    if consumer := asked.get("consumer"):
        found.append(parked.c.consumer == consumer)
    if others := asked.get("without"):
        words = func.string_to_array(parked.c.subject, ".", type_=ARRAY(Text))
        found.append(~words.overlap(list(others)))
    return found


def _settling(asked: Asked, settlement: str, reason: str) -> dict[str, Any]:
    return {"settled_at": Clock.now(), "settlement": settlement, "settled_by": asked["by"], "reason": reason}


def _told(row: Row[Any] | None) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in VIEW} if row else {"refused": "unknown"}


def _listed(row: Row[Any]) -> dict[str, Any]:
    """A row whose long texts are cut."""
    told = _told(row)
    long = {name: most for name, most in LISTED_CHARS.items() if len(told[name]) > most}
    return {**told, **{name: f"{told[name][: most - 1]}…" for name, most in long.items()}}
