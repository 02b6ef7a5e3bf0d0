"""A history written into the pool's database: everything by COPY in one transaction, or nothing."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from riskpool.history.deciding import Deciding
from riskpool.history.rows import Fact, File, Told
from services.pool import tables
from shared.messaging.statement import Part, fence, write
from shared.messaging.tables import inbox, outbox, schemes
from shared.messaging.unit_of_work import INBOX, heads_of
from shared.scheme.loader import Scheme

CONSUMER = "import-history"
AT_ONCE = 2000
COPIED = {
    "outbox": ("event_id", "scheme", "stream", "subject", "name", "payload", "recorded_at", "position", "sha256"),
    "journal": tuple(column.name for column in tables.journal.columns),
}


class Refused(Exception):
    """The fund cannot take a history; the words say why and what to do."""


class AlreadyThere(Exception):
    """This very file was imported before."""


async def may_begin(engine: AsyncEngine, scheme: str, digest: bytes) -> int:
    """How far the scheme is written, when a history may be imported; AlreadyThere or Refused when not."""
    async with engine.connect() as connection:
        row = (await connection.execute(select(schemes).where(schemes.c.scheme == scheme))).one_or_none()
        if row is None:
            raise Refused(f"the pool serves no scheme {scheme!r}: start it with its file first")
        known = select(inbox.c.body_sha256).where(inbox.c.consumer == CONSUMER, inbox.c.source == scheme)
        before = (await connection.execute(known)).scalar_one_or_none()
        if before is not None and bytes(before) == digest:
            raise AlreadyThere
        events = select(outbox.c.id).where(outbox.c.scheme == scheme, outbox.c.stream == "EVENTS").limit(1)
        if row.position or (await connection.execute(events)).first():
            words = "a history is imported into an empty one only"
            raise Refused(f"the fund of {scheme!r} has {row.position} events already: {words}")
        return int(row.written)


async def write_history(
    engine: AsyncEngine, scheme: Scheme, path: Path, digest: bytes, written: int, told: Told
) -> int:
    """Decide a file that was found good once more, and write what follows; the number of events.

    ``written`` is what ``may_begin`` said: if anybody wrote the fund since, or the file is another, nothing is written.
    """
    deciding, file = Deciding(scheme, name_of(digest)), File(path, told)
    memory, count = deciding.memory, 0
    async with engine.begin() as connection:
        [row] = await connection.execute(heads_of([scheme.id]))  # it also begins the transaction that COPY writes in
        if (row.written, row.position) != (written, 0):
            raise Refused(f"somebody wrote the fund of {scheme.id!r} meanwhile: nothing is written, begin again")
        for fact in file.facts():
            if not isinstance(fact, Fact) or await deciding.decide(fact):
                raise Refused(f"{path} changed while it was read: nothing is written, begin again")
            if len(memory.announcements) >= AT_ONCE:
                count += len(memory.announcements)
                await _copy(connection, memory.take())
        count += len(memory.announcements)
        await _copy(connection, memory.take())
        if file.sha256 != digest:
            raise Refused(f"{path} changed while it was read: nothing is written, begin again")
        for aggregate, rows in memory.finished().items():
            await _copy_rows(connection, aggregate.table.name, ("scheme", "key", "version", "doc"), rows)
        memory.heads[scheme.id].written = written
        taken = Part("inbox", INBOX, [(CONSUMER, scheme.id, name_of(digest), digest)])
        await write(connection, [fence(memory.heads), taken])
    return count


def name_of(digest: bytes) -> str:
    """What the messages of a file are numbered under."""
    return f"history-{digest.hex()[:16]}"


def digest_of(path: Path) -> bytes:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return _hash(file)


def _hash(file: Any) -> bytes:
    found = sha256()
    while part := file.read(1 << 20):
        found.update(part)
    return found.digest()


async def _copy(connection: AsyncConnection, parts: Sequence[Part]) -> None:
    for part in parts:
        if part.name in COPIED:
            await _copy_rows(connection, part.name, COPIED[part.name], part.rows)
    await write(connection, [part for part in parts if part.name not in COPIED])


async def _copy_rows(
    connection: AsyncConnection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    assert driver.is_in_transaction()
    await driver.copy_records_to_table(table, columns=columns, records=rows)
