"""One event on its way into the projections: what every projection knows of it, and how rows are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Table, func
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import business_date
from shared.messaging.envelope import Envelope

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Projected:
    """The event's envelope, its position among all events, and the transaction to write in."""

    connection: AsyncConnection
    envelope: Envelope
    position: int

    @property
    def scheme(self) -> str:
        """The scheme that the event belongs to."""
        return self.envelope.scheme

    @property
    def day(self) -> date:
        """The business date of the event."""
        return business_date(self.envelope.time)

    async def upsert(
        self,
        table: Table,
        keys: Values,
        values: Values | None = None,
        *,
        add: Values | None = None,
        merge: Values | None = None,
    ) -> None:
        """Write the row of these keys: ``values`` replace, ``add`` adds to numbers, ``merge`` adds to JSON objects."""
        values, add, merge = values or {}, add or {}, merge or {}
        write = insert(table).values(scheme=self.scheme, **keys, **values, **add, **merge)
        changes: dict[str, Any] = {name: write.excluded[name] for name in values}
        changes |= {name: table.c[name] + write.excluded[name] for name in add}
        changes |= {name: _merged(table, write, name) for name in merge}
        index = ["scheme", *keys]
        done = (
            write.on_conflict_do_update(index_elements=index, set_=changes)
            if changes
            else write.on_conflict_do_nothing()
        )
        await self.connection.execute(done)

    async def insert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Write rows that are not there yet."""
        if rows:
            await self.connection.execute(
                insert(table).on_conflict_do_nothing(), [{"scheme": self.scheme, **row} for row in rows]
            )


def _merged(table: Table, write: Insert, name: str) -> ColumnElement[Any]:
    joined: ColumnElement[Any] = func.coalesce(table.c[name], func.jsonb_build_object()).op("||")(write.excluded[name])
    return joined.cast(JSONB)
