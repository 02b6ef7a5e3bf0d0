"""The writer: one task of a service decides every message on states in memory, and writes whole batches at once.

No message waits for a timer: a batch is what has come in while the one before it was being written. Reads go straight
to the database, outside any transaction, because nobody else writes these schemes; if somebody does, the fence of
``schemes.written`` refuses the whole batch, and it is decided again on what the database says (decisions/0011).
"""

import asyncio
import json
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.aggregates import Aggregate
from shared.contracts.base import Message, Shape
from shared.database import is_outage
from shared.messaging.statement import Part, write
from shared.messaging.tables import answers, inbox, institutions
from shared.messaging.unit_of_work import (
    ANSWERS,
    INBOX,
    Institution,
    Place,
    Rows,
    Transaction,
    head_of,
    heads_of,
    institution_of,
)

log = logging.getLogger("riskpool.writer")
S = TypeVar("S", bound=Shape)
MOST_AT_ONCE = 1000
MOST_STATES = 50_000
MOST_RECENT = 20_000
TRIES = 8


@dataclass
class Work:
    """One message to decide: ``run`` decides and records it; ``key`` is its row of ``inbox`` or ``answers``.

    ``message`` tells what can be read for it beforehand.

    Afterwards ``error`` says why nothing was done, or ``repeated`` holds the row that was written under ``key`` before,
    or ``result`` is what ``run`` gave back, and all of it is committed.
    """

    scheme: str
    key: tuple[str, str, str]
    sha256: bytes
    run: Callable[[Transaction], Awaitable[Any]]
    message: Message | None = None
    is_command: bool = False
    result: Any = None
    error: Exception | None = None
    repeated: "Kept | None" = None
    group: "_Group | None" = None


class Kept(NamedTuple):
    """What was kept of a message that was taken before: its hash and, of a command, its answer."""

    sha256: bytes
    answer: Any = None


@dataclass
class _Group:
    """Works that somebody waits for together."""

    left: int
    done: asyncio.Future[None]


class Missing(Exception):
    """A state is not in memory: the message is begun again once it has been read."""


class _Again(Exception):
    """A write failed: everything that is not settled is decided again."""


class Memory(Transaction):
    """The states that a writer keeps, and what its batch will write."""

    def __init__(
        self, service: str, aggregates: tuple[Aggregate[Any], ...], rows: Callable[[], Rows] | None, writer: "Writer"
    ) -> None:
        super().__init__(None, service, aggregates, rows)  # type: ignore[arg-type]
        self._writer = writer
        self.missing: dict[Aggregate[Any], set[Place]] = {}
        self.agreed: dict[tuple[str, str], Institution] = {}
        self.undo: dict[Place, tuple[Any, bool]] = {}
        self.before = 0, 0

    async def _fetch(self, aggregate: Aggregate[S], places: Sequence[Place]) -> None:
        self.missing.setdefault(aggregate, set()).update(places)
        raise Missing

    async def prepare(self, works: Sequence["Work"]) -> None:
        """Read what these works say that they will ask for, and what is not in memory."""
        for aggregate in self.aggregates:
            if reads := aggregate.reads:
                named = ((work.scheme, key) for work in works if work.message for key in reads(work.message))
                if places := {(aggregate.name, *one) for one in named}.difference(self.states):
                    self.missing[aggregate] = places
        if self.missing:
            await self.fetch_missing()

    async def fetch_missing(self) -> None:
        """Read every state that was asked for."""
        self.connection = await self._writer.connection()
        for aggregate, places in self.missing.items():
            await super()._fetch(aggregate, sorted(places))
        self.missing = {}

    async def select(self, scheme: str, aggregate: Aggregate[S], where: Iterable[ColumnElement[bool]]) -> list[S]:
        """All things of a kind that match, once everything decided before this message is written."""
        await self.flush()
        return await self._select(scheme, aggregate, where)

    async def institution(self, scheme: str, identifier: str) -> Institution | None:
        """An institution by id, or None."""
        return self.agreed.get((scheme, identifier))

    async def evolve(self, scheme: str, event: Any) -> None:
        """Change every thing that the event changes; what it was is kept until the message is through."""
        for aggregate in self.aggregates:
            for key in aggregate.keys(event):
                place = (aggregate.name, scheme, key)
                if place not in self.states:
                    await self._fetch(aggregate, [place])
                before = self.states[place]
                state = aggregate.evolve(before, event)
                if state is not None:
                    self.undo.setdefault(place, (before, place in self.changed))
                    self.states[place], self.changed[place] = state, aggregate

    async def flush(self) -> None:
        """Write what was decided before this message, in a transaction of its own."""
        await self._writer.flush()
        self.before = 0, 0
        self.connection = await self._writer.connection()

    async def attempt(self, run: Callable[[Transaction], Awaitable[Any]]) -> Any:
        """Let a message decide and record: all of it stands, or nothing."""
        self.before = len(self.announcements), len(self.signed)
        self.undo = {}
        try:
            result = await run(self)
        except BaseException:
            for place, (before, was_changed) in self.undo.items():
                self.states[place] = before
                if not was_changed:
                    del self.changed[place]
            del self.announcements[self.before[0] :], self.signed[self.before[1] :]
            raise
        for scheme, one in self.signed[self.before[1] :]:
            self.agreed[scheme, one.id] = one
        return result

    def forget(self) -> None:
        """Know nothing any more: the database is asked again."""
        for known in (self.states, self.changed, self.heads, self.agreed, self.missing):
            known.clear()
        self.announcements, self.signed = [], []


