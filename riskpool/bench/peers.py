"""What a figure of `riskpool bench` is held against: PostgreSQL, NATS and Python by themselves, on the same machine."""

import asyncio
import contextlib
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import asyncpg
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from sqlalchemy import make_url

from riskpool.servers import postgres_binaries
from riskpool.services import SERVICES
from riskpool.supervisor import StackError

DATABASE = "riskpool_bench"
STREAM, SUBJECT = "BENCH", "bench.events"
PUBLISHED_AT_ONCE = 128
FETCHED_AT_ONCE = 100
SYNCS = 200
# pgbench's simple-update with its account fixed to one row: a transaction waits for the one before, as the fund's do.
_TABLES = """
create table hot (id int primary key, balance bigint not null);
create table history (id bigint generated always as identity primary key, delta int not null, at timestamptz not null);
insert into hot values (1, 0);
"""
_TRANSACTION = r"""
\set delta random(-5000, 5000)
begin;
update hot set balance = balance + :delta where id = 1;
insert into history (delta, at) values (:delta, current_timestamp);
end;
"""


class HotRow:
    """pgbench on one hot row of a scratch database."""

    def __init__(self, url: str, script: Path) -> None:
        self._url = make_url(url)
        self._script = script

    async def transactions(self, seconds: int, clients: int) -> float:
        """Transactions a second of so many clients, each with a connection of its own."""
        url = self._url
        command = [
            str(postgres_binaries() / "pgbench"), "-n", "-M", "prepared", "-f", str(self._script), "-T", str(seconds),
            "-c", str(clients), "-j", "2", "-h", str(url.host), "-p", str(url.port), "-U", str(url.username), DATABASE,
        ]  # fmt: skip
        environment = {**os.environ, "PGPASSWORD": str(url.password)}
        output = await _run(command, environment)
        found = re.search(r"tps = ([0-9.]+)", output)
        if found is None:
            raise StackError(f"pgbench printed no rate:\n{output}")
        return float(found[1])


@contextlib.asynccontextmanager
async def hot_row(owner_url: str) -> AsyncIterator[HotRow]:
    """A scratch database beside the services' own, dropped on leaving."""
    await _execute(owner_url, f"drop database if exists {DATABASE}", f"create database {DATABASE}")
    url = make_url(owner_url).set(database=DATABASE).render_as_string(hide_password=False)
    try:
        await _execute(url, _TABLES)
        with tempfile.TemporaryDirectory() as directory:
            script = Path(directory) / "hot-row.sql"
            script.write_text(_TRANSACTION)
            yield HotRow(url, script)
    finally:
        await _execute(owner_url, f"drop database {DATABASE} with (force)")


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), ssl=False)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def sync_milliseconds() -> float:
    """What the disk needs to keep one small write: the floor under every commit and every stored message."""
    with tempfile.TemporaryFile() as file:
        taken = []
        for _ in range(SYNCS):
            os.write(file.fileno(), bytes(512))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


async def imports(environment: Mapping[str, str]) -> float:
    """Seconds until five interpreters side by side have imported the five apps."""
    begun = time.perf_counter()
    code = "import os, uvicorn, services.{}.app; os._exit(0)"  # the end of an interpreter is not part of a start
    await asyncio.gather(*(_run([sys.executable, "-c", code.format(name)], environment) for name in SERVICES))
    return time.perf_counter() - begun


async def _run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, env=dict(environment), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output = (await process.communicate())[0].decode(errors="replace")
    if process.returncode != 0:
        raise StackError(f"{Path(command[0]).name} ended with exit code {process.returncode}:\n{output}")
    return output


async def publish_all(js: JetStreamContext, subject: str, payloads: Sequence[bytes]) -> None:
    """Publish in order, so many at once; every one is stored when this returns."""
    for start in range(0, len(payloads), PUBLISHED_AT_ONCE):
        some = payloads[start : start + PUBLISHED_AT_ONCE]
        await asyncio.gather(*(js.publish(subject, payload, timeout=30) for payload in some))


class BareBus:
    """The same NATS server with nothing behind it: a stream of our own, kept on disk like the product's."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js

    async def events(self, payloads: Sequence[bytes]) -> float:
        """Events a second from the first publish to the last ack of a pull consumer."""
        subscription = await self._js.pull_subscribe(SUBJECT, durable="bench", stream=STREAM)
        begun = time.perf_counter()
        publishing = asyncio.create_task(publish_all(self._js, SUBJECT, payloads))
        waiting = len(payloads)
        while waiting:
            messages = await subscription.fetch(min(FETCHED_AT_ONCE, waiting), timeout=30)
            for message in messages:
                await message.ack()
            waiting -= len(messages)
        await publishing
        seconds = time.perf_counter() - begun
        await self._js.delete_consumer(STREAM, "bench")
        return len(payloads) / seconds

    async def acks(self, payloads: Sequence[bytes]) -> list[float]:
        """Milliseconds of each publish until its ack, one at a time."""
        taken = []
        for payload in payloads:
            begun = time.perf_counter()
            await self._js.publish(SUBJECT, payload, timeout=30)
            taken.append((time.perf_counter() - begun) * 1000)
        await self._js.purge_stream(STREAM)
        return taken


@contextlib.asynccontextmanager
async def bare_bus(js: JetStreamContext) -> AsyncIterator[BareBus]:
    """A stream of its own, deleted on leaving."""
    await js.add_stream(StreamConfig(name=STREAM, subjects=[SUBJECT], storage=StorageType.FILE))
    try:
        yield BareBus(js)
    finally:
        await js.delete_stream(STREAM)
