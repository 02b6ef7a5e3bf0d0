"""The inbox: a batch becomes one transaction; a bad message is found by doing it again one by one, and parked."""

import asyncio
import logging
import random
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nats.aio.msg import Msg
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database import is_outage
from shared.messaging.envelope import printable
from shared.messaging.holding import Held
from shared.messaging.incoming import Incoming, MismatchedBody, OutOfTurn, Unreadable
from shared.messaging.owners import NoOwner, Owners, packed, partition_of
from shared.messaging.spans import under_header, under_spans
from shared.messaging.tables import attempts, inbox, parked
from shared.messaging.unit_of_work import NotYet, Transaction, lock
from shared.messaging.writer import Work, Writer
from shared.observability import traces
from shared.observability.figures import HANDLING, REDELIVERED, count

log = logging.getLogger("riskpool.intake")
MAX_ATTEMPTS = 6
MAX_WAITS = 60
BACKOFF_SECONDS = (0.1, 0.3, 1.0, 2.0, 5.0)
PARKED_BYTES = 256 * 1024 * 1024  # of an institution and not settled: as much as its stream holds
ROOM_SECONDS = 5.0
FULL_SECONDS = 20.0  # that much later it is looked at again
_SIZE = func.octet_length(parked.c.body) + func.octet_length(parked.c.trace) + func.pg_column_size(parked.c.headers)

# Not Core's insert() of many values, which is compiled anew for every batch: a third of what a batch costs.
_TAKE = """insert into inbox (consumer, source, message_id, body_sha256)
    select $1, * from unnest($2::text[], $3::text[], $4::bytea[])
    on conflict do nothing returning source, message_id"""

Handle = Callable[[Transaction, Incoming], Awaitable[str]]
InTurn = Callable[[AsyncConnection, Sequence[Incoming]], Awaitable[Sequence[Incoming]]]
Read = Callable[[Msg], Incoming]


