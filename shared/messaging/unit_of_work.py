"""One transaction: load state, decide, evolve it by the events that follow, announce them in the outbox."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import ColumnElement, Select, Text, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.aggregates import Aggregate
from shared.clock import Clock, business_date
from shared.contracts.base import Event, Shape
from shared.messaging.chain import Head, event_sha256
from shared.messaging.envelope import event_json, new_id, type_of
from shared.messaging.statement import Part, fence, write
from shared.messaging.tables import institutions, schemes
from shared.scheme.loader import Policy, Scheme

Together = Callable[[AsyncConnection, list[Any]], Awaitable[None]]
S = TypeVar("S", bound=Shape)
P = TypeVar("P", bound=Policy)
Place = tuple[str, str, str]
EVENTS = "EVENTS"
RECEIPTS = "RECEIPTS"
MOST_BYTES = 900_000  # the bus carries 1 MiB: a larger row could never be published, and no row after it

_OUTBOX = """insert into outbox (event_id, scheme, stream, subject, name, payload, recorded_at, position, sha256)
    select event_id, scheme, stream, subject, name, payload, recorded_at, position, sha256
    from unnest({}::text[], {}::text[], {}::text[], {}::text[], {}::text[], {}::text[], {}::timestamptz[], {}::bigint[],
                {}::bytea[]) with ordinality
        u(event_id, scheme, stream, subject, name, payload, recorded_at, position, sha256, place) order by place"""
_FETCH = """select scheme, key, doc::text as doc from {table}
    join unnest($1::text[], $2::text[]) wanted(scheme, key) using (scheme, key)"""
_STATES = """insert into {table} (scheme, key, version, doc)
    select scheme, key, 1, doc::jsonb from unnest({{}}::text[], {{}}::text[], {{}}::text[]) u(scheme, key, doc)"""
_OR_CHANGE = """
    on conflict (scheme, key) do update set version = {table}.version + 1, doc = excluded.doc"""
_INSTITUTIONS = """insert into institutions (scheme, id, kind, name, valid_from, valid_to)
    select * from unnest({}::text[], {}::text[], {}::text[], {}::text[], {}::date[], {}::date[])
    on conflict (scheme, id) do update set kind = excluded.kind, name = excluded.name,
        valid_from = excluded.valid_from, valid_to = excluded.valid_to"""
INBOX = """insert into inbox (consumer, source, message_id, body_sha256)
    select * from unnest({}::text[], {}::text[], {}::text[], {}::bytea[])"""
ANSWERS = """insert into answers (scheme, organisation, key, body_sha256, status, body)
    select scheme, organisation, key, sha256, status, body::jsonb
    from unnest({}::text[], {}::text[], {}::text[], {}::bytea[], {}::int[], {}::text[])
        u(scheme, organisation, key, sha256, status, body)"""


class NotYet(Exception):
    """Something that an event depends on has not arrived: it is tried again later."""


class Rows(Protocol):
    """What a service's events write besides states: a chained table of its own, ``head.rows`` at its end."""

    def add(self, scheme: str, head: Head, event_id: str, event: Event, at: datetime) -> None:
        """Take the rows of one event, in the order of the scheme's events."""

    def parts(self) -> list[Part]:
        """The parts of the statement that writes them."""


@dataclass(frozen=True)
class Institution:
    """An institution that signed an agreement."""

    id: str
    kind: str
    name: str
    valid_from: date
    valid_to: date


class Announcement(NamedTuple):
    """One message for the outbox; ``event`` is None for a receipt."""

    event_id: str
    scheme: str
    stream: str
    subject: str
    name: str
    payload: str
    event: Event | None = None


