"""`riskpool backup` and `riskpool restore`: all databases and documents in one file, and back into an empty place."""

import asyncio
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from riskpool.audit import audit
from riskpool.backups.archive import NoBackup, pack, unpack
from riskpool.backups.cut import dump, load, one_cut
from riskpool.place import Place, find_running
from riskpool.servers import PostgresServer
from riskpool.services import OWNER_URL, SERVICES
from riskpool.supervisor import Child, StackError

DOCUMENTS = "documents"
Data = Annotated[Path, typer.Option(help="The stack's data directory.")]
Documents = Annotated[Path | None, typer.Option(help="The documents' directory, where they are not in the stack's.")]


def backup(file: Annotated[Path, typer.Argument(help="The file to write.")], data: Data = Path(".riskpool"),
           documents: Documents = None) -> None:  # fmt: skip
    """Write all databases and documents into one file while everything runs: of the stack in --data, or of the servers
    that RISKPOOL_OWNER_URL names.

    Keys and passwords are not in it: a restored place makes new ones, and partners' credentials stay good.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        urls, kept = _running(data, documents)
        waited = asyncio.run(make(file, urls, kept, console.print))
    except (StackError, OSError) as error:
        _fail(console, error)
    console.print(f"{file}: {file.stat().st_size:,} bytes; writers waited {waited * 1000:.0f} ms")


def restore(file: Annotated[Path, typer.Argument(help="A file that `riskpool backup` wrote.")],
            data: Data = Path(".riskpool"), documents: Documents = None) -> None:  # fmt: skip
    """Put a backup into an empty place and prove its books: into a new --data directory, or into the empty databases of
    the servers that RISKPOOL_OWNER_URL names.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        asyncio.run(_restore(file, data, documents, console))
    except (StackError, NoBackup, OSError) as error:
        _fail(console, error)


async def make(file: Path, urls: Mapping[str, str], documents: Path, tell: Any = lambda words: None) -> float:
    """Write a backup of these databases (as their owner) and documents; how many seconds writers waited."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as place:
        parts: dict[str, Path] = {}
        async with one_cut(urls) as cut:
            for name, url in urls.items():
                parts[f"{name}.dump"] = Path(place) / f"{name}.dump"
                await asyncio.to_thread(dump, url, cut.snapshots[name], parts[f"{name}.dump"])
                tell(f"{name}: {parts[f'{name}.dump'].stat().st_size:,} bytes")
        if documents.is_dir():  # after the gateway's snapshot: every document that it knows is there
            archive = shutil.make_archive(str(Path(place) / DOCUMENTS), "tar", documents)
            parts[f"{DOCUMENTS}.tar"] = Path(archive)
        told = {"riskpool": importlib.metadata.version("riskpool"), "heads": cut.heads}
        await asyncio.to_thread(pack, file, parts, told)
    return cut.waited


async def _restore(file: Path, data: Path, documents: Path | None, console: Console) -> None:
    with tempfile.TemporaryDirectory(prefix="riskpool-restore-") as place:
        console.print(f"reading {file}")
        manifest = await asyncio.to_thread(unpack, file, Path(place))
        pattern = os.environ.get(OWNER_URL)
        if pattern:
            await _fill({name: pattern.format(service=name) for name in SERVICES}, Path(place), manifest, console)
            _unpack_documents(Path(place), documents)
            return
        if data.exists() and any(data.iterdir()):
            raise StackError(f"{data} is not empty. Restore into a new directory: --data DIRECTORY.")
        stack = Place(data)
        stack.take()
        try:
            await _into(stack, Path(place), manifest, console)
            _unpack_documents(Path(place), documents or stack.directory / DOCUMENTS)
        finally:
            stack.release()
    console.print(f"restored: `riskpool up --data {data}`")


async def _into(stack: Place, place: Path, manifest: dict[str, Any], console: Console) -> None:
    """Fill the databases of a new data directory; its PostgreSQL runs for that long."""
    passwords, port = stack.passwords(), stack.choose_ports({})["postgres"]
    log = stack.logs / "postgres.log"
    server = PostgresServer(stack.directory / "postgres", log, port, passwords["owner"])
    await asyncio.to_thread(server.initialise)
    child = Child(server.program(), lambda: None, lambda error: None)
    await child.start()
    try:
        for _ in range(600):
            if await server.is_ready():
                break
            await asyncio.sleep(0.05)
        await server.ensure_databases({name: passwords[name] for name in SERVICES})
        await _fill({name: server.url(name) for name in SERVICES}, place, manifest, console)
    finally:
        await child.stop()


async def _fill(urls: Mapping[str, str], place: Path, manifest: dict[str, Any], console: Console) -> None:
    """Fill empty databases, and prove them: StackError when a book differs."""
    for name, url in urls.items():
        await asyncio.to_thread(load, url, place / f"{name}.dump")
        console.print(f"{name}: restored")
    async with one_cut(urls) as cut:
        if cut.heads != manifest["heads"]:
            raise StackError("the restored chains do not end where those of the backup did")
    differences = [f"{one.service} {words}" for one in await audit(dict(urls)) for words in one.differences]
    if differences:
        raise StackError("the restored books differ from their events:\n" + "\n".join(differences[:20]))
    console.print("the books are proved: every event decided again, every state and chain compared")


def _unpack_documents(place: Path, documents: Path | None) -> None:
    archive = place / f"{DOCUMENTS}.tar"
    if archive.is_file():
        if documents is None:
            raise StackError("the backup holds documents: say where they belong with --documents")
        shutil.unpack_archive(archive, documents, filter="data")


def _running(data: Path, documents: Path | None) -> tuple[dict[str, str], Path]:
    pattern = os.environ.get(OWNER_URL)
    if pattern:
        return {name: pattern.format(service=name) for name in SERVICES}, documents or Path("/documents")
    stack = find_running(data)
    return {name: stack["owner_database"].format(service=name) for name in SERVICES}, documents or data / DOCUMENTS


def _fail(console: Console, error: Exception) -> None:
    console.print(f"riskpool: {error}", markup=False)
    raise typer.Exit(1) from None
