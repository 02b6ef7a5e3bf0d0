"""Pages by key, never by offset: the opaque cursor holds the order columns of the last row shown."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.views import Page

T = TypeVar("T")
_LARGEST = 2**63 - 1


class BadCursor(ValueError):
    """A cursor that this list did not give out."""


async def page(
    connection: AsyncConnection,
    query: Select[Any],
    order: Sequence[ColumnElement[Any]],
    view: Callable[[Row[Any]], T],
    limit: int,
    cursor: str | None,
    key: ColumnElement[Any] | None = None,
) -> Page[T]:
    """The rows after the cursor in this order, as views; BadCursor when the cursor is of another list.

    With a ``key`` the rows of a page are found by it first, so that only they are read whole.
    """
    if cursor is not None:
        values = _decode(cursor, order)
        query = query.where(tuple_(*order) > tuple_(*values))
    if key is not None:
        query = query.where(key.in_(query.with_only_columns(key).order_by(*order).limit(limit + 1)))
    labels = [column.label(f"order_{i}") for i, column in enumerate(order)]
    rows = (await connection.execute(query.add_columns(*labels).order_by(*order).limit(limit + 1))).all()
    shown = rows[:limit]
    last = [getattr(shown[-1], label.name) for label in labels] if len(rows) > limit else None
    return Page(items=[view(row) for row in shown], next_cursor=_encode(last) if last else None)


def _encode(values: list[Any]) -> str:
    text = json.dumps([value.isoformat() if isinstance(value, date) else value for value in values])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, order: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise BadCursor from error
    if not isinstance(values, list) or len(values) != len(order):
        raise BadCursor
    return [literal(_typed(value, column), column.type) for value, column in zip(values, order, strict=True)]


def _typed(value: Any, column: ColumnElement[Any]) -> Any:
    wanted = column.type.python_type
    if wanted is date and isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise BadCursor from error
    if type(value) is not wanted or (wanted is str and "\0" in value) or (wanted is int and abs(value) > _LARGEST):
        raise BadCursor
    return value
