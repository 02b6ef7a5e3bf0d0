"""Every service's events by position, and the receipts of partner events."""

from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.queries.disclosure import disclosed, secret_votes
from services.gateway.queries.paging import page
from services.gateway.tables import event_positions, events
from services.gateway.views import EventView, Page, ReceiptView
from shared.messaging.tables import receipts


async def event_list(
    connection: AsyncConnection,
    scheme: str,
    *,
    after: int,
    kind: str | None,
    about: str | None,
    limit: int,
    cursor: str | None,
    seat: str = "",
) -> Page[EventView]:
    """Events after a position, oldest first; ``kind`` is an event's name, ``about`` any business id that it names.

    Votes of an open ballot are shown to the ``seat`` that cast them only.
    """
    query = select(events).where(events.c.scheme == scheme, events.c.position > after)
    if kind is not None:
        query = query.where(events.c.type == kind)
    if about is not None:
        query = query.where(events.c.about.contains([about]))
    found: Page[Row[Any]] = await page(connection, query, [events.c.position], _as_it_is, limit, cursor)
    secret = await secret_votes(connection, found.items, seat)
    views = [_event(row, disclosed(row, secret, None)) for row in found.items]
    return Page(items=views, next_cursor=found.next_cursor)


def _as_it_is(row: Row[Any]) -> Row[Any]:
    return row


def _event(row: Row[Any], data: dict[str, Any]) -> EventView:
    return EventView.model_validate({**row._mapping, "about": row.subject, "data": data})


async def last_position(connection: AsyncConnection) -> int:
    """The position of the newest event of all schemes, 0 before the first."""
    return (await connection.execute(select(func.max(event_positions.c.last)))).scalar_one_or_none() or 0


async def receipt_list(
    connection: AsyncConnection,
    scheme: str,
    *,
    institution: str | None,
    outcome: str | None,
    limit: int,
    cursor: str | None,
) -> Page[ReceiptView]:
    """Receipts of partner events by institution and event id."""
    query = select(receipts).where(receipts.c.scheme == scheme)
    if institution is not None:
        query = query.where(receipts.c.institution == institution)
    if outcome is not None:
        query = query.where(receipts.c.outcome == outcome)
    return await page(connection, query, [receipts.c.institution, receipts.c.event_id], receipt_view, limit, cursor)


async def receipts_of(
    connection: AsyncConnection, scheme: str, event_id: str, institution: str | None
) -> list[ReceiptView]:
    """The receipts of an event id: one an institution that used it."""
    query = select(receipts).where(receipts.c.scheme == scheme, receipts.c.event_id == event_id)
    if institution is not None:
        query = query.where(receipts.c.institution == institution)
    return [receipt_view(row) for row in await connection.execute(query.order_by(receipts.c.institution))]


def receipt_view(row: Row[Any]) -> ReceiptView:
    """A receipt as it is shown."""
    return ReceiptView.model_validate({**row._mapping, "event": row.event_name})
