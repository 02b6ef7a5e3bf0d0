"""From the databases into a bundle: one service after the other, each as of one moment."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from riskpool.proof import bundle
from riskpool.proof.bundle import NotWritable, Writer
from riskpool.proof.databases import (
    AT_ONCE,
    EVENTS,
    JOURNAL,
    Reader,
    as_of_one_moment,
    heads_of,
    reader,
    versions_of,
)
from riskpool.proof.recorded import read, wrong_column
from shared.scheme.loader import size_standard_of

TABS = 6
CLOSES = text("select payload from outbox where stream = 'EVENTS' and name = 'BooksClosed' order by id")


async def export(path: Path, urls: dict[str, str]) -> tuple[str, str]:
    """Write a bundle of these services' databases: the SHA-256 of its manifest, and the public key of its closes."""
    with bundle.written(path) as writer:
        heads: list[dict[str, Any]] = []
        for service, url in urls.items():
            async with as_of_one_moment(url) as connection:
                heads += await _service(writer, service, connection)
                if service == "pool":
                    key = await _closes(writer, connection)
        writer.objects(bundle.HEADS, heads)
        return writer.finish(), key


async def _service(writer: Writer, service: str, connection: AsyncConnection) -> list[dict[str, Any]]:
    heads = await heads_of(connection)
    versions = await versions_of(connection)
    writer.objects(f"{service}/{bundle.VERSIONS}", (row._asdict() for row in versions))
    for row in versions:
        name = f"size_standards/{row.content['settings']['size_standard']['value']}.csv"
        if name not in writer.members:
            writer.text(name, size_standard_of(row.content))
    events = await reader(connection, EVENTS)
    while (scheme := events.scheme) is not None:
        await _events(writer, service, scheme, events)
    if service == "pool":
        journal = await reader(connection, JOURNAL)
        while (scheme := journal.scheme) is not None:
            with writer.member(f"{service}/{scheme}/{bundle.JOURNAL}") as member:
                while rows := await journal.take(scheme, AT_ONCE):
                    for row in rows:
                        if row.content.count("\t") != TABS:
                            raise NotWritable(row.content)
                        member.line(f"{row.content}\t{row.sha256.hex()}".encode())
    return [
        {"service": service, "scheme": scheme, "version": head.version, "position": head.position,
         "sha256": head.sha256.hex(), "rows": head.rows, "rows_sha256": head.rows_sha256.hex()}
        for scheme, head in heads.items()
    ]  # fmt: skip


async def _events(writer: Writer, service: str, scheme: str, events: Reader) -> None:
    with _aside() as spool:
        with writer.member(f"{service}/{scheme}/{bundle.EVENTS}") as member:
            while rows := await events.take(scheme, AT_ONCE):
                for row in rows:
                    _agrees(service, scheme, row)
                    member.line(row.payload.encode())
                    spool.write(f"{row.prefix}{row.sha256.hex()}\n".encode())
        writer.spooled(f"{service}/{scheme}/{bundle.CHAIN}", spool)


def _agrees(service: str, scheme: str, row: Any) -> None:
    """A bundle holds payloads only: columns that say something else would be lost in it."""
    try:
        recorded = read(service, row.payload.encode())
        wrong = wrong_column(service, scheme, recorded, (row.event_id, row.name, row.subject))
    except ValueError as error:
        wrong = f"content: {error}"
    if wrong:
        raise NotWritable(f"{service} outbox {scheme} position {row.prefix.split()[0]}: {wrong}")


async def _closes(writer: Writer, connection: AsyncConnection) -> str:
    """Every close by itself, and the public key of the last."""
    closes = [json.loads(row.payload)["data"] for row in await connection.execute(CLOSES)]
    writer.objects(bundle.CLOSES, closes)
    key = closes[-1]["public_key"] if closes else ""
    writer.text(bundle.KEY, f"{key}\n")
    return str(key)


@contextmanager
def _aside() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as spool:
        yield spool
