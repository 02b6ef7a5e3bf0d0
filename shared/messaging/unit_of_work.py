"""One transaction: load state, decide, evolve it by the events that follow, announce them in the outbox."""

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.aggregates import Aggregate
from shared.clock import business_date
from shared.contracts.base import Event, Shape
from shared.messaging.envelope import new_id, type_of
from shared.messaging.tables import institutions, outbox
from shared.scheme.loader import Policy, Scheme

S = TypeVar("S", bound=Shape)
P = TypeVar("P", bound=Policy)
Rows = Callable[["UnitOfWork", str, Event], Awaitable[None]]
EVENTS = "EVENTS"
RECEIPTS = "RECEIPTS"
MOST_BYTES = 900_000  # the bus carries 1 MiB: a larger row could never be published, and no row after it


class NotYet(Exception):
    """Something that an event depends on has not arrived: it is tried again later."""


@dataclass(frozen=True)
class Institution:
    """An institution that signed an agreement."""

    id: str
    kind: str
    name: str
    valid_from: date
    valid_to: date


@dataclass
class Transaction:
    """What the messages of one database transaction share: loaded states and announcements not yet written."""

    connection: AsyncConnection
    service: str
    aggregates: tuple[Aggregate[Any], ...]
    rows: Rows | None = None
    states: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    changed: dict[tuple[str, str, str], Aggregate[Any]] = field(default_factory=dict)
    versions: dict[tuple[str, str, str], int] = field(default_factory=dict)
    announcements: list[dict[str, str]] = field(default_factory=list)

    async def load(self, scheme: str, aggregate: Aggregate[S], key: str) -> S | None:
        """The state of one thing as this transaction sees it."""
        place = (aggregate.name, scheme, key)
        if place not in self.states:
            table = aggregate.table
            query = select(table.c.version, table.c.doc).where(table.c.scheme == scheme, table.c.key == key)
            self._remember(place, aggregate, (await self.connection.execute(query)).one_or_none())
        state: S | None = self.states[place]
        return state

    async def select(self, scheme: str, aggregate: Aggregate[S], where: Iterable[ColumnElement[bool]]) -> list[S]:
        """All things of a kind that match, ordered by key."""
        await self._write_states()
        table = aggregate.table
        query = select(table.c.key, table.c.version, table.c.doc).where(table.c.scheme == scheme, *where)
        found = []
        for row in await self.connection.execute(query.order_by(table.c.key)):
            place = (aggregate.name, scheme, row.key)
            if place not in self.states:
                self._remember(place, aggregate, row)
            found.append(self.states[place])
        return found

    def _remember(self, place: tuple[str, str, str], aggregate: Aggregate[S], row: Any) -> None:
        self.versions[place] = row.version if row else 0
        self.states[place] = aggregate.model.model_validate_json(json.dumps(row.doc)) if row else None

    async def evolve(self, scheme: str, event: Event) -> None:
        """Change every thing that the event changes."""
        for aggregate in self.aggregates:
            for key in aggregate.keys(event):
                place = (aggregate.name, scheme, key)
                before = await self.load(scheme, aggregate, key)
                self.states[place] = aggregate.evolve(before, event)
                if self.states[place] is not None:
                    self.changed[place] = aggregate

    async def flush(self) -> None:
        """Write changed states and announcements; the caller commits."""
        await self._write_states()
        if self.announcements:
            await self.connection.execute(outbox.insert(), self.announcements)
            self.announcements = []

    async def _write_states(self) -> None:
        by_kind: dict[str, list[tuple[str, str, str]]] = {}
        for place in self.changed:
            by_kind.setdefault(place[0], []).append(place)
        for places in by_kind.values():
            table = self.changed[places[0]].table
            for place in places:
                self.versions[place] += 1
            rows = [
                {
                    "scheme": place[1],
                    "key": place[2],
                    "version": self.versions[place],
                    "doc": self.states[place].model_dump(mode="json"),
                }
                for place in places
            ]
            write = insert(table)
            changes = {"version": write.excluded.version, "doc": write.excluded.doc}
            await self.connection.execute(
                write.on_conflict_do_update(index_elements=["scheme", "key"], set_=changes), rows
            )
        self.changed = {}


@dataclass
class UnitOfWork:
    """One message at work: who sent it, when it counts, and what it may read and change."""

    transaction: Transaction
    scheme: Scheme
    now: datetime
    sender: str
    sender_kind: str
    message_id: str
    correlation_id: str = ""
    traceparent: str | None = None

    @property
    def connection(self) -> AsyncConnection:
        """The transaction's connection, for reads in ``queries.py`` and writes in ``store.py``."""
        return self.transaction.connection

    @property
    def today(self) -> date:
        """The business date of this message."""
        return business_date(self.now)

    def policy(self, policy: type[P]) -> P:
        """The slice of the scheme that a service enforces."""
        return self.scheme.policy(policy)

    async def load(self, aggregate: Aggregate[S], key: str) -> S | None:
        """The state of one thing, or None."""
        return await self.transaction.load(self.scheme.id, aggregate, key)

    async def select(self, aggregate: Aggregate[S], *where: ColumnElement[bool]) -> list[S]:
        """All things of a kind in this scheme that match, ordered by key."""
        return await self.transaction.select(self.scheme.id, aggregate, where)

    async def institution(self, identifier: str) -> Institution | None:
        """An institution by id, or None; from the agreements that review announced."""
        query = select(institutions).where(institutions.c.scheme == self.scheme.id, institutions.c.id == identifier)
        row = (await self.connection.execute(query)).one_or_none()
        return Institution(row.id, row.kind, row.name, row.valid_from, row.valid_to) if row else None

    async def record(self, events: Iterable[Event]) -> list[dict[str, str]]:
        """Evolve the state by these events and announce them; returns their ids and types, in order."""
        recorded = []
        for event in events:
            name = type(event).__name__
            event_id = new_id()
            await self.transaction.evolve(self.scheme.id, event)
            if self.transaction.rows:
                await self.transaction.rows(self, event_id, event)
            envelope = {
                "specversion": "1.0",
                "id": event_id,
                "source": f"/services/{self.transaction.service}",
                "type": type_of(name),
                "subject": event.about,
                "time": self.now.isoformat(),
                "datacontenttype": "application/json",
                "scheme": self.scheme.id,
                "correlationid": event.case or self.correlation_id or event.about,
                "causationid": self.message_id,
                "schemeversion": self.scheme.version,
                "data": event.model_dump(mode="json"),
            }
            if self.traceparent:
                envelope["traceparent"] = self.traceparent
            envelope = {key: value for key, value in envelope.items() if value != ""}  # CloudEvents: never empty
            subject = f"events.{self.scheme.id}.{self.transaction.service}.{name}"
            self.announce(event_id, EVENTS, subject, name, envelope)
            recorded.append({"id": event_id, "type": type_of(name)})
        return recorded

    def announce(self, event_id: str, stream: str, subject: str, name: str, envelope: dict[str, Any]) -> None:
        """Put one message into the outbox of this transaction."""
        payload = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
        if len(payload.encode()) > MOST_BYTES:
            raise ValueError(f"{name} is too large for the bus: {len(payload)} characters")
        self.transaction.announcements.append(
            {
                "event_id": event_id,
                "scheme": self.scheme.id,
                "stream": stream,
                "subject": subject,
                "name": name,
                "payload": payload,
            }
        )
