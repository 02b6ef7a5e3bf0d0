"""What was parked: listed, looked at, handled again or discarded by whoever runs the machines; nothing is deleted."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.clock import Clock
from shared.messaging.intake import Intake
from shared.messaging.tables import parked

MOST = 500
IntakeOf = Callable[[str], Intake | None]
ALL = (parked.c.consumer, parked.c.stream, parked.c.stream_seq, parked.c.message_id)


def id_of(row: Row[Any]) -> str:
    """A short name of a parked message, the same in every replica."""
    place = "\0".join(map(str, (row.consumer, row.stream, row.stream_seq, row.message_id)))
    return hashlib.sha256(place.encode()).hexdigest()[:16]


class Parked:
    """One service's parked messages; ``intake_of`` gives a consumer's intake, None where nothing is to be repeated."""

    def __init__(self, engine: AsyncEngine, client: Client, intake_of: IntakeOf) -> None:
        self._engine, self._client, self._intake_of = engine, client, intake_of

    async def answer(self, body: bytes, subject: str) -> bytes:
        """Answer ``{"do": "list"|"show"|"replay"|"discard", "id"?, "by"?, "reason"?, "all"?}``.

        ``refused`` in the answer says why it was not done.
        """
        asked = json.loads(body)
        match asked["do"]:
            case "list":
                told: dict[str, Any] = {"items": [_view(row) for row in await self._rows(bool(asked.get("all")))]}
            case "show":
                told = await self._show(asked["id"])
            case "replay":
                told = await self._replay(asked["id"], asked["by"])
            case _:
                told = await self._settle(asked["id"], "discarded", asked["by"], asked["reason"])
        return json.dumps(told, default=str).encode()

    async def _rows(self, settled: bool = True) -> Sequence[Row[Any]]:
        query = select(parked).order_by(parked.c.parked_at.desc(), *ALL).limit(MOST)
        if not settled:
            query = query.where(parked.c.settled_at.is_(None))
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).all()

    async def _row(self, identifier: str) -> Row[Any] | None:
        return next((row for row in await self._rows() if id_of(row) == identifier), None)

    async def _show(self, identifier: str) -> dict[str, Any]:
        row = await self._row(identifier)
        if row is None:
            return {"refused": "unknown"}
        body = base64.b64encode(row.body).decode()
        return {**_view(row), "headers": row.headers, "trace": row.trace, "body_base64": body}

    async def _replay(self, identifier: str, by: str) -> dict[str, Any]:
        """Handle a message again, as when it came first; it stays parked when it fails again."""
        row = await self._row(identifier)
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
        return await self._settle(identifier, "replayed", by, "")

    async def _settle(self, identifier: str, settlement: str, by: str, reason: str) -> dict[str, Any]:
        row = await self._row(identifier)
        if row is None:
            return {"refused": "unknown"}
        place = [column == getattr(row, column.name) for column in ALL]
        values = {"settled_at": Clock.now(), "settlement": settlement, "settled_by": by, "reason": reason}
        write = update(parked).where(*place, parked.c.settled_at.is_(None)).values(values).returning(parked)
        async with self._engine.begin() as connection:
            settled = (await connection.execute(write)).one_or_none()
        return _view(settled) if settled else {"refused": "settled"}


def _view(row: Row[Any]) -> dict[str, Any]:
    """A row without its bytes, which may hold an enterprise's data."""
    shown = ("consumer", "stream", "stream_seq", "message_id", "subject", "error", "parked_at", "settled_at",
             "settlement", "settled_by", "reason")  # fmt: skip
    return {"id": id_of(row), "bytes": len(row.body), **{name: getattr(row, name) for name in shown}}
