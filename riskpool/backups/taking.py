"""A backup taken while everything runs: the databases of one moment, then the documents, then keys if asked for."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from riskpool.backups.archive import Writer, pieces, written
from riskpool.backups.cut import BackupError, Cut, one_moment
from riskpool.backups.dump import dumped
from shared.clock import Clock
from shared.messaging.instances import version

Step = Callable[[str], None]
_DIGEST = re.compile(r"[0-9a-f]{64}")
_READY = "select distinct sha256 from documents where state = 'ready'"


@dataclass(frozen=True)
class Source:
    """What there is to keep: the databases' addresses as their owner by service, and directories."""

    databases: Mapping[str, str]
    documents: Path
    keys: Path | None = None
    """The data directory whose keys are asked for."""


@dataclass
class Taken:
    """What a backup holds; ``wrong`` names documents that are missing or not what their name says."""

    databases: int = 0
    documents: int = 0
    keys: int = 0
    held_seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


async def take_backup(path: Path, source: Source, step: Step = lambda what: None) -> Taken:
    """Write a backup; BackupError when it cannot be. ``step`` is told what comes next."""
    taken = Taken()
    step("holding the writers, for milliseconds")
    async with one_moment(source.databases) as cut:
        taken.held_seconds = cut.held_seconds
        described = {name: await cut.description(name) for name in source.databases}
        needed = {row["sha256"] for row in await cut.readers["gateway"].fetch(_READY)}
        try:
            with written(path) as writer:
                await asyncio.to_thread(_write, writer, source, cut, needed, taken, step)
                writer.finish(
                    {
                        "riskpool": version(),
                        "taken_at": Clock.now().isoformat(timespec="seconds"),
                        "databases": described,
                        "documents": taken.documents,
                        "keys": taken.keys,
                    }
                )
        except OSError as error:
            raise BackupError(
                f"无法写入 {path}。 {path} cannot be written: {error.strerror or error}. Nothing was kept of it."
            ) from None
    return taken


def _write(writer: Writer, source: Source, cut: Cut, needed: set[str], taken: Taken, step: Step) -> None:
    for name, url in source.databases.items():
        step(f"database {name}")
        writer.add(f"databases/{name}.dump", dumped(url, cut.snapshots[name]))
        taken.databases += 1
    step("documents")
    found = set()
    for file in sorted(source.documents.glob("??/*")):
        if _DIGEST.fullmatch(file.name):
            found.add(file.name)
            if writer.add(f"documents/{file.name}", _read(file)) != file.name:
                taken.wrong.append(f"document {file.name} is damaged: its content has another SHA-256")
            taken.documents += 1
    taken.wrong += (f"document {name} is missing" for name in sorted(needed - found))
    if source.keys:
        step("keys")
        for file in _key_files(source.keys):
            writer.add(f"keys/{file.relative_to(source.keys)}", _read(file))
            taken.keys += 1


def _key_files(data: Path) -> list[Path]:
    """The key that signs closes, and the bus's; database passwords belong to a place and are made anew."""
    signing = data / "signing-key"
    of_the_bus = sorted(file for file in (data / "keys").rglob("*") if file.is_file())
    return [*([signing] if signing.exists() else []), *of_the_bus]


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        yield from pieces(stream)


def heads_of(described: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Where the chains of each service end, by scheme."""
    return {name: dict(one["heads"]) for name, one in described.items()}