@dataclass
class Intake:
    """Takes batches for one durable consumer; ``handle`` does one message and says its outcome, empty when none.

    With a ``writer`` messages are decided and written by it, or by the writer of the replica that ``owners`` names;
    without one each batch is a transaction of its own, whose state ``begin`` opens, for handlers that write tables of
    their own. ``taken`` is told what was committed. ``in_turn`` says which of a batch may be taken now and notes that
    they were: the rest is held until what was recorded before them comes.
    """

    engine: AsyncEngine
    consumer: str
    read: Read
    handle: Handle
    begin: Callable[[AsyncConnection], Transaction]
    writer: Writer | None = None
    owners: Owners | None = None
    answer_unreadable: Handle | None = None
    taken: Callable[[Incoming], None] | None = None
    in_turn: InTurn | None = None
    kind: str = "event"
    waits: dict[tuple[str, str], int] = field(default_factory=dict)
    held: Held = field(default_factory=Held)
    open_bytes: dict[str, tuple[float, int]] = field(default_factory=dict)

    async def take(self, raws: Sequence[Msg]) -> None:
        """Handle a batch: ack after commit; on an outage give everything back, slowly; lose nothing."""
        batch = [self.read_one(raw) for raw in raws]
        if raws:
            again = sum(raw.metadata.num_delivered > 1 for raw in raws)
            REDELIVERED.labels(raws[0].metadata.stream).inc(again)
        if self.in_turn is None:
            await self._take(batch)
            return
        async with self.held.turn:
            await self._take(self.held.with_held(batch))
        self.held.later(self.take)

    async def _take(self, batch: Sequence[Incoming]) -> None:
        began = time.monotonic()
        batch, spans = under_spans(batch, self.kind) if traces.on() else (batch, [])
        try:
            errors = await (self._by_writer(batch) if self.writer else self.decide_in_transaction(batch))
            for one, error in zip(batch, errors, strict=True):
                if error is None:
                    await one.raw.ack()
                    self.held.forget(one)
                    if self.taken:
                        self.taken(one)
                elif isinstance(error, OutOfTurn):
                    self.held.hold(one)
                else:
                    await self._failed(one, error)
            for span, error in zip(spans, errors, strict=False):
                span.end(repr(error) if error else "")
            HANDLING.labels(self.kind).observe(time.monotonic() - began)
        except Exception as error:
            log.warning(
                "given back", extra={"consumer": self.consumer, "count": len(batch), "error": repr(error)[:300]}
            )
            for span in spans:
                span.end(repr(error))
            await asyncio.gather(*(self._give_back(one, 1) for one in batch if not one.raw.is_acked))

    def read_one(self, raw: Msg) -> Incoming:
        """A message off the bus, whatever it is."""
        try:
            one = self.read(raw)
            return under_header(one) if traces.on() else one
        except Exception as error:
            meta = raw.metadata
            return Incoming(raw, meta.stream, f"{meta.stream}:{meta.sequence.stream}", "", "", error=repr(error)[:300])

    async def _by_writer(self, batch: Sequence[Incoming]) -> list[Exception | None]:
        """What became of each: schemes of another replica are handed over to it."""
        own: list[Incoming] = []
        foreign: dict[int, list[Incoming]] = {}
        for one in batch:
            is_own = self.owners is None or not one.scheme or self.owners.own(one.scheme)
            (own if is_own else foreign.setdefault(partition_of(one.scheme), [])).append(one)
        if not foreign:
            return await self.decide(own)
        outcomes = await asyncio.gather(self.decide(own), *map(self._hand_over, foreign.values()))
        parts = (own, *foreign.values())
        pairs = (pair for part, errors in zip(parts, outcomes, strict=True) for pair in zip(part, errors, strict=True))
        found = {id(one): error for one, error in pairs}
        return [found[id(one)] for one in batch]

    async def decide(self, batch: Sequence[Incoming]) -> list[Exception | None]:
        """Let this replica's writer decide and write; what became of each."""
        assert self.writer is not None
        works = [self._work(one) for one in batch]
        await self.writer.do(works)
        pairs = zip(batch, works, strict=True)
        self._count((one, "repeated" if work.repeated else work.result) for one, work in pairs if not work.error)
        return [self._outcome(one, work) for one, work in zip(batch, works, strict=True)]

    def _count(self, done: Iterable[tuple[Incoming, str]]) -> None:
        """Count what is committed, once a batch."""
        count(self.kind, Counter((one.label, outcome) for one, outcome in done if outcome))

    async def _hand_over(self, part: Sequence[Incoming]) -> list[Exception | None]:
        assert self.owners is not None
        request = {"consumer": self.consumer, "messages": [packed(one.raw) for one in part]}
        try:
            return [_told(outcome) for outcome in await self.owners.hand_over(part[0].scheme, request)]
        except NoOwner:
            return await self.decide(part)

    def _work(self, one: Incoming) -> Work:
        async def run(transaction: Transaction) -> str:
            if one.error:
                raise Unreadable(one.error)
            return await self.handle(transaction, one)

        return Work(one.scheme, (self.consumer, one.source, one.id), one.body_sha256, run, one.message)

    def _outcome(self, one: Incoming, work: Work) -> Exception | None:
        if work.error or not work.repeated or not one.institution or work.repeated.sha256 == one.body_sha256:
            return work.error
        return MismatchedBody(f"event id {one.id!r} was used before with another body")

    async def decide_in_transaction(self, batch: Sequence[Incoming]) -> list[Exception | None]:
        """Handle a batch in one transaction, or one by one when that fails; what became of each."""
        try:
            return await self._transaction(batch)
        except Exception as error:
            if is_outage(error):
                raise
            return [await self._alone(one) for one in batch]

    async def _alone(self, one: Incoming) -> Exception | None:
        try:
            return (await self._transaction([one]))[0]
        except Exception as error:
            return error

    async def _failed(self, one: Incoming, error: Exception) -> None:
        if is_outage(error):
            await self._give_back(one, 1)
            return
        if isinstance(error, NotYet) and self._still_waits(one):
            await self._give_back(one, self.waits[one.source, one.id] // 4)
            return
        tries = MAX_ATTEMPTS if isinstance(error, Unreadable | MismatchedBody | NotYet) else await self._tries(one)
        if tries < MAX_ATTEMPTS:
            log.warning("failed, will be tried again", exc_info=error, extra={"consumer": self.consumer, **one.ids})
            await self._give_back(one, tries)
            return
        if one.institution and not await self._has_room(one):
            await self._nak(one, FULL_SECONDS)
            return
        await self._park(one, error)
        await one.raw.ack()
        self.held.forget(one)

    def _still_waits(self, one: Incoming) -> bool:
        count = self.waits[one.source, one.id] = self.waits.get((one.source, one.id), 0) + 1
        return count < MAX_WAITS

    async def _transaction(self, batch: Sequence[Incoming]) -> list[Exception | None]:
        done: list[tuple[Incoming, str]] = []
        async with self.engine.begin() as connection:
            transaction = self.begin(connection)
            transaction.heads |= await lock(connection, {one.scheme for one in batch if one.scheme})
            ready = await self.in_turn(connection, batch) if self.in_turn else batch
            for one in await self._fresh(connection, ready, done) if ready else ():
                if one.error:
                    raise Unreadable(one.error)
                done.append((one, await self.handle(transaction, one)))
            await transaction.flush()
        self._count(done)
        taken = set(map(id, ready))
        return [None if id(one) in taken else OutOfTurn() for one in batch]

    async def _fresh(
        self, connection: AsyncConnection, batch: Sequence[Incoming], done: list[tuple[Incoming, str]]
    ) -> list[Incoming]:
        """The messages not taken before, each once; an id taken before with another body is an error."""
        rows = {(one.source, one.id): one.body_sha256 for one in reversed(batch)}
        sources, ids = map(list, zip(*sorted(rows), strict=True))
        digests = [digest for _, digest in sorted(rows.items())]
        written = await connection.exec_driver_sql(_TAKE, (self.consumer, sources, ids, digests))
        new = {(row.source, row.message_id) for row in written}
        fresh: list[Incoming] = []
        for one in batch:
            place = (one.source, one.id)
            if place in new:
                new.discard(place)
                fresh.append(one)
                continue
            done.append((one, "repeated"))
            if one.institution and await self._body_of(connection, one) != one.body_sha256:
                raise MismatchedBody(f"event id {one.id!r} was used before with another body")
        return fresh

    async def _body_of(self, connection: AsyncConnection, one: Incoming) -> bytes:
        query = select(inbox.c.body_sha256).where(
            inbox.c.consumer == self.consumer, inbox.c.source == one.source, inbox.c.message_id == one.id
        )
        return bytes((await connection.execute(query)).scalar_one())

    async def _tries(self, one: Incoming) -> int:
        async with self.engine.begin() as connection:
            write = insert(attempts).values(consumer=self.consumer, source=one.source, message_id=one.id, count=1)
            more = write.on_conflict_do_update(
                index_elements=["consumer", "source", "message_id"], set_={"count": attempts.c.count + 1}
            ).returning(attempts.c.count)
            return int((await connection.execute(more)).scalar_one())

    async def _has_room(self, one: Incoming) -> bool:
        """Whether one more message of an institution may be parked; else it waits in the stream, which is bounded."""
        stream = one.raw.metadata.stream
        counted, size = self.open_bytes.get(stream, (-ROOM_SECONDS, 0))
        if time.monotonic() - counted >= ROOM_SECONDS:
            query = select(func.coalesce(func.sum(_SIZE), 0))
            query = query.where(parked.c.stream == stream, parked.c.settled_at.is_(None))
            async with self.engine.connect() as connection:
                counted, size = time.monotonic(), int((await connection.execute(query)).scalar_one())
            if size >= PARKED_BYTES:
                log.error("too much is parked, the institution waits", extra={"stream": stream, "bytes": size})
        self.open_bytes[stream] = counted, size + len(one.raw.data)
        return size < PARKED_BYTES

    async def _park(self, one: Incoming, error: Exception) -> None:
        """Keep the bytes, the error and the trace; answer a partner ``unreadable``; only then is the message acked."""
        mismatch = isinstance(error, MismatchedBody)
        async with self.engine.begin() as connection:
            meta = one.raw.metadata
            row: dict[str, Any] = {
                "consumer": self.consumer,
                "stream": meta.stream,
                "stream_seq": meta.sequence.stream,
                "message_id": one.id,
                "subject": printable(one.raw.subject, 2000),
                "body": one.raw.data,
                "headers": {printable(k, 200): printable(v, 2000) for k, v in (one.raw.headers or {}).items()},
                "error": printable(f"{type(error).__name__}: {error}", 2000),
                "trace": "".join(traceback.format_exception(error))[-8000:]
                .encode(errors="replace")
                .decode()
                .replace("\0", ""),
            }
            await connection.execute(insert(parked).values(row).on_conflict_do_nothing())
            if self.in_turn:  # nothing waits for what was parked
                await self.in_turn(connection, [replace(one, overdue=True)])
            if self.answer_unreadable and not mismatch:
                mark = {
                    "consumer": self.consumer,
                    "source": one.source,
                    "message_id": one.id,
                    "body_sha256": one.body_sha256,
                }
                write = insert(inbox).values(mark).on_conflict_do_nothing().returning(inbox.c.message_id)
                if (await connection.execute(write)).one_or_none():  # else another replica answered meanwhile
                    transaction = self.begin(connection)
                    await self.answer_unreadable(transaction, one)
                    await transaction.flush()
        self._count([(one, "parked")])
        log.error(
            "parked", extra={"consumer": self.consumer, **one.ids, "subject": row["subject"], "error": row["error"]}
        )

    async def _give_back(self, one: Incoming, count: int) -> None:
        await self._nak(one, BACKOFF_SECONDS[min(count, len(BACKOFF_SECONDS)) - 1 if count else 0])

    async def _nak(self, one: Incoming, delay: float) -> None:
        try:
            await one.raw.nak(delay=delay * random.uniform(0.8, 1.2))
        except Exception as error:
            log.debug("the server will deliver it again by itself", extra={"error": repr(error)[:200]})


_KINDS: tuple[type[Exception], ...] = (Unreadable, MismatchedBody, NotYet, ConnectionError)


def telling(error: Exception | None) -> list[str] | None:
    """What became of a message, as another replica is told it: nothing, or its kind of error and the text."""
    if error is None:
        return None
    kind = ConnectionError if is_outage(error) else type(error)
    return [kind.__name__, str(error) if kind in _KINDS else "".join(traceback.format_exception(error))[-4000:]]


def _told(outcome: list[str] | None) -> Exception | None:
    if outcome is None:
        return None
    name, text = outcome
    return next((kind(text) for kind in _KINDS if kind.__name__ == name), RuntimeError(text))
