"""`riskpool backup` and `riskpool restore`."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from riskpool.audit import tell
from riskpool.backups.archive import Archive, Told
from riskpool.backups.cut import BackupError
from riskpool.backups.restoring import check_archive, restore_into_directory, restore_into_servers
from riskpool.backups.taking import Source, Step, take_backup
from riskpool.place import find_running
from riskpool.services import OWNER_URL, SERVICES
from riskpool.supervisor import StackError
from riskpool.token import fail
from riskpool.upkeep import note
from shared.database import address_in

DEFAULT_DATA = Path(".riskpool")
DOCUMENTS = "RISKPOOL_DOCUMENTS"
Documents = Annotated[Path | None, typer.Option(help=f"The directory of documents, with {OWNER_URL} set.")]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.", dir_okay=False)],
    data: Annotated[Path, typer.Option(help=f"Data directory of the running stack, unless {OWNER_URL} is set.")] = (
        DEFAULT_DATA
    ),
    documents: Documents = None,
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Also the keys of closes and bus: guard it.")] = False,
) -> None:
    """Keep all databases, as of one moment, and all documents in one file, while everything runs."""
    try:
        source = _source(data, documents, with_keys)
        with _steps() as step:
            taken = asyncio.run(take_backup(file, source, step))
    except (BackupError, StackError, OSError) as error:
        fail(str(error))
    size = file.stat().st_size
    note(source.databases["gateway"], "backup", not taken.wrong, f"{file.name}, {size} bytes")
    print(f"已备份 {file}: {size} bytes, {taken.databases} databases, {taken.documents} documents")
    print(f"writers waited at most {taken.held_seconds * 1000:.0f} ms")
    if taken.keys:
        print(f"含 {taken.keys} 个密钥文件，请妥善保管。 {taken.keys} files of keys are in it: guard it like the keys.")
    else:
        print("不含签名密钥、总线密钥和口令。 No keys and no passwords are in it: keep those apart (docs/backup.md).")
    for words in taken.wrong:
        typer.echo(words, err=True)
    if taken.wrong:
        raise typer.Exit(1)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `riskpool backup` wrote.", dir_okay=False)],
    data: Annotated[Path, typer.Option(help=f"Empty directory to restore into, unless {OWNER_URL} is set.")] = (
        DEFAULT_DATA
    ),
    documents: Documents = None,
    check: Annotated[bool, typer.Option("--check", help="Only read the file and say whether it is whole.")] = False,
) -> None:
    """Put a backup into an empty place and prove its books. Exit 1 when anything differs or the file is damaged."""
    try:
        archive = Archive(file)
        with _bytes(archive) as told:
            archive.check(told)
        check_archive(archive)
        print(f"{file}: 完好 whole, taken at {archive.manifest['taken_at']} by riskpool {archive.manifest['riskpool']}")
        if check:
            return
        with _steps() as step:
            if OWNER_URL in os.environ:
                found = asyncio.run(restore_into_servers(archive, _owner_urls(), _documents(documents), step))
            else:
                found = asyncio.run(restore_into_directory(archive, data, step))
    except (BackupError, StackError, OSError) as error:
        fail(str(error))
    tell(found, False)
    print("已恢复，账目一致。 Restored; the books are proved: they are those of the backup.")
    if OWNER_URL not in os.environ:
        print(f"start it with: riskpool up --data {data}")


def _source(data: Path, documents: Path | None, with_keys: bool) -> Source:
    if OWNER_URL in os.environ:
        if with_keys:
            raise BackupError(f"--with-keys is for a data directory; with {OWNER_URL} keep the keys as files.")
        return Source(_owner_urls(), _documents(documents))
    running = find_running(data)
    databases = {name: str(running["owner_database"]).replace("{service}", name) for name in SERVICES}
    return Source(databases, documents or data / "documents", data if with_keys else None)


def _owner_urls() -> dict[str, str]:
    return {name: address_in(OWNER_URL, name) for name in SERVICES}


def _documents(named: Path | None) -> Path:
    directory = named or os.environ.get(DOCUMENTS)
    if not directory:
        raise BackupError(f"Name the directory of the gateway's documents: --documents DIRECTORY, or {DOCUMENTS}.")
    return Path(directory)


@contextmanager
def _steps() -> Iterator[Step]:
    console = Console(stderr=True, highlight=False)
    with console.status("") as status:
        yield lambda what: status.update(f"{what} …")


@contextmanager
def _bytes(archive: Archive) -> Iterator[Told]:
    columns = (TextColumn("checking"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=archive.bytes)
        yield lambda size: progress.advance(task, size)
