"""An uploaded table from its first byte to its place in the queue, and what is shown of it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import IO, Any, Literal
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.auth.record import keep
from services.gateway.documents.files import Files, TooLarge
from services.gateway.documents.formats import LARGEST_BYTES
from services.gateway.documents.multipart import too_large
from services.gateway.documents.names import plain_name
from services.gateway.documents.refused import NotTaken
from services.gateway.queries.paging import page
from services.gateway.tables import upload_rows, uploads
from services.gateway.uploads.columns import NOTE, BadHeading
from services.gateway.uploads.sheets import read_headings, table
from services.gateway.uploads.work import REJECTED
from services.gateway.views import Page
from shared.contracts.registry import PARTNER_EVENTS
from shared.messaging.service import Service
from shared.scheme.refusals import Language, explain

KINDS = ("csv", "xlsx")
TABLES_AT_ONCE = 2
LINES_AT_ONCE = 500
_AT_ONCE = asyncio.Semaphore(TABLES_AT_ONCE)
_TURNS: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()


class UploadView(BaseModel):
    """How far an upload is: ``rows`` in all, of which so many were decided, by outcome."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    event: str
    institution: str
    name: str
    state: Literal["waiting", "running", "done"]
    rows: int
    accepted: int
    duplicate: int
    refused: int
    unreadable: int
    uploaded_at: datetime

    @property
    def decided(self) -> int:
        """How many rows were decided."""
        return self.accepted + self.duplicate + self.refused + self.unreadable


class UploadRowView(BaseModel):
    """What became of one line of a file; its event's receipt is found by ``event_id``."""

    model_config = ConfigDict(from_attributes=True)

    line: int
    event_id: str
    outcome: str
    rule: str | None
    detail: str | None


@asynccontextmanager
async def in_turn(caller: Caller) -> AsyncIterator[None]:
    """Wait until a table may be read or made: one at a time an institution, few at a time in all."""
    turn = _TURNS.setdefault((caller.scheme.id, caller.organisation), asyncio.Lock())
    async with turn, _AT_ONCE:
        yield


async def take(
    service: Service, caller: Caller, event: str, name: str, chunks: AsyncIterator[bytes], moment: datetime
) -> UploadView:
    """Take a table in: kept whole, then reported row by row in the background. Problem says why it is not taken."""
    if event not in PARTNER_EVENTS:
        raise Problem(404, "unknown", "event", {"name": event[:64]}, scheme=caller.scheme)
    if not caller.is_institution:
        raise Problem(403, "permission", "institutions_only", scheme=caller.scheme)
    needs(caller, event)
    files = Files.from_environment()
    try:
        name = plain_name(name)
        kind = name.rpartition(".")[2].lower()
        if kind not in KINDS:
            raise NotTaken("type", kind)
        received = await files.receive(chunks, LARGEST_BYTES)
    except TooLarge:
        raise too_large(LARGEST_BYTES) from None
    except NotTaken as error:
        raise _refused(caller, name, error) from None
    try:
        async with in_turn(caller):
            columns, rows = await asyncio.to_thread(read_headings, received.path, kind, event)
        await files.keep(received)
    except (NotTaken, BadHeading) as error:
        raise _refused(caller, name, error) from None
    finally:
        received.drop()
    now = service.clock.now()
    values = {
        "id": f"{now:%Y%m%d%H%M%S}-{secrets.token_hex(8)}", "scheme": caller.scheme.id,
        "institution": caller.organisation, "event": event, "name": name, "kind": kind, "sha256": received.sha256,
        "headings": [column.name for column in columns], "rows": rows, "moment": moment, "uploaded_at": now,
        "account": caller.account,
    }  # fmt: skip
    async with service.engine.begin() as connection:
        row = (await connection.execute(insert(uploads).values(values).returning(uploads))).one()
        await keep(connection, caller, now, "uploads.add", f"{event} {row.id}")
    return UploadView.model_validate(row)


def _refused(caller: Caller, name: str, error: NotTaken | BadHeading) -> Problem:
    if isinstance(error, BadHeading):
        return Problem(422, "upload", "heading", {"name": name, "heading": str(error)[:300]}, scheme=caller.scheme)
    reason = error.reason if error.reason in ("encrypted", "bomb", "macro") else "type"
    return Problem(422, "upload", reason, {"name": name}, scheme=caller.scheme)


async def upload_of(connection: AsyncConnection, caller: Caller, identifier: str) -> Row[Any]:
    """One of the caller's own uploads; Problem 404 for any other."""
    query = select(uploads).where(
        uploads.c.id == identifier, uploads.c.scheme == caller.scheme.id, uploads.c.institution == caller.organisation
    )
    row: Row[Any] | None = (await connection.execute(query)).one_or_none()
    if row is None:
        raise Problem(404, "unknown", "upload", {"id": identifier[:64]}, scheme=caller.scheme)
    return row


async def upload_list(connection: AsyncConnection, caller: Caller) -> list[UploadView]:
    """The caller's own uploads, the newest hundred."""
    query = select(uploads).where(uploads.c.scheme == caller.scheme.id, uploads.c.institution == caller.organisation)
    rows = await connection.execute(query.order_by(uploads.c.id.desc()).limit(100))
    return [UploadView.model_validate(row) for row in rows]


async def row_list(
    connection: AsyncConnection, upload: str, outcome: str | None, limit: int, cursor: str | None
) -> Page[UploadRowView]:
    """What became of the lines of an upload, in their order."""
    query = select(upload_rows).where(upload_rows.c.upload == upload)
    if outcome:
        query = query.where(upload_rows.c.outcome == outcome)
    return await page(connection, query, [upload_rows.c.line], UploadRowView.model_validate, limit, cursor)


async def errors_of(connection: AsyncConnection, caller: Caller, row: Row[Any], language: Language) -> IO[bytes]:
    """The rejected lines as they came, each with its rule and what to do: to be corrected and uploaded again.

    They go from the database into a file some at a time; the caller's turn (in_turn) is to be had before.
    """
    places = [place for place, heading in enumerate(row.headings) if heading != NOTE.name]
    heads = [*(row.headings[place] for place in places), "# line", "# rule", "# advice"]
    loop = asyncio.get_running_loop()

    def lines() -> Iterator[list[str]]:
        last = 0
        while found := asyncio.run_coroutine_threadsafe(_rejected(connection, row.id, last), loop).result():
            for one in found:
                told = one.detail or explain(
                    one.rule or "unreadable", "", {"key": one.event_id}, language, caller.scheme
                )
                cells = [one.cells[place] if place < len(one.cells) else "" for place in places]
                yield [*cells, str(one.line), one.rule or one.outcome, told]
            last = found[-1].line

    room = Files.from_environment().incoming
    return await asyncio.to_thread(table, room, row.event, row.kind, heads, lines())


async def _rejected(connection: AsyncConnection, upload: str, after: int) -> Sequence[Row[Any]]:
    query = select(upload_rows).where(
        upload_rows.c.upload == upload, upload_rows.c.line > after, upload_rows.c.outcome.in_(REJECTED)
    )
    return (await connection.execute(query.order_by(upload_rows.c.line).limit(LINES_AT_ONCE))).all()
