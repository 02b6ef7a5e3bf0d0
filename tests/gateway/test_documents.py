"""Documents are kept once under their content, recorded, scanned, and seen by the parties of their case only."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway import tables
from services.gateway.api.problems import Problem
from services.gateway.auth.callers import Caller
from services.gateway.documents.clamd import Clamd, ScannerAway
from services.gateway.documents.files import Files
from services.gateway.documents.intake import Documents
from services.gateway.documents.queries import document_list
from services.gateway.documents.serving import content_of
from shared.clock import Clock
from shared.messaging.service import Service
from shared.scheme.loader import load_schemes
from tests.gateway import document_files as made
from tests.gateway.story import OTHER, USCC, covered, pushed, referred, take

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
INFECTED = made.pdf_with(b"<<>>% " + EICAR)


@pytest.fixture
def service(engine: AsyncEngine) -> Service:
    service = Service(name="gateway")
    service.engine, service.clock, service.schemes = engine, Clock(), load_schemes()
    return service


@pytest.fixture
async def room(service: Service, tmp_path: Path) -> Documents:
    """A room in a scheme with one case that was pushed to bank-a and has a loan."""
    async with service.engine.begin() as connection:
        await take(connection, [referred(), pushed("bank-a"), covered()])
    return Documents(service, Files(tmp_path / "documents"))


def caller(service: Service, organisation: str, kind: str, *roles: str) -> Caller:
    return Caller(service.schemes["yanqing"], organisation, kind, frozenset(roles or ("officer",)), name="测试")


async def pieces(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def refused(
    room: Documents, who: Caller, about: str = USCC, content: bytes = b"x", name: str = "a.pdf"
) -> Problem:
    with pytest.raises(Problem) as problem:
        await room.upload(who, about, "tax", name, pieces(content))
    return problem.value


def files_of(room: Documents) -> list[str]:
    return sorted(path.name for path in room.files.directory.rglob("*") if path.is_file())


async def test_a_file_lies_under_its_digest_and_is_recorded(room: Documents) -> None:
    who, content = caller(room.service, "scitech", "department"), made.pdf()
    found = await room.upload(who, USCC, "business_licence", "营业执照.pdf", pieces(content))
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert (found.state, found.size_bytes, found.name) == ("ready", len(content), "营业执照.pdf")
    path = room.files.path(found.sha256)
    assert path.read_bytes() == content and path.parent.name == found.sha256[:2]
    assert path.stat().st_mode & 0o777 == 0o600
    async with room.service.engine.connect() as connection:
        action = (await connection.execute(select(tables.actions))).one()
    assert (action.action, action.about, action.outcome) == ("documents.upload", USCC, "accepted")
    answer = await content_of(room, who, found.id)
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment;")


async def test_the_same_file_again_is_the_first_one(room: Documents) -> None:
    who, content = caller(room.service, "scitech", "department"), made.pdf()
    first = await room.upload(who, USCC, "tax", "a.pdf", pieces(content))
    assert await room.upload(who, USCC, "tax", "b.pdf", pieces(content)) == first
    other = await room.upload(who, USCC, "other", "a.pdf", pieces(content))
    assert other.id != first.id and files_of(room) == [first.sha256]


async def test_what_is_refused_leaves_nothing_but_the_record(room: Documents) -> None:
    who = caller(room.service, "scitech", "department")
    assert (await refused(room, who, content=b"no pdf")).reason == "document_content"
    assert (await refused(room, who, content=b"%PDF-1.7", name="a.exe")).reason == "document_type"
    assert files_of(room) == []
    async with room.service.engine.connect() as connection:
        outcomes = [row.outcome for row in await connection.execute(select(tables.actions))]
        assert outcomes == ["refused", "refused"]
        assert (await connection.execute(select(tables.documents))).all() == []


async def test_too_much_is_refused_while_it_comes(room: Documents) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1_000_000
            yield bytes(1_000_000)

    with pytest.raises(Problem) as problem:
        await room.upload(caller(room.service, "scitech", "department"), USCC, "tax", "a.pdf", endless())
    assert problem.value.status == 413 and sent == 21_000_000 and files_of(room) == []


async def test_an_upload_that_breaks_off_leaves_nothing(room: Documents) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"%PDF-"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await room.upload(caller(room.service, "scitech", "department"), USCC, "tax", "a.pdf", broken())
    assert files_of(room) == []


async def test_only_parties_upload_and_see(room: Documents) -> None:
    service, content = room.service, made.pdf()
    parties = [("drc", "drc"), ("scitech", "department"), ("bank-a", "bank")]
    for organisation, kind in parties:
        await room.upload(caller(service, organisation, kind), USCC, "other", "a.pdf", pieces(content))
        await room.upload(caller(service, organisation, kind), "A-1", "other", "a.pdf", pieces(content))
    strangers = [caller(service, "bank-b", "bank"), caller(service, "custodian", "custodian")]
    async with service.engine.connect() as connection:
        document = (await document_list(connection, caller(service, "drc", "drc"), USCC)).items[0]
        for stranger in strangers:
            assert (await document_list(connection, stranger, USCC)).items == []
            assert (await document_list(connection, stranger, "A-1")).items == []
    for stranger in strangers:
        assert (await refused(room, stranger)).reason == "document_about"
        with pytest.raises(Problem) as problem:
            await content_of(room, stranger, document.id)
        assert (problem.value.status, problem.value.reason) == (404, "document")
    assert (await refused(room, caller(service, "drc", "drc", "auditor"))).status == 403
    assert (await refused(room, caller(service, "operator", "operator", "admin"))).status == 403


async def test_materials_are_collected_before_the_referral_and_seen_by_their_collector(room: Documents) -> None:
    service = room.service
    scitech, bank = caller(service, "scitech", "department"), caller(service, "bank-a", "bank")
    found = await room.upload(scitech, OTHER, "tax", "a.pdf", pieces(made.pdf()))
    async with service.engine.connect() as connection:
        assert [one.id for one in (await document_list(connection, scitech, OTHER)).items] == [found.id]
        assert (await document_list(connection, caller(service, "drc", "drc"), OTHER)).items == []
    assert (await refused(room, bank, OTHER)).reason == "document_about"
    assert (await refused(room, scitech, "911101190000000000")).reason == "document_about"
    with pytest.raises(Problem):
        await content_of(room, caller(service, "agriculture", "department"), found.id)
    async with service.engine.begin() as connection:
        await take(connection, [referred(OTHER)])
    assert (await content_of(room, caller(service, "drc", "drc"), found.id)).status_code == 200


async def test_another_schemes_documents_do_not_exist(room: Documents) -> None:
    found = await room.upload(caller(room.service, "drc", "drc"), USCC, "tax", "a.pdf", pieces(made.pdf()))
    async with room.service.engine.begin() as connection:
        row = (await connection.execute(select(tables.documents))).one()
        await connection.execute(insert(tables.documents).values({**row._mapping, "id": "x", "scheme": "other"}))
    with pytest.raises(Problem):
        await content_of(room, caller(room.service, "drc", "drc"), "x")
    assert await content_of(room, caller(room.service, "drc", "drc"), found.id)


# -- the scanner


async def _instream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """clamd's side of INSTREAM, as its manual describes it."""
    assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
    content = b""
    while size := int.from_bytes(await reader.readexactly(4), "big"):
        content += await reader.readexactly(size)
    writer.write(b"stream: Eicar-Test-Signature FOUND\0" if EICAR in content else b"stream: OK\0")
    await writer.drain()
    writer.close()


