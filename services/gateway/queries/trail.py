"""The trail: events of anything newest first, what led to one and what followed, receipts, and who did what when."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, cast, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.queries.paging import BadCursor
from services.gateway.tables import accounts, actions, events
from services.gateway.views import Page
from shared.clock import SHANGHAI
from shared.messaging.tables import receipts

SERVICES = ("referral", "review", "pool", "recovery", "gateway")
"""An event's id is unique within its service: naming them all lets the index find it."""
DEPTH = 12
WIDTH = 200


@dataclass(frozen=True)
class Days:
    """From one day of Asia/Shanghai to another, both inclusive."""

    since: date | None = None
    until: date | None = None


EVER = Days()


@dataclass(frozen=True)
class Chained:
    """An event in a chain of causes: ``depth`` is below zero for what led to the event asked for."""

    event: Row[Any]
    depth: int


async def newest_of(connection: AsyncConnection, scheme: str, types: Collection[str], limit: int) -> Sequence[Row[Any]]:
    """The newest events of some types, newest first."""
    query = select(events).where(events.c.scheme == scheme, events.c.type.in_(tuple(types)))
    return (await connection.execute(query.order_by(events.c.position.desc()).limit(limit))).all()


async def trail(
    connection: AsyncConnection,
    scheme: str,
    *,
    about: str = "",
    kind: str = "",
    service: str = "",
    days: Days = EVER,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Any]:
    """Events newest first, days passing only when asked for; ``about`` is any business id, or an event's own id."""
    query = select(events).where(events.c.scheme == scheme)
    if not (about or kind or service):
        query = query.where(events.c.type != "BusinessDayStarted")
    if about:
        query = query.where(or_(events.c.about.contains([about]), events.c.position == _own(scheme, about)))
    if kind:
        query = query.where(events.c.type == kind)
    if service:
        query = query.where(events.c.service == service)
    query = query.where(*_between(events.c.at, days))
    if cursor:
        query = query.where(events.c.position < _before(cursor))
    rows = (await connection.execute(query.order_by(events.c.position.desc()).limit(limit + 1))).all()
    return _page(rows, limit, "position")


def _own(scheme: str, event_id: str) -> ColumnElement[Any]:
    known = (events.c.scheme == scheme, events.c.service.in_(SERVICES), events.c.id == event_id)
    return select(func.max(events.c.position)).where(*known).scalar_subquery()


def _between(column: ColumnElement[Any], days: Days) -> list[ColumnElement[bool]]:
    found = []
    if days.since:
        found.append(column >= datetime.combine(days.since, time(), SHANGHAI))
    if days.until:
        found.append(column < datetime.combine(days.until + timedelta(days=1), time(), SHANGHAI))
    return found


