"""The events up to a position and the ledger's lines with them: all that a report is made of."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.tables import ledger_entries
from services.gateway.tables import events
from shared.clock import business_date
from shared.contracts import pool, recovery, referral, review
from shared.contracts.base import Event
from shared.contracts.registry import EVENTS

E = TypeVar("E", bound=Event)
BATCH = 2000
Told = Callable[[int], Awaitable[None]]
# Bodies of other events are not needed in any report.
WANTED = tuple(
    cls
    for (service, _), cls in EVENTS.items()
    if service == "pool"
    or cls.__module__ == recovery.__name__
    or (cls.__module__ == referral.__name__ and cls is not referral.ScreeningFindingRecorded)
    or (cls.__module__ == review.__name__ and cls not in (review.VoteCast, review.ClaimVoteCast))
)


@dataclass(frozen=True)
class Happened:
    """An event at its place among all events."""

    position: int
    id: str
    at: datetime
    event: Event

    @property
    def on(self) -> date:
        """Its business date: the pool books by its own, the others' is the day of the event."""
        return self.event.on if isinstance(self.event, pool.PoolEvent) else business_date(self.at)


@dataclass(frozen=True)
class Line:
    """One line of the ledger."""

    position: int
    cause: str
    on: date
    account: str
    fen: int


@dataclass(frozen=True)
class History:
    """A scheme's past up to a position."""

    ends_at: int
    last_event: str
    last_at: datetime
    happened: tuple[Happened, ...]
    lines: tuple[Line, ...]

    def of(self, *kinds: type[E]) -> list[tuple[Happened, E]]:
        """The events of some kinds, in order."""
        return [(one, one.event) for one in self.happened if isinstance(one.event, kinds)]

    def balance_fen(self, account: str, until: date | None = None) -> int:
        """An account's balance by the ledger's lines booked before a day (or all); a debit is positive."""
        return sum(one.fen for one in self.lines if one.account == account and (until is None or one.on < until))


async def last_moment(connection: AsyncConnection, scheme: str) -> Any:
    """A scheme's newest event: its position, id and time; None while there is none."""
    query = select(events.c.position, events.c.id, events.c.at).where(events.c.scheme == scheme)
    return (await connection.execute(query.order_by(events.c.position.desc()).limit(1))).one_or_none()


async def read_history(connection: AsyncConnection, scheme: str, ends_at: int, told: Told) -> History:
    """Read events and ledger up to a position; ``told`` hears how far it is, in percent."""
    ending = select(events.c.id, events.c.at).where(events.c.scheme == scheme, events.c.position == ends_at)
    last = (await connection.execute(ending)).one_or_none()
    if last is None:
        raise LookupError(f"there is no event at position {ends_at}")
    query = select(events.c.position, events.c.id, events.c.at, events.c.service, events.c.type, events.c.data).where(
        events.c.scheme == scheme, events.c.type.in_({cls.__name__ for cls in WANTED}), events.c.position <= ends_at
    )
    happened: list[Happened] = []
    after = 0
    while True:
        batch = query.where(events.c.position > after).order_by(events.c.position).limit(BATCH)
        rows = (await connection.execute(batch)).all()
        if not rows:
            break
        happened += await asyncio.to_thread(_parsed, rows)
        after = rows[-1].position
        await told(100 * after // ends_at)
    return History(ends_at, last.id, last.at, tuple(happened), await _lines(connection, scheme, ends_at))


def _parsed(rows: Sequence[Any]) -> list[Happened]:
    return [
        Happened(row.position, row.id, row.at, EVENTS[row.service, row.type].model_validate_json(json.dumps(row.data)))
        for row in rows
    ]


async def _lines(connection: AsyncConnection, scheme: str, ends_at: int) -> tuple[Line, ...]:
    table = ledger_entries
    query = (
        select(table.c.position, table.c.cause, table.c.on, table.c.account, table.c.amount_fen)
        .where(table.c.scheme == scheme, table.c.position <= ends_at)
        .order_by(table.c.position, table.c.line)
    )
    return tuple(Line(*row) for row in await connection.execute(query))


def ledger_fen(lines: Iterable[Line], account: str, positions: set[int]) -> int:
    """What the events at some positions booked on an account."""
    return sum(one.fen for one in lines if one.account == account and one.position in positions)
