"""A backup put into an empty place: checked before anything is written, and the books proved when all is there."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from riskpool.audit import audit
from riskpool.backups.archive import Archive
from riskpool.backups.cut import BackupError, Cut, connect
from riskpool.backups.dump import restore
from riskpool.backups.taking import Step, heads_of
from riskpool.logs import open_private, tail
from riskpool.migrate import ROLE
from riskpool.place import Place
from riskpool.proof.findings import Findings
from riskpool.servers import PostgresServer
from riskpool.services import SERVICES
from riskpool.supervisor import Child, StackError
from shared.database import ROOT, migrate

READY_SECONDS = 30.0
_TABLES = """select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind in ('r', 'p', 'v', 'm', 'S')"""


def check_archive(archive: Archive) -> None:
    """BackupError unless this program can restore a backup whose members are whole."""
    described = archive.manifest["databases"]
    if set(described) != set(SERVICES):
        raise BackupError(f"{archive.path} holds the databases {', '.join(described)}, not {', '.join(SERVICES)}.")
    for service, one in described.items():
        if not list((ROOT / "services" / service / "migrations" / "versions").glob(f"{one['revision']}_*.py")):
            raise BackupError(
                f"备份来自更新的版本。 {archive.path} is of riskpool {archive.manifest['riskpool']}, whose tables of "
                f"{service} (revision {one['revision']}) this version does not know. Restore it with that version."
            )


async def restore_into_servers(
    archive: Archive, urls: Mapping[str, str], documents: Path, step: Step
) -> list[Findings]:
    """Fill the databases at these addresses, which must be empty, and prove their books."""
    for service, url in urls.items():
        await _must_be_empty(service, url)
    if documents.exists() and any(documents.iterdir()):
        raise BackupError(f"{documents} 不是空目录。 {documents} is not empty. Nothing was written.")
    roles = {name: os.environ.get(ROLE, "{service}").replace("{service}", name) for name in urls}
    for service, url in urls.items():
        step(f"database {service}")
        await asyncio.to_thread(restore, url, archive.chunks(f"databases/{service}.dump"))
        await asyncio.to_thread(migrate, service, url, roles[service])
    step("documents")
    await asyncio.to_thread(_write_documents, archive, documents)
    step("proving the books")
    return await prove(archive, urls)


async def restore_into_directory(archive: Archive, data: Path, step: Step) -> list[Findings]:
    """Make a stack's data directory, with a bus that is still empty; what was made is removed when it fails."""
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise BackupError(
            f"{data} 不是空目录。 {data} is not empty. Nothing was written. Choose another directory with --data."
        )
    place, was_there = Place(data), data.exists()
    place.take()
    try:
        await asyncio.to_thread(_write_keys, archive, place.directory)
        async with _postgres(place) as server:
            urls = {name: server.url(name) for name in SERVICES}
            found = await restore_into_servers(archive, urls, place.directory / "documents", step)
    except BaseException:
        await asyncio.to_thread(_clear, place.directory, was_there)
        raise
    finally:
        place.release()
    (place.directory / "ports.json").unlink()  # those of the first start are for `riskpool up` to choose
    return found


async def prove(archive: Archive, urls: Mapping[str, str]) -> list[Findings]:
    """Audit restored databases, and compare where their chains end with the manifest."""
    found = await audit(dict(urls))
    by_service = {one.service: one for one in found}
    for service, heads in heads_of(archive.manifest["databases"]).items():
        connection = await connect(urls[service])
        try:
            restored = (await Cut({service: connection}).description(service))["heads"]
        finally:
            await connection.close()
        for scheme in sorted({*heads, *restored}):
            if heads.get(scheme) != restored.get(scheme):
                said = f"is {restored.get(scheme)}, the backup's manifest says {heads.get(scheme)}"
                by_service[service].differ(f"schemes {scheme}: {said}")
    return found


async def _must_be_empty(service: str, url: str) -> None:
    connection = await connect(url)
    try:
        tables = await connection.fetchval(_TABLES)
    except asyncpg.PostgresError as error:
        raise BackupError(f"{service}: {error}") from None
    finally:
        await connection.close()
    if tables:
        raise BackupError(
            f"数据库不是空的。 The database of {service} is not empty ({tables} tables and sequences). Nothing was "
            "written. Restore into databases that were just created, before the services are first started."
        )


@asynccontextmanager
async def _postgres(place: Place) -> AsyncIterator[PostgresServer]:
    """The directory's own PostgreSQL, as long as it is needed."""
    passwords = place.passwords()
    port = place.choose_ports(("postgres",), {})["postgres"]
    log = place.logs / "postgres.log"
    server = PostgresServer(place.directory / "postgres", log, port, passwords["owner"])
    await asyncio.to_thread(server.initialise)
    failures: list[StackError] = []
    child = Child(server.program(), lambda: None, failures.append)
    await child.start()
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await server.is_ready():
                await asyncio.sleep(0.05)
        await server.ensure_databases({name: passwords[name] for name in SERVICES})
        yield server
    except TimeoutError:
        raise BackupError(f"PostgreSQL did not start: {' '.join(tail(log, 5))}") from None
    finally:
        await child.stop()


def _write_documents(archive: Archive, documents: Path) -> None:
    documents.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in archive.names("documents/"):
        digest = Path(name).name
        (documents / digest[:2]).mkdir(mode=0o700, exist_ok=True)
        _write(documents / digest[:2] / digest, archive, name)


def _write_keys(archive: Archive, data: Path) -> None:
    for name in archive.names("keys/"):
        target = (data / name.removeprefix("keys/")).resolve()
        if not target.is_relative_to(data.resolve()):
            raise BackupError(f"{archive.path} names a key outside the data directory: {name}")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(target, archive, name)


def _write(target: Path, archive: Archive, name: str) -> None:
    with os.fdopen(open_private(target), "wb") as stream:
        for chunk in archive.chunks(name):
            stream.write(chunk)


def _clear(directory: Path, was_there: bool) -> None:
    """Leave the place as it was found: empty, or not there."""
    for left in directory.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    if not was_there:
        directory.rmdir()
