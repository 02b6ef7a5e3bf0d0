"""Which replica of a service writes which schemes: a session lock for each partition of them, moved when one dies.

Owning is about speed only: a scheme is decided in one memory, and its batches are not refused. That two owners do no
harm is the fence's work (statement.py), so a replica that finds no owner decides by itself.
"""

import asyncio
import base64
import json
import logging
import math
import secrets
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.messaging.accounts import is_asked

log = logging.getLogger("riskpool.owners")
PARTITIONS = 16
# A host that is gone keeps its locks until the server finds out: after twenty seconds, not two hours.
LOST_HOST = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "2"}
FIRST_KEY = 7100
LOOK_SECONDS = 0.5
ANSWER_SECONDS = 20.0
STILL_SECONDS = 2.0
_HANDED, _AT_WORK = "handed", "at_work"
Serve = Callable[[dict[str, Any]], Awaitable[Any]]


class NoOwner(Exception):
    """Nobody answers for a partition now."""


def partition_of(scheme: str) -> int:
    """The partition of a scheme, the same in every process."""
    return zlib.crc32(scheme.encode()) % PARTITIONS


class Owners:
    """This replica's part of a service's schemes; ``serve`` answers what other replicas hand over."""

    def __init__(self, dsn: str, service: str, client: Client, serve: Serve) -> None:
        self._dsn, self._service, self._client, self._serve = dsn, service, client, serve
        self._name = f"riskpool-{service}-owner"
        self._owned: dict[int, Subscription] = {}
        self._at_work: set[asyncio.Task[None]] = set()
        self._handed: set[str] = set()

    def own(self, scheme: str) -> bool:
        """Whether this replica writes a scheme."""
        return partition_of(scheme) in self._owned

    @property
    def partitions(self) -> list[int]:
        """What this replica owns."""
        return sorted(self._owned)

    async def hand_over(self, scheme: str, request: dict[str, Any]) -> Any:
        """Let the owner of a scheme do it; NoOwner when there is none, or it went away meanwhile."""
        subject, identifier = self._subject(partition_of(scheme)), secrets.token_hex(8)
        body = json.dumps({**request, _HANDED: identifier}).encode()
        asking = asyncio.create_task(self._client.request(subject, body, timeout=ANSWER_SECONDS))
        try:
            while not (await asyncio.wait((asking,), timeout=STILL_SECONDS))[0]:
                await self._still_at_work(subject, identifier, asking)
            return json.loads(asking.result().data)
        except (nats.errors.Error, TimeoutError) as error:
            raise NoOwner from error
        finally:
            asking.cancel()

    async def _still_at_work(self, subject: str, identifier: str, asking: "asyncio.Task[Msg]") -> None:
        """NoOwner when who was asked has died, or hangs: whoever owns the partition now knows nothing of it."""
        asked = json.dumps({_AT_WORK: identifier}).encode()
        told = await self._client.request(subject, asked, timeout=STILL_SECONDS)
        if not json.loads(told.data) and not (await asyncio.wait((asking,), timeout=0.1))[0]:
            raise NoOwner

    def _subject(self, partition: int) -> str:
        return f"owners.{self._service}.{partition}"

    async def run(self) -> None:
        """Hold a fair share of the partitions, for ever; ends only by cancellation."""
        while True:
            connection: asyncpg.Connection | None = None
            try:
                settings = {"application_name": self._name, **LOST_HOST}
                connection = await asyncpg.connect(self._dsn, timeout=3, command_timeout=5, server_settings=settings)
                while True:
                    await self._share(connection)
                    await asyncio.sleep(LOOK_SECONDS)
            except Exception as error:
                log.warning("owns nothing for now", extra={"error": repr(error)[:300]})
            finally:
                for partition in self.partitions:
                    await self._leave(partition)
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(LOOK_SECONDS)

    async def _share(self, connection: asyncpg.Connection) -> None:
        replicas = await connection.fetchval(
            "select count(*) from pg_stat_activity where application_name = $1 and datname = current_database()",
            self._name,
        )
        share = math.ceil(PARTITIONS / max(replicas, 1))
        for partition in self.partitions[share:]:
            await self._leave(partition)
            await connection.execute("select pg_advisory_unlock($1)", FIRST_KEY + partition)
        for partition in range(PARTITIONS):
            if len(self._owned) >= share:
                break
            if partition not in self._owned and await connection.fetchval(
                "select pg_try_advisory_lock($1)", FIRST_KEY + partition
            ):
                self._owned[partition] = await self._client.subscribe(self._subject(partition), cb=self._asked)
                log.info("owns", extra={"partition": partition})

    async def _leave(self, partition: int) -> None:
        subscription = self._owned.pop(partition)
        try:
            await subscription.unsubscribe()
        except nats.errors.Error as error:
            log.debug("leaving", extra={"error": repr(error)[:200]})

    async def _asked(self, message: Msg) -> None:
        """Answer beside the next request: what is asked for waits for the writer."""
        if not is_asked(message.reply):
            log.error("not asked by anybody who may", extra={"subject": message.subject, "reply": message.reply})
            return
        task = asyncio.create_task(self._answer(message))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _answer(self, message: Msg) -> None:
        request = json.loads(message.data)
        identifier = request.pop(_HANDED, "")
        try:
            if _AT_WORK in request:
                await message.respond(json.dumps(request[_AT_WORK] in self._handed).encode())
                return
            self._handed.add(identifier)
            await message.respond(json.dumps(await self._serve(request), default=str).encode())
        except Exception as error:
            log.warning("handed over, not answered", extra={"error": repr(error)[:300]})
        finally:
            self._handed.discard(identifier)


def packed(raw: Msg) -> list[Any]:
    """A message of a stream as it is handed over; its reply subject says where in the stream it stands."""
    return [raw.subject, raw.reply, raw.headers, base64.b64encode(raw.data).decode()]


def unpacked(client: Client, parts: list[Any]) -> Msg:
    """A message that was handed over; it is not acked here."""
    subject, reply, headers, data = parts
    return Msg(_client=client, subject=subject, reply=reply, data=base64.b64decode(data), headers=headers)
