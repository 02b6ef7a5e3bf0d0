"""The projections made again from the kept events, in temporary tables that stand in front of the real ones."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.gateway.projections import tables
from services.gateway.projections.dispatch import fold
from services.gateway.projections.writing import Projected
from services.gateway.tables import event_positions, events, metadata
from shared.contracts.base import Event
from shared.contracts.registry import EVENTS
from shared.messaging.envelope import Envelope, type_of

BATCH = 500
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Difference:
    """Rows of one table that differ: how many, and the first of them as it is and as the events say."""

    table: str
    rows: int
    key: str
    stored: dict[str, Any] | None
    again: dict[str, Any] | None

    def __str__(self) -> str:
        if self.stored is None or self.again is None:
            said = "is missing" if self.stored is None else "follows from no event"
        else:
            both = ((name, stored, self.again.get(name)) for name, stored in self.stored.items())
            said = "; ".join(f"{n} is {_short(a)}, the events say {_short(b)}" for n, a, b in both if a != b)
        return f"{self.table} {self.key}: {said} ({self.rows} row(s) of {self.table} differ)"


@dataclass(frozen=True)
class Rebuilt:
    """How many events were folded, into how many rows, and what differed."""

    events: int
    rows: int
    differences: tuple[Difference, ...]


def projections() -> list[Table]:
    """Every table that follows from events."""
    return [table for table in metadata.sorted_tables if table in vars(tables).values()]


async def check(engine: AsyncEngine, told: Told = lambda done, all_: None) -> Rebuilt:
    """Compare the projections with a fold of all events, both as of one moment; nothing is locked or changed."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        async with connection.begin() as transaction:
            await _stand_in(connection)
            newest = await _newest(connection)
            done = await _fold_on(connection, 0, newest, told)
            found = Rebuilt(done, await _rows(connection), await _differences(connection))
            await transaction.rollback()
    return found


async def rebuild(engine: AsyncEngine, told: Told = lambda done, all_: None) -> Rebuilt:
    """Put right what differs: fold beside the running gateway, then hold back new events for the last step only."""
    async with engine.connect() as connection:
        async with connection.begin():
            await _stand_in(connection)
        done, position = 0, 0
        behind = True
        while behind:
            async with connection.begin():
                newest = await _newest(connection)
                behind = newest - position > BATCH
                done += await _fold_on(connection, position, newest, told)
            position = newest
        async with connection.begin():
            locked = select(event_positions.c.last).with_for_update()
            newest = (await connection.execute(locked)).scalar() or 0
            done += await _fold_on(connection, position, newest, told)
            found = Rebuilt(done, await _rows(connection), await _differences(connection))
            for table in projections():
                if table.name in {one.table for one in found.differences}:
                    await _put_right(connection, table)
        await connection.invalidate()
    return found


async def _stand_in(connection: AsyncConnection) -> None:
    """Empty temporary tables of the same names: this connection's statements meet them before the real ones."""
    for table in projections():
        await connection.execute(text(f"create temporary table {table.name} (like public.{table.name} including all)"))


async def _fold_on(connection: AsyncConnection, after: int, newest: int, told: Told) -> int:
    """Fold the events after a position, some at a time, so that memory does not grow with their number."""
    done = 0
    while after < newest:
        query = select(events).where(events.c.position > after, events.c.position <= newest)
        rows = (await connection.execute(query.order_by(events.c.position).limit(BATCH))).all()
        if not rows:
            break
        await fold([_kept(connection, row) for row in rows])
        done += len(rows)
        after = rows[-1].position
        told(after, newest)
    return done


def _kept(connection: AsyncConnection, row: Row[Any]) -> tuple[Projected, Event]:
    cls = EVENTS[row.service, row.type]
    event: Event = cls.model_validate_json(json.dumps({**row.data, "why": row.why}))
    envelope = Envelope(
        specversion="1.0",
        id=row.id,
        source=f"/services/{row.service}",
        type=type_of(row.type),
        subject=row.subject,
        time=row.at,
        scheme=row.scheme,
        correlationid=row.correlation_id,
        causationid=row.causation_id,
        schemeversion=row.scheme_version,
        data=row.data,
    )
    return Projected(connection, envelope, row.position), event


async def _newest(connection: AsyncConnection) -> int:
    return (await connection.execute(select(func.max(event_positions.c.last)))).scalar() or 0


async def _rows(connection: AsyncConnection) -> int:
    counted = [select(func.count()).select_from(table).scalar_subquery() for table in projections()]
    return sum((await connection.execute(select(*counted))).one())


async def _differences(connection: AsyncConnection) -> tuple[Difference, ...]:
    """Of each table that differs: how many rows, and the first by its key."""
    found = []
    for table in projections():
        keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
        query = f"""
            select to_jsonb(stored.*) as stored, to_jsonb(again.*) as again, count(*) over () as rows
            from public.{table.name} stored full join pg_temp.{table.name} again using ({keys})
            where to_jsonb(stored.*) is distinct from to_jsonb(again.*) order by {keys} limit 1
        """
        row = (await connection.execute(text(query))).one_or_none()
        if row is not None:
            shown = row.stored or row.again
            key = "/".join(str(shown[column.name]) for column in table.primary_key)
            found.append(Difference(table.name, row.rows, key, row.stored, row.again))
    return tuple(found)


async def _put_right(connection: AsyncConnection, table: Table) -> None:
    """Take away the rows that the events do not say, and add those that are missing; the rest is not touched."""
    name, same = table.name, " and ".join(f'again."{one.name}" = stored."{one.name}"' for one in table.primary_key)
    await connection.execute(
        text(
            f"delete from public.{name} stored where not exists (select from pg_temp.{name} again"
            f" where {same} and to_jsonb(again.*) = to_jsonb(stored.*))"
        )
    )
    await connection.execute(text(f"insert into public.{name} select * from pg_temp.{name} on conflict do nothing"))


def _short(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 120 else f"{shown[:117]}..."