@dataclass
class Writer:
    """The one who writes a service's schemes; ``run`` is its task."""

    engine: AsyncEngine
    service: str
    aggregates: tuple[Aggregate[Any], ...] = ()
    rows: Callable[[], Rows] | None = None
    _queues: dict[str, deque[Work]] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _recent: dict[tuple[bool, tuple[str, str, str]], Kept] = field(default_factory=dict)
    _decided: list[Work] = field(default_factory=list)
    _writing: "asyncio.Task[None] | None" = None
    _at_write: list[Work] = field(default_factory=list)
    _connections: dict[str, AsyncConnection] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = Memory(self.service, self.aggregates, self.rows, self)

    async def do(self, works: Sequence[Work]) -> None:
        """Have works decided and written, those of one scheme in order; returns when each is settled."""
        if not works:
            return
        group = _Group(len(works), asyncio.get_running_loop().create_future())
        for work in works:
            work.group = group
            self._queues.setdefault(work.scheme, deque()).append(work)
        self._news.set()
        await group.done

    async def run(self) -> None:
        """Decide and write, for ever; while one batch is being written the next is decided."""
        taken: list[Work] = []
        try:
            while True:
                taken = await self._next()
                try:
                    await self._decide(taken)
                    await self._written()
                    self._begin_writing()
                    await self._make_room()
                except _Again as failure:
                    await self._carefully(failure, taken)
        finally:
            if self._writing:
                await asyncio.gather(self._writing, return_exceptions=True)
                self._settle_if_written()
            waiting = [work for queue in self._queues.values() for work in queue]
            for work in (*self._at_write, *taken, *waiting):
                self._settle(work, ConnectionError("the service is ending"))
            await self._disconnect()

    async def _next(self) -> list[Work]:
        """What waits, an equal share of each scheme: a flooded one does not keep the others waiting."""
        while not self._queues:
            self._news.clear()
            if self._writing:
                waiting = asyncio.create_task(self._news.wait())
                await asyncio.wait((waiting, self._writing), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if self._writing.done():
                    return []
            else:
                await self._news.wait()
        share = max(MOST_AT_ONCE // len(self._queues), 1)
        taken: list[Work] = []
        for scheme in list(self._queues)[:MOST_AT_ONCE]:
            queue = self._queues.pop(scheme)
            taken += (queue.popleft() for _ in range(min(share, len(queue))))
            if queue:
                self._queues[scheme] = queue  # behind the others
        return taken

    # -- deciding ------------------------------------------------------------------------------------------------

    async def _decide(self, works: Sequence[Work]) -> None:
        """Decide works in order, what they say that they will read having been read for all of them together."""
        try:
            await self._open({work.scheme for work in works} - self.memory.heads.keys())
            await self.memory.prepare(works)
            for work in works:
                while not await self._decide_one(work):
                    await self.memory.fetch_missing()
        except (DBAPIError, OSError, TimeoutError) as error:
            raise _Again from error

    async def _open(self, schemes: set[str]) -> None:
        """Read where schemes stand, and who has an agreement in them."""
        if not schemes:
            return
        connection = await self.connection()
        for row in await connection.execute(heads_of(schemes)):
            self.memory.heads[row.scheme] = head_of(row)
        for row in await connection.execute(select(institutions).where(institutions.c.scheme.in_(schemes))):
            self.memory.agreed[row.scheme, row.id] = institution_of(row)

    async def _decide_one(self, work: Work) -> bool:
        """Whether a work is decided; if not, something has to be read for it."""
        work.repeated = self._recent.get((work.is_command, work.key))
        if work.repeated is None:
            try:
                work.result = await self.memory.attempt(work.run)
            except Missing:
                return False
            except _Again:
                raise
            except Exception as error:
                if is_outage(error):
                    raise _Again from error  # all that follow wait, so that none overtakes it
                work.error = error
            else:
                answer = work.result if work.is_command else None
                self._recent[work.is_command, work.key] = Kept(work.sha256, answer)
        self._decided.append(work)
        return True

    # -- writing -------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Write all that is decided, before a message reads from the database."""
        await self._written()
        self._begin_writing()
        await self._written()

    async def _make_room(self) -> None:
        """Forget what can be read again, when it has become too much."""
        if len(self._recent) > MOST_RECENT:
            self._recent.clear()
        if len(self.memory.states) > MOST_STATES:
            await self._written()
            self.memory.states.clear()

    def _begin_writing(self) -> None:
        """Send what is decided on its way; from here its messages count as decided before all that follow."""
        if not self._decided:
            return
        works, self._decided = self._decided, []
        new = [work for work in works if work.error is None and work.repeated is None]
        decided = {work.scheme for work in works if work.repeated is None}  # also in vain: on old states perhaps
        parts = [
            *self.memory.parts(decided),
            Part("inbox", INBOX, [(*work.key, work.sha256) for work in new if not work.is_command]),
            Part("answers", ANSWERS, [(*work.key, work.sha256, *_answer(work)) for work in new if work.is_command]),
        ]
        self._at_write = works
        self._writing = asyncio.create_task(self._write(parts), name="write")

    async def _write(self, parts: Sequence[Part]) -> None:
        await write(await self.connection("write"), parts)

    async def _written(self) -> None:
        """Wait until the batch at work is committed, and settle it; _Again when it could not be."""
        if self._writing is None:
            return
        await asyncio.wait((self._writing,))
        self._settle_if_written()
        if self._at_write:
            assert self._writing is not None
            raise _Again from self._writing.exception()
        self._writing = None

    def _settle_if_written(self) -> None:
        writing = self._writing
        if writing is not None and writing.done() and not writing.cancelled() and writing.exception() is None:
            for work in self._at_write:
                self._settle(work, work.error)
            self._at_write = []

    def _settle(self, work: Work, error: Exception | None) -> None:
        group, work.group = work.group, None
        if group is None:
            return
        work.error = error
        group.left -= 1
        if not group.left and not group.done.done():
            group.done.set_result(None)

    # -- when a write failed -------------------------------------------------------------------------------------

    async def _carefully(self, failure: _Again, taken: Sequence[Work]) -> None:
        """Do again all that is not settled; in the end one by one, so that only a bad one fails."""
        error = failure.__cause__
        unsettled = {id(work): work for work in (*self._at_write, *self._decided, *taken) if work.group is not None}
        works = list(unsettled.values())
        log.warning("written again", extra={"works": len(works), "error": repr(error)[:300]})
        for tries in range(TRIES):
            if not works or _is_bad(error):
                break
            await asyncio.sleep(tries * random.uniform(0, 0.02))  # another writer may be at the same
            works, error = await self._again(works)
        if works and _is_bad(error):
            for work in works:
                left, error = await self._again([work])
                for one in left:
                    self._settle(one, _exception(error))
            return
        for work in works:
            self._settle(work, _exception(error))

    async def _again(self, works: Sequence[Work]) -> tuple[list[Work], BaseException | None]:
        """Forget everything, and decide and write these; what is left of them, and why."""
        self._forget()
        try:
            todo = await self._not_known(works)
            for work in todo:
                work.error = work.repeated = None
            await self._decide(todo)
            await self.flush()
        except _Again as failure:
            await self._disconnect()
            return [work for work in works if work.group is not None], failure.__cause__
        except Exception as error:
            await self._disconnect()
            return [work for work in works if work.group is not None], error
        return [], None

    async def _not_known(self, works: Sequence[Work]) -> list[Work]:
        """Settle what was taken before."""
        connection = await self.connection()
        commands = [work.key for work in works if work.is_command]
        messages = [work.key for work in works if not work.is_command]
        known: dict[tuple[bool, tuple[str, str, str]], Kept] = {}
        if messages:
            columns = (inbox.c.consumer, inbox.c.source, inbox.c.message_id)
            for row in await connection.execute(select(inbox).where(tuple_(*columns).in_(messages))):
                known[False, (row.consumer, row.source, row.message_id)] = Kept(bytes(row.body_sha256))
        if commands:
            columns = (answers.c.scheme, answers.c.organisation, answers.c.key)
            for row in await connection.execute(select(answers).where(tuple_(*columns).in_(commands))):
                answer = {"status": row.status, "body": row.body}
                known[True, (row.scheme, row.organisation, row.key)] = Kept(bytes(row.body_sha256), answer)
        left = []
        for work in works:
            work.repeated = known.get((work.is_command, work.key))
            if work.repeated is None:
                left.append(work)
            else:
                self._settle(work, None)
        return left

    def _forget(self) -> None:
        self.memory.forget()
        self._recent.clear()
        self._decided, self._at_write, self._writing = [], [], None

    async def connection(self, use: str = "read") -> AsyncConnection:
        """One of the writer's own two connections, every statement a transaction of its own."""
        known = self._connections.get(use)
        if known is None or known.closed or known.invalidated:
            connection = await self.engine.connect()
            known = self._connections[use] = await connection.execution_options(isolation_level="AUTOCOMMIT")
        return known

    async def _disconnect(self) -> None:
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            try:
                await connection.close()
            except Exception as error:
                log.debug("closing", extra={"error": repr(error)[:200]})


def _answer(work: Work) -> tuple[int, str]:
    return work.result["status"], json.dumps(work.result["body"], default=str)


def _is_bad(error: BaseException | None) -> bool:
    """Whether a write failed because of what was to be written, and not because of another writer or an outage."""
    broken = getattr(getattr(getattr(error, "orig", None), "__cause__", None), "constraint_name", None) or ""
    return not (error is None or is_outage(error) or broken.endswith("_pkey"))


def _exception(error: BaseException | None) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError("it could not be written")
