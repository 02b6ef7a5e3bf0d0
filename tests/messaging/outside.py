"""Services as real processes, and what partners and agencies send them."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import asyncpg
import nats
import nats.js.errors
from nats.aio.client import Client
from sqlalchemy import Connection, MetaData, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from shared.database import keep_forever, run_ddl
from shared.messaging.envelope import HEADERS, new_id, type_of
from shared.messaging.tables import APPEND_ONLY
from tests.conftest import Postgres, eventually, free_port, make_tables

ROOT = Path(__file__).parent.parent.parent
TIME = "2026-01-05T09:00:00+08:00"


def envelope(name: str, data: object, identifier: str | None = None, **more: object) -> bytes:
    """A CloudEvent as a partner, an agency or another service sends it."""
    event = {"specversion": "1.0", "id": identifier or new_id(), "source": "/x", "type": type_of(name), "time": TIME}
    return json.dumps({**event, "data": data, **more}).encode()


def make_database(postgres: Postgres, *parts: MetaData) -> str:
    """A database with the core's tables, that keeps what it confirmed when it is killed."""
    url = postgres.database()
    postgres.sql("postgres", f"alter database {url.rsplit('/', 1)[1]} set synchronous_commit = on")

    def create(connection: Connection) -> None:
        make_tables(connection, *parts)
        for table in APPEND_ONLY:
            run_ddl(connection, keep_forever(table))

    async def run() -> None:
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.run_sync(create)
        await engine.dispose()

    asyncio.run(run())
    return url


class Nursery:
    """Starts services (see nursery.py)."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.messaging.nursery"]
        environment = {**os.environ, "RISKPOOL_CLOCK": "message", "RISKPOOL_LOG_LEVEL": "WARNING"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, **request: object) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


class Process:
    """A service under uvicorn; ``kill`` is kill -9, ``start`` after it is a restart."""

    def __init__(self, nursery: Nursery, service: str, database: str, bus: str, log: Path) -> None:
        self.nursery, self.service, self.log, self.port = nursery, service, log, free_port()
        self.environment = {"RISKPOOL_DATABASE_URL": database, "RISKPOOL_NATS_URL": bus}
        self.pid = 0

    @property
    def is_running(self) -> bool:
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, 0)
                return True
        return False

    @property
    def is_ready(self) -> bool:
        where = f"http://127.0.0.1:{self.port}/readyz"
        with contextlib.suppress(OSError), urllib.request.urlopen(where, timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def start(self) -> "Process":
        self.pid = self.nursery.start(
            service=self.service, port=self.port, environment=self.environment, log=str(self.log)
        )
        return self

    def until_ready(self, seconds: float = 60) -> "Process":
        deadline = time.monotonic() + seconds
        while not self.is_ready:
            assert self.is_running and time.monotonic() < deadline, f"{self.service} is not ready:\n{self.tail()}"
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, number)
        eventually(lambda: not self.is_running)
        self.pid = 0

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


async def publish_raw(url: str, subject: bytes, header: bytes, body: bytes) -> None:
    """Publish any subject and header, as no client library would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    await reader.readline()
    if header:
        line = b"HPUB %b %d %d" % (subject, len(header), len(header) + len(body))
    else:
        line = b"PUB %b %d" % (subject, len(body))
    connect = b'CONNECT {"verbose":false,"headers":true}\r\n'
    writer.write(connect + line + b"\r\n" + header + body + b"\r\nPING\r\n")
    while (await reader.readline()).strip() != b"PONG":
        pass
    writer.close()


