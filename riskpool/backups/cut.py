"""All databases as of one moment: no effect without its cause, though five databases are read and everything runs.

An event is committed by its service before anybody can take it. So while the fences of all deciding services are held,
what is committed holds every cause of every effect; snapshots are taken then, and writers wait for that moment only.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import make_url

from riskpool.servers import postgres_binaries
from riskpool.supervisor import StackError

LOCK = "set local lock_timeout = '10s'; select 1 from schemes order by scheme for update"
HEADS = "select scheme, version, position, encode(sha256, 'hex') as sha256, rows from schemes order by scheme"


@dataclass(frozen=True)
class Cut:
    """A snapshot of each database, valid while the cut is held; ``waited`` is how many seconds writers had to wait."""

    snapshots: dict[str, str]
    heads: dict[str, list[dict[str, Any]]]
    waited: float


@contextlib.asynccontextmanager
async def one_cut(urls: Mapping[str, str]) -> AsyncIterator[Cut]:
    """Hold a cut through databases (name: the owner's address); the gateway decides nothing and is only read."""
    async with contextlib.AsyncExitStack() as connections:
        readers = {name: await _connected(connections, url) for name, url in urls.items()}
        fences = [await _connected(connections, url) for name, url in sorted(urls.items()) if name != "gateway"]
        begun = time.monotonic()
        for fence in fences:
            await fence.execute("begin")
            await fence.execute(LOCK)
        snapshots = {}
        for name, reader in readers.items():
            await reader.execute("begin isolation level repeatable read read only")
            snapshots[name] = str(await reader.fetchval("select pg_export_snapshot()"))
        for fence in fences:
            await fence.execute("rollback")
        waited = time.monotonic() - begun
        heads = {name: [dict(row) for row in await reader.fetch(HEADS)] for name, reader in readers.items()}
        yield Cut(snapshots, heads, waited)


async def _connected(connections: contextlib.AsyncExitStack, url: str) -> "asyncpg.Connection[asyncpg.Record]":
    connection = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(False), ssl=False)
    connections.push_async_callback(connection.close)
    return connection


def dump(url: str, snapshot: str, file: Path) -> None:
    """Write a database as of a snapshot with pg_dump; StackError with its words."""
    _run("pg_dump", url, "--format=custom", f"--snapshot={snapshot}", f"--file={file}")


def load(url: str, file: Path) -> None:
    """Fill an empty database with what `dump` wrote; StackError with pg_restore's words."""
    _run("pg_restore", url, "--exit-on-error", "--no-owner", "--single-transaction", str(file))


def _run(program: str, url: str, *words: str) -> None:
    address = make_url(url)
    where = {
        "PGHOST": address.host or "", "PGPORT": str(address.port or 5432), "PGUSER": address.username or "",
        "PGPASSWORD": str(address.password or ""),
    }  # fmt: skip
    command = [str(postgres_binaries() / program), "--no-password", f"--dbname={address.database}", *words]
    done = subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{program} of {address.database}: {done.stderr.strip()[-2000:]}")