@dataclass
class Transaction:
    """What the messages of one write share: states as they will be, and what is not yet written.

    This one works inside a database transaction that holds the lock of the schemes' rows; a writer's own works on what
    it keeps in memory.
    """

    connection: AsyncConnection
    service: str
    aggregates: tuple[Aggregate[Any], ...]
    rows: Callable[[], Rows] | None = None
    states: dict[Place, Any] = field(default_factory=dict)
    changed: dict[Place, Aggregate[Any]] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)
    announcements: list[Announcement] = field(default_factory=list)
    signed: list[tuple[str, Institution]] = field(default_factory=list)
    together: dict[Together, list[Any]] = field(default_factory=dict)

    def write_together(self, write: Together, item: Any) -> None:
        """Let ``write`` write this and all its other items at once, in their order, when the messages are handled."""
        self.together.setdefault(write, []).append(item)

    async def load(self, scheme: str, aggregate: Aggregate[S], key: str) -> S | None:
        """The state of one thing as this write will leave it."""
        place = (aggregate.name, scheme, key)
        if place not in self.states:
            await self._fetch(aggregate, [place])
        state: S | None = self.states[place]
        return state

    async def _fetch(self, aggregate: Aggregate[S], places: Sequence[Place]) -> None:
        """Read these states, those that are not there as None."""
        self.states.update(dict.fromkeys(places))
        query = _FETCH.format(table=aggregate.table.name)
        wanted = ([scheme for _, scheme, _ in places], [key for _, _, key in places])
        for row in await self.connection.exec_driver_sql(query, wanted):
            self.states[aggregate.name, row.scheme, row.key] = aggregate.model.model_validate_json(row.doc)

    async def select(self, scheme: str, aggregate: Aggregate[S], where: Iterable[ColumnElement[bool]]) -> list[S]:
        """All things of a kind that match, ordered by key."""
        await self.flush()
        return await self._select(scheme, aggregate, where)

    async def _select(self, scheme: str, aggregate: Aggregate[S], where: Iterable[ColumnElement[bool]]) -> list[S]:
        table = aggregate.table
        query = select(table.c.key, cast(table.c.doc, Text).label("doc")).where(table.c.scheme == scheme, *where)
        found = []
        for row in await self.connection.execute(query.order_by(table.c.key)):
            place = (aggregate.name, scheme, row.key)
            if self.states.get(place) is None:
                self.states[place] = aggregate.model.model_validate_json(row.doc)
            found.append(self.states[place])
        return found

    async def institution(self, scheme: str, identifier: str) -> Institution | None:
        """An institution by id, or None; from the agreements that review announced."""
        query = select(institutions).where(institutions.c.scheme == scheme, institutions.c.id == identifier)
        row = (await self.connection.execute(query)).one_or_none()
        return institution_of(row) if row else None

    async def evolve(self, scheme: str, event: Event) -> None:
        """Change every thing that the event changes."""
        for aggregate in self.aggregates:
            for key in aggregate.keys(event):
                place = (aggregate.name, scheme, key)
                state = aggregate.evolve(await self.load(scheme, aggregate, key), event)
                if state is not None:
                    self.states[place], self.changed[place] = state, aggregate

    async def flush(self) -> None:
        """Write everything that is not yet written; the caller commits."""
        for write_all, items in self.together.items():
            await write_all(self.connection, items)
        self.together.clear()
        touched = {one.scheme for one in self.announcements if one.event} | {place[1] for place in self.changed}
        if touched - self.heads.keys():
            self.heads |= await lock(self.connection, touched - self.heads.keys())
        await write(self.connection, self.parts(touched))

    def parts(self, touched: Iterable[str]) -> list[Part]:
        """Everything not yet written as parts of one statement, fenced by these schemes; it counts as written now."""
        now, rows = Clock.now(), self.rows() if self.rows else None
        fenced = {scheme: self.heads[scheme] for scheme in touched if scheme in self.heads}
        outbox = []
        for one in self.announcements:
            position = digest = None
            if one.event:
                head = self.heads[one.scheme]
                position = head.position = head.position + 1
                digest = head.sha256 = event_sha256(head.sha256, position, now, one.payload)
                if rows:
                    rows.add(one.scheme, head, one.event_id, one.event, now)
            outbox.append((*one[:6], now, position, digest))
        found = [
            fence(fenced),
            Part("institutions", _INSTITUTIONS, [(scheme, *astuple(one)) for scheme, one in self.signed]),
            Part("outbox", _OUTBOX, outbox),
            *(rows.parts() if rows else ()),
            *self._states(),
        ]
        for head in fenced.values():
            head.written += 1
        self.announcements, self.changed, self.signed = [], {}, []
        return found

    def _states(self) -> Iterator[Part]:
        rows: dict[str, list[tuple[str, str, str]]] = {}
        for place in self.changed:
            name, scheme, key = place
            rows.setdefault(name, []).append((scheme, key, self.states[place].json_data()))
        kinds = {aggregate.name: aggregate for aggregate in self.aggregates}
        for name in sorted(rows):
            sql = _STATES if kinds[name].once else _STATES + _OR_CHANGE
            yield Part(f"state_{name}", sql.format(table=kinds[name].table.name), rows[name])


def institution_of(row: Any) -> Institution:
    """A row of the table ``institutions``."""
    return Institution(row.id, row.kind, row.name, row.valid_from, row.valid_to)


async def lock(connection: AsyncConnection, names: Iterable[str]) -> dict[str, Head]:
    """Lock schemes against every other writer until the transaction ends; where each stands."""
    query = heads_of(names).with_for_update()
    return {row.scheme: head_of(row) for row in await connection.execute(query)}


def heads_of(names: Iterable[str]) -> Select[Any]:
    """Rows of the table ``schemes``, in order."""
    return select(schemes).where(schemes.c.scheme.in_(sorted(names))).order_by(schemes.c.scheme)


def head_of(row: Any) -> Head:
    """Where a scheme's row says that it stands."""
    known = row._mapping
    return Head(known["written"], known["position"], known["sha256"], known["rows"], known["rows_sha256"])


@dataclass
class UnitOfWork:
    """One message at work: who sent it, when it counts (``time`` is that as text), what it may read and change."""

    transaction: Transaction
    scheme: Scheme
    now: datetime
    sender: str
    sender_kind: str
    message_id: str
    correlation_id: str = ""
    traceparent: str | None = None

    def __post_init__(self) -> None:
        self.time = self.now.isoformat()

    async def reading(self) -> AsyncConnection:
        """A connection that sees all that was recorded before this message, for reads in ``queries.py``."""
        await self.transaction.flush()
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
        return await self.transaction.institution(self.scheme.id, identifier)

    async def record(self, events: Iterable[Event]) -> list[dict[str, str]]:
        """Evolve the state by these events and announce them; returns their ids and types, in order."""
        recorded, service, scheme = [], self.transaction.service, self.scheme.id
        for event in events:
            name, event_id, about = type(event).__name__, new_id(), event.about
            await self.transaction.evolve(scheme, event)
            payload = event_json(
                service,
                event_id,
                name,
                self.time,
                event.json_data(),
                subject=about,
                scheme=scheme,
                correlationid=event.case or self.correlation_id or about,
                causationid=self.message_id,
                schemeversion=self.scheme.version,
                traceparent=self.traceparent,
            )
            if len(payload) > MOST_BYTES // 4 and len(payload.encode()) > MOST_BYTES:
                raise ValueError(f"{name} is too large for the bus: {len(payload)} characters")
            subject = f"events.{scheme}.{service}.{name}"
            self.transaction.announcements.append(
                Announcement(event_id, scheme, EVENTS, subject, name, payload, event)
            )
            recorded.append({"id": event_id, "type": type_of(name)})
        return recorded