class Desk:
    """The outside of the toy service: what partners and agencies send, and what became of it."""

    def __init__(self, client: Client, database: asyncpg.Connection) -> None:
        self.client, self.js, self.database = client, client.jetstream(timeout=5), database

    async def submit(
        self, body: bytes, *, name: str = "FinancingDeclined", scheme: str = "yanqing", by: str = "bank-a",
        headers: dict[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Publish as an institution to its own ingress stream; the place where it was stored."""
        ack = await self.js.publish(f"partners.{by}.{scheme}.{name}", body, headers={**HEADERS, **(headers or {})})
        return f"{ack.stream}:{ack.seq}"

    async def submit_raw(self, subject: bytes, header: bytes, body: bytes) -> str:
        """Publish past every check of a client library; the place where it was stored."""
        before = await self._last()
        assert self.client.connected_url
        await publish_raw(self.client.connected_url.geturl(), subject, header, body)

        async def is_stored() -> bool:
            return await self._last() == before + 1

        await self.until(is_stored)
        return f"PARTNER_bank-a:{before + 1}"

    async def _last(self) -> int:
        return int((await self.js.stream_info("PARTNER_bank-a")).state.last_seq)

    async def decline(self, uscc: str, reason: str, identifier: str | None = None, **more: object) -> str:
        """A partner event that the toy takes; ``reason`` says what it shall do with it."""
        identifier = identifier or new_id()
        await self.submit(envelope("FinancingDeclined", {"uscc": uscc, "reason": reason}, identifier, **more))
        return identifier

    async def event(self, service: str, name: str, data: object, identifier: str | None = None) -> None:
        """An event of another service."""
        body = envelope(name, data, identifier, scheme="yanqing", source=f"/services/{service}")
        await self.js.publish(f"events.yanqing.{service}.{name}", body, headers=HEADERS)

    async def command(
        self, data: object, key: str | None = None, *, by: str = "drc", scheme: str = "yanqing",
        name: str = "VetoEnterprise",
    ) -> tuple[int, dict[str, Any]]:  # fmt: skip
        """A command by request and reply; its status and body."""
        body = envelope(name, data, key or new_id(), scheme=scheme, source=f"/agencies/{by}")
        reply = await self.client.request(f"commands.{scheme}.review.{name}", body, timeout=10)
        answer = json.loads(reply.data)
        return answer["status"], answer["body"]

    async def receipts(self, identifier: str) -> list[dict[str, Any]]:
        """Every receipt announced for a partner event: there should be exactly one."""
        query = """select payload::jsonb -> 'data' as data from outbox
                   where stream = 'RECEIPTS' and payload::jsonb -> 'data' ->> 'event_id' = $1 order by id"""
        return [json.loads(row["data"]) for row in await self.database.fetch(query, identifier)]

    async def receipt(self, identifier: str, seconds: float = 30) -> dict[str, Any]:
        """The one receipt of a partner event, waited for."""
        await self.until(lambda: self.receipts(identifier), seconds)
        (only,) = await self.receipts(identifier)
        return only

    async def reasons(self, uscc: str) -> list[str]:
        """What the toy has counted for an enterprise."""
        doc = await self.database.fetchval("select doc from tallies where key = $1", uscc)
        return list(json.loads(doc)["reasons"]) if doc else []

    async def parked(self, identifier: str) -> list[asyncpg.Record]:
        return list(await self.database.fetch("select * from parked where message_id = $1", identifier))

    async def until(self, holds: Any, seconds: float = 30) -> Any:
        """Wait for an awaitable answer that is true."""
        deadline = time.monotonic() + seconds
        while not (found := await holds()):
            assert time.monotonic() < deadline, "it did not come about in time"
            await asyncio.sleep(0.02)
        return found

    async def still_works(self) -> None:
        """One good event after all that: accepted, promptly."""
        receipt = await self.receipt(await self.decline("AFTER", "fine"))
        assert receipt["outcome"] == "accepted"


async def sign_agreements(bus: str, *institutions: str) -> None:
    """Tell the service of institutions with an agreement, as review does."""
    async with await nats.connect(bus) as client:
        for institution in institutions:
            data = {"institution": institution, "kind": "bank", "name": institution,
                    "valid_from": "2026-01-01", "valid_to": "2027-01-01"}  # fmt: skip
            body = envelope("AgreementSigned", data, scheme="yanqing", source="/services/review")
            await client.jetstream().publish("events.yanqing.review.AgreementSigned", body, headers=HEADERS)


async def takes_from(bus: str, institution: str) -> bool:
    """Whether a service waits at an institution's ingress stream."""
    async with await nats.connect(bus) as client:
        with contextlib.suppress(nats.js.errors.NotFoundError):
            info = await client.jetstream().consumer_info(f"PARTNER_{institution}", "review")
            return bool(info.num_waiting)
    return False