@asynccontextmanager
async def small_scanner() -> AsyncIterator[Clamd]:
    server = await asyncio.start_server(_instream, "127.0.0.1", 0)
    async with server:
        yield Clamd(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


@contextmanager
def signatures(directory: Path) -> Iterator[Path]:
    """A configuration of clamd with one signature of our own: the real ones cannot be had everywhere."""
    (directory / "db").mkdir()
    (directory / "db" / "test.ndb").write_text(f"Eicar-Test:0:*:{EICAR.hex()}\n")
    configuration = directory / "clamd.conf"
    configuration.write_text(
        f"DatabaseDirectory {directory}/db\nLocalSocket {directory}/clamd\nForeground yes\nLogFile {directory}/log\n"
        "StreamMaxLength 25M\n"
    )
    yield configuration


@asynccontextmanager
async def real_scanner(directory: Path) -> AsyncIterator[Clamd]:
    program = shutil.which("clamd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("clamd is not installed")
    with signatures(directory) as configuration:
        process = await asyncio.create_subprocess_exec(
            program, "-c", str(configuration), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            for _ in range(200):
                if (directory / "clamd").exists():
                    break
                await asyncio.sleep(0.05)
            yield Clamd(str(directory / "clamd"))
        finally:
            process.terminate()
            await process.wait()


async def scans(room: Documents, scanner: Clamd) -> None:
    room.clamd = scanner
    who = caller(room.service, "drc", "drc")
    assert (await room.upload(who, USCC, "tax", "a.pdf", pieces(made.pdf()))).state == "ready"
    problem = await refused(room, who, content=INFECTED, name="b.pdf")
    assert problem.reason == "document_virus" and "Eicar" in problem.figures["what"]
    async with room.service.engine.connect() as connection:
        states = {one.name: one for one in (await document_list(connection, who, USCC)).items}
    assert states["b.pdf"].state == "refused"
    with pytest.raises(Problem) as answer:
        await content_of(room, who, states["b.pdf"].id)
    assert answer.value.status == 404


async def test_a_virus_is_refused_and_never_given_out(room: Documents) -> None:
    async with small_scanner() as scanner:
        await scans(room, scanner)


async def test_the_real_clamd_says_the_same(room: Documents, tmp_path: Path) -> None:
    async with real_scanner(tmp_path) as scanner:
        await scans(room, scanner)


async def test_while_the_scanner_is_away_a_file_waits_in_quarantine(room: Documents) -> None:
    room.clamd, who = Clamd("127.0.0.1:1"), caller(room.service, "drc", "drc")
    clean = await room.upload(who, USCC, "tax", "a.pdf", pieces(made.pdf()))
    bad = await room.upload(who, USCC, "tax", "b.pdf", pieces(INFECTED))
    assert (clean.state, bad.state) == ("quarantined", "quarantined")
    with pytest.raises(Problem) as answer:
        await content_of(room, who, clean.id)
    assert answer.value.reason == "document_quarantined"
    assert await room.scan_waiting() == 0
    async with small_scanner() as room.clamd:
        assert await room.scan_waiting() == 2
    async with room.service.engine.connect() as connection:
        states = [one.state for one in (await document_list(connection, who, USCC)).items]
    assert sorted(states) == ["ready", "refused"]
    assert (await content_of(room, who, clean.id)).status_code == 200


async def test_an_answer_that_is_no_verdict_is_none(tmp_path: Path) -> None:
    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INSTREAM size limit exceeded. ERROR\0")
        await writer.drain()
        writer.close()

    (tmp_path / "file").write_bytes(b"x" * 100)
    server = await asyncio.start_server(busy, "127.0.0.1", 0)
    async with server:
        with pytest.raises(ScannerAway):
            await Clamd(f"127.0.0.1:{server.sockets[0].getsockname()[1]}").scan(tmp_path / "file")


def test_an_address_that_cannot_be_one_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKPOOL_CLAMD", "clamd")
    with pytest.raises(ValueError, match="host:port"):
        Clamd.from_environment()