def _before(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        raise BadCursor
    return int(cursor)


def _page(rows: Sequence[Row[Any]], limit: int, key: str) -> Page[Any]:
    more = len(rows) > limit
    return Page.model_construct(
        items=list(rows[:limit]), next_cursor=str(getattr(rows[limit - 1], key)) if more else None
    )


async def history_of(connection: AsyncConnection, scheme: str, about: str, limit: int = 500) -> Sequence[Row[Any]]:
    """What happened to a business id, oldest first; events of whole batches are not its own."""
    query = select(events).where(
        events.c.scheme == scheme, events.c.about.contains([about]), events.c.data["loan_no"].astext == about
    )
    return (await connection.execute(query.order_by(events.c.position).limit(limit))).all()


async def one_event(connection: AsyncConnection, scheme: str, event_id: str) -> Row[Any] | None:
    """An event by its id."""
    known = (events.c.scheme == scheme, events.c.service.in_(SERVICES), events.c.id == event_id)
    return (await connection.execute(select(events).where(*known).limit(1))).first()


async def chain(connection: AsyncConnection, event: Row[Any]) -> list[Chained]:
    """The event's causes back to the first, the event, and everything that followed from it, each below its cause."""
    before: list[Row[Any]] = []
    cause = event.causation_id
    while cause and len(before) < DEPTH:
        found = await one_event(connection, event.scheme, cause)
        if found is None or found.id == event.id:
            break
        before.append(found)
        cause = found.causation_id
    effects = await _effects(connection, event)
    causes = [Chained(one, -place) for place, one in enumerate(before, 1)]
    return [*reversed(causes), Chained(event, 0), *_tree(event.id, effects, 1)]


async def _effects(connection: AsyncConnection, event: Row[Any]) -> dict[str, list[Row[Any]]]:
    below: dict[str, list[Row[Any]]] = {}
    found, wave = 0, [event.id]
    seen = {event.id}
    for _ in range(DEPTH):
        query = select(events).where(events.c.scheme == event.scheme, events.c.causation_id.in_(wave))
        rows = (await connection.execute(query.order_by(events.c.position).limit(WIDTH - found))).all()
        wave = [row.id for row in rows if row.id not in seen]
        for row in rows:
            if row.id not in seen:
                below.setdefault(row.causation_id, []).append(row)
        seen.update(wave)
        found += len(rows)
        if not wave or found >= WIDTH:
            break
    return below


def _tree(cause: str, below: dict[str, list[Row[Any]]], depth: int) -> Iterable[Chained]:
    for row in below.get(cause, ()):
        yield Chained(row, depth)
        yield from _tree(row.id, below, depth + 1)


async def siblings(connection: AsyncConnection, event: Row[Any]) -> Sequence[Row[Any]]:
    """What else followed from the same cause."""
    if not event.causation_id:
        return []
    query = select(events).where(
        events.c.scheme == event.scheme, events.c.causation_id == event.causation_id, events.c.id != event.id
    )
    return (await connection.execute(query.order_by(events.c.position).limit(WIDTH))).all()


async def action_list(
    connection: AsyncConnection,
    scheme: str,
    *,
    about: str = "",
    action: str = "",
    organisation: str = "",
    outcome: str = "",
    days: Days = EVER,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Any]:
    """Who did what when, newest first."""
    table = actions
    query = select(table, accounts.c.name.label("person"), accounts.c.login).select_from(
        table.outerjoin(accounts, accounts.c.id == table.c.account)
    )
    query = query.where(table.c.scheme == scheme)
    for column, wanted in (
        (table.c.about, about),
        (table.c.action, action),
        (table.c.organisation, organisation),
        (table.c.outcome, outcome),
    ):
        if wanted:
            query = query.where(column == wanted)
    query = query.where(*_between(table.c.at, days))
    if cursor:
        query = query.where(table.c.id < _before(cursor))
    rows = (await connection.execute(query.order_by(table.c.id.desc()).limit(limit + 1))).all()
    return _page(rows, limit, "id")


async def actions_of(connection: AsyncConnection, scheme: str, event_id: str) -> Sequence[Row[Any]]:
    """The actions whose answer named an event."""
    query = select(actions, accounts.c.name.label("person")).select_from(
        actions.outerjoin(accounts, accounts.c.id == actions.c.account)
    )
    query = query.where(actions.c.scheme == scheme, actions.c.events.contains([event_id]))
    return (await connection.execute(query.order_by(actions.c.id).limit(10))).all()


async def newest_receipts(
    connection: AsyncConnection,
    scheme: str,
    *,
    institution: str | None,
    outcome: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Any]:
    """Receipts of partner events, newest first."""
    moment = cast(func.extract("epoch", receipts.c.at) * 1_000_000, BigInteger)
    query = select(receipts, moment.label("moment")).where(receipts.c.scheme == scheme)
    if institution:
        query = query.where(receipts.c.institution == institution)
    if outcome:
        query = query.where(receipts.c.outcome == outcome)
    if cursor:
        at, _, event_id = cursor.partition(".")
        query = query.where(tuple_(moment, receipts.c.event_id) < tuple_(literal(_before(at)), literal(event_id)))
    query = query.order_by(moment.desc(), receipts.c.event_id.desc())
    rows = (await connection.execute(query.limit(limit + 1))).all()
    last = rows[limit - 1] if len(rows) > limit else None
    following = f"{last.moment}.{last.event_id}" if last is not None else None
    return Page.model_construct(items=list(rows[:limit]), next_cursor=following)
