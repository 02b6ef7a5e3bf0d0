"""One moment of all databases: a snapshot of each, taken while no service can commit a decision."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import make_url

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection
LOCK_SECONDS = 2
TRIES = 15
_HEADS = """select scheme, version, position, encode(sha256, 'hex') as sha256, rows,
    encode(rows_sha256, 'hex') as rows_sha256 from schemes order by scheme"""


class BackupError(Exception):
    """What is wrong and what to do about it, in words."""


@dataclass
class Cut:
    """The snapshots by service, valid until the cut is closed, and what the databases say of themselves there.

    ``held_seconds`` is how long writers may have waited.
    """

    readers: Mapping[str, Connection]
    snapshots: dict[str, str] = field(default_factory=dict)
    held_seconds: float = 0.0

    async def description(self, service: str) -> dict[str, Any]:
        """Revision of the tables, and where each scheme's chains end."""
        reader = self.readers[service]
        rows = [dict(row) for row in await reader.fetch(_HEADS)]
        return {
            "revision": await reader.fetchval("select version_num from alembic_version"),
            "heads": {row.pop("scheme"): row for row in rows},
        }


async def connect(url: str) -> Connection:
    """A connection to a database; BackupError when it cannot be reached."""
    place = make_url(url)
    ssl = place.query.get("ssl")
    plain = place.set(drivername="postgresql", query={"sslmode": ssl} if ssl else {})
    try:
        return await asyncpg.connect(plain.render_as_string(hide_password=False), timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise BackupError(
            f"数据库无法连接。 The database {place.database} on {place.host} cannot be reached: {error}"
        ) from None


@asynccontextmanager
async def one_moment(urls: Mapping[str, str]) -> AsyncIterator[Cut]:
    """Snapshots of all databases between which nothing was decided, so that no effect is there without its cause.

    Every decision changes its scheme's row in ``schemes`` (statement.fence); the rows of all databases are locked while
    the snapshots are taken. The gateway's, which only follows, comes first.
    """
    opened: list[Connection] = []
    try:
        for url in (*urls.values(), *urls.values()):
            opened.append(await connect(url))
        cut = Cut(dict(zip(urls, opened, strict=False)))
        fences = opened[len(urls) :]
        for tries in range(1, TRIES + 1):
            try:
                await _take(cut, fences)
                break
            except asyncpg.LockNotAvailableError:
                if tries == TRIES:
                    raise BackupError(
                        "一直有事务占用方案记录，未能备份。 Some transaction keeps a scheme's row locked; nothing was "
                        "written. Look for it in pg_stat_activity, or try again later."
                    ) from None
                await asyncio.sleep(0.5)
        yield cut
    finally:
        for connection in opened:
            connection.terminate()


async def _take(cut: Cut, fences: list[Connection]) -> None:
    for reader in cut.readers.values():
        if reader.is_in_transaction():  # it was tried before
            await reader.execute("rollback")
        await reader.execute("set idle_in_transaction_session_timeout = 0")
        await reader.execute("begin isolation level repeatable read, read only")
    for fence in fences:
        await fence.execute(f"begin; set local lock_timeout = '{LOCK_SECONDS}s'")
    began = time.monotonic()
    try:
        results = await asyncio.gather(
            *(fence.execute("select 1 from schemes order by scheme for update") for fence in fences),
            return_exceptions=True,
        )
        if error := next((one for one in results if isinstance(one, BaseException)), None):
            raise error
        for service in sorted(cut.readers, key=lambda name: name != "gateway"):
            cut.snapshots[service] = await cut.readers[service].fetchval("select pg_export_snapshot()")
    finally:
        await asyncio.gather(*(fence.execute("rollback") for fence in fences), return_exceptions=True)
        cut.held_seconds = time.monotonic() - began
