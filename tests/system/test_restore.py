"""A backup taken in full work is restored with equal books; an older database heals, or says what it lost."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from riskpool.audit import audit
from riskpool.backups.archive import Archive
from riskpool.backups.cut import BackupError, one_moment
from riskpool.backups.dump import restore
from riskpool.demo import STORY
from riskpool.scenario.embedded import make_tokens, organisations_of
from riskpool.scenario.runner import run_scenario
from riskpool.scenario.story import load_story
from riskpool.services import OWNER_URL, SERVICES
from shared.database import migrate
from tests.conftest import Postgres, eventually, make_tables
from tests.system.conftest import RunningStack
from tests.system.test_backup import Fund

pytestmark = pytest.mark.slow
DOCUMENT = b"a licence"
UNPUBLISHED = "select count(*) from outbox where published_at is null"


def riskpool(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "riskpool", *map(str, words)]
    env = {**os.environ, "NO_COLOR": "1", **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="module")
def stack(start_for_module: Callable[..., Any]) -> Any:
    """A stack with a document."""
    running = start_for_module("data", "--free-ports", "--clock", "message").until_ready()
    keep_document(running.data / "documents", DOCUMENT)
    return running


def keep_document(directory: Path, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    (directory / digest[:2]).mkdir(parents=True, exist_ok=True)
    (directory / digest[:2] / digest).write_bytes(content)
    return digest


async def play(running: Any) -> None:
    """Three years of the fund."""
    tokens = await make_tokens(running.database_url("gateway"), "yanqing", organisations_of(load_story(STORY)))
    outcome = await run_scenario(STORY, api_url=running.api_url, nats_url=running.nats_url, tokens=tokens)
    assert outcome.ok, "\n".join(map(str, outcome.failed))


@pytest.fixture(scope="module")
def taken(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup taken while the story goes on, some seconds after its beginning."""
    directory = tmp_path_factory.mktemp("backups")

    async def both() -> str:
        story = asyncio.create_task(play(stack))
        await asyncio.sleep(6)
        done = await asyncio.to_thread(riskpool, "backup", directory / "fund.backup", "--data", stack.data)
        assert done.returncode == 0, done.stderr
        assert not story.done(), "the story was over before the backup: it shows nothing"
        await story
        return done.stdout

    printed = asyncio.run(both())
    print(printed)
    assert "writers waited at most" in printed and "No keys and no passwords" in printed
    return directory / "fund.backup"


@pytest.fixture(scope="module")
def place(taken: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where it was restored: a directory that PostgreSQL's account can reach."""
    directory = Path(tempfile.mkdtemp(prefix="riskpool-restored-"))
    directory.chmod(0o711)
    done = riskpool("restore", taken, "--data", directory / "data")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the books are proved" in done.stdout
    yield directory / "data"
    shutil.rmtree(directory, ignore_errors=True)


def rows(running: Any, service: str, query: str) -> Any:
    async def once() -> Any:
        connection = await asyncpg.connect(running.database_url(service).replace("+asyncpg", ""), ssl=False)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(once())


def test_what_is_restored_fills_a_new_bus_and_goes_on_with_the_same_books(taken: Path, place: Path) -> None:
    running = RunningStack(place, "--free-ports", "--clock", "message")
    try:
        running.until_ready()
        events = "select count(*) from outbox where stream = 'EVENTS'"

        def is_taken() -> bool:
            recorded = sum(rows(running, name, events) for name in SERVICES)
            return bool(rows(running, "gateway", "select count(*) from events") == recorded)

        eventually(is_taken)
        for name in SERVICES:
            eventually(lambda name=name: rows(running, name, UNPUBLISHED) == 0)
        found = asyncio.run(audit({name: running.database_url(name) for name in SERVICES}))
        assert [words for one in found for words in one.differences] == []
        heads = Archive(taken).manifest["databases"]["pool"]["heads"]["yanqing"]
        assert rows(running, "pool", "select position from schemes") >= heads["position"] > 0
        for name in SERVICES:
            assert rows(running, name, "select count(*) from parked") == 0
        checked = riskpool("gateway", "rebuild", "--check", "--data", place)
        assert checked.returncode == 0, checked.stdout
    finally:
        running.stop()
    [document] = (place / "documents").glob("??/*")
    assert document.read_bytes() == DOCUMENT


def test_an_effect_whose_cause_its_database_lost_is_named(stack: Any, taken: Path) -> None:
    urls = {name: stack.database_url(name) for name in SERVICES}
    owner = stack.description["owner_database"].format(service="review").replace("+asyncpg", "")

    async def changed(statement: str) -> Any:
        connection = await asyncpg.connect(owner, ssl=False)
        try:
            await connection.execute("set session_replication_role = replica")
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    lost = asyncio.run(changed(
        "update outbox set event_id = 'lost-' || event_id where name = 'CompensationApproved' returning event_id"
    ))  # fmt: skip
    try:
        found = {one.service: one.differences for one in asyncio.run(audit(urls))}
    finally:
        asyncio.run(changed("update outbox set event_id = substr(event_id, 6) where event_id like 'lost-%'"))
    for taker in ("pool", "gateway"):
        assert any(lost[5:] in words and "whose outbox does not have it" in words for words in found[taker])
    assert asyncio.run(differences(urls)) == []


async def differences(urls: dict[str, str]) -> list[str]:
    return [words for one in await audit(urls) for words in one.differences]


def damaged(whole: bytes) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(7)
    for _ in range(12):
        place = chance.randrange(len(whole))
        byte = bytes([whole[place] ^ 1 << chance.randrange(8)])
        yield f"bit of byte {place}", whole[:place] + byte + whole[place + 1 :]
    yield "cut short", whole[: len(whole) // 2]
    yield "empty", b""


def test_a_damaged_file_is_refused_before_anything_is_written(taken: Path, tmp_path: Path) -> None:

    refused = 0
    for what, content in damaged(taken.read_bytes()):
        file = tmp_path / "damaged.backup"
        file.write_bytes(content)
        try:
            Archive(file).check()
        except BackupError as error:
            assert "is damaged" in str(error) or "format" in str(error), what
            refused += 1
        else:  # a bit of the file that says nothing of the books, such as the date of a member
            assert contents(file) == contents(taken), what
    assert refused >= 10
    file.write_bytes(taken.read_bytes()[:-1000])
    done = riskpool("restore", file, "--data", tmp_path / "data")
    assert done.returncode == 1
    assert "is damaged" in done.stderr and "Nothing was written" in done.stderr
    assert not (tmp_path / "data").exists()


def contents(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_place_that_is_not_empty_is_left_as_it_is(taken: Path, stack: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "letter.txt").write_text("dear")
    done = riskpool("restore", taken, "--data", tmp_path / "data")
    assert done.returncode == 1 and "is not empty" in done.stderr
    assert [one.name for one in (tmp_path / "data").iterdir()] == ["letter.txt"]
    owner = {OWNER_URL: stack.description["owner_database"], "RISKPOOL_DOCUMENTS": str(tmp_path / "documents")}
    done = riskpool("restore", taken, **owner)
    assert done.returncode == 1 and "is not empty" in done.stderr


def test_keys_are_kept_only_when_asked_for(stack: Any, taken: Path, tmp_path: Path) -> None:
    secrets = [*json.loads((stack.data / "secrets.json").read_text()).values()]
    secrets += [(stack.data / name).read_text() for name in ("signing-key", "keys/gateway/operator.seed")]
    without = b"".join(contents(taken).values())
    assert not any(secret.strip().encode() in without for secret in secrets)
    done = riskpool("backup", tmp_path / "keys.backup", "--data", stack.data, "--with-keys")
    assert done.returncode == 0 and "guard it" in done.stdout
    kept = contents(tmp_path / "keys.backup")
    assert kept["keys/signing-key"] == (stack.data / "signing-key").read_bytes()
    assert kept["keys/keys/gateway/operator.seed"] == (stack.data / "keys/gateway/operator.seed").read_bytes()


def test_a_missing_or_damaged_document_is_named_and_the_rest_is_kept(stack: Any, tmp_path: Path) -> None:
    odd = stack.data / "documents" / "ab" / ("ab" + "0" * 62)
    odd.parent.mkdir(exist_ok=True)
    odd.write_bytes(b"another content")
    try:
        done = riskpool("backup", tmp_path / "odd.backup", "--data", stack.data)
    finally:
        odd.unlink()
    assert done.returncode == 1 and f"document {odd.name} is damaged" in done.stderr
    Archive(tmp_path / "odd.backup").check()


def test_servers_given_by_their_address_are_filled_and_kept(taken: Path, postgres: Postgres, tmp_path: Path) -> None:
    for name in SERVICES:
        postgres.database(f"restored_{name}")
    postgres.role("restored")
    servers = {
        OWNER_URL: postgres.url("restored_{service}"),
        "RISKPOOL_DATABASE_ROLE": "restored",
        "RISKPOOL_DOCUMENTS": str(tmp_path / "documents"),
    }
    done = riskpool("restore", taken, **servers)
    assert done.returncode == 0, done.stdout + done.stderr
    done = riskpool("backup", tmp_path / "again.backup", **servers)
    assert done.returncode == 0, done.stderr
    assert riskpool("audit", **servers).returncode == 0
    first, again = Archive(taken).manifest, Archive(tmp_path / "again.backup").manifest
    assert first["databases"] == again["databases"] and first["documents"] == again["documents"] == 1


def test_one_database_that_is_older_takes_again_what_it_lacks_or_says_what_it_lost(
    stack: Any, taken: Path, tmp_path: Path
) -> None:
    newer, fund = tmp_path / "newer.backup", Fund(stack)
    assert riskpool("backup", newer, "--data", stack.data).returncode == 0
    before = rows(stack, "gateway", "select count(*) from events")
    assert {fund.income(1000 + number) for number in range(5)} == {"accepted"}
    eventually(lambda: rows(stack, "gateway", "select count(*) from events") >= before + 5)
    whole = rows(stack, "gateway", "select count(*) from events")

    put_back(stack, "gateway", newer)
    assert rows(stack, "gateway", "select count(*) from events") == before
    stack.kill("gateway")
    eventually(lambda: rows(stack, "gateway", "select count(*) from events") == whole, 60)
    assert "reading the stream again" in (stack.data / "logs" / "gateway.log").read_text()
    eventually(lambda: answer_of(stack)["ready"])
    checked = riskpool("gateway", "rebuild", "--check", "--data", stack.data)
    assert checked.returncode == 0, checked.stdout

    put_back(stack, "gateway", taken)  # it announced days since
    stack.kill("gateway")
    eventually(lambda: "is older than what gateway has announced" in answer_of(stack).get("reason", ""), 60)
    put_back(stack, "gateway", newer)
    eventually(lambda: answer_of(stack)["ready"], 60)
    eventually(lambda: rows(stack, "gateway", "select count(*) from events") == whole, 60)


def test_a_pool_that_is_older_pays_nothing_twice_on_a_new_bus(stack: Any, taken: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.backup"
    assert riskpool("backup", newer, "--data", stack.data).returncode == 0
    transfers = "select count(*) from outbox where name like '%Instructed'"
    instructed, told = rows(stack, "pool", transfers), rows(stack, "gateway", "select count(*) from disbursements")

    put_back(stack, "pool", taken)
    assert (older := rows(stack, "pool", transfers)) < instructed == told
    os.kill(stack.pid("nats"), signal.SIGSTOP)  # else it writes while its directory is deleted
    shutil.rmtree(stack.data / "nats")
    stack.kill("pool")
    stack.kill("nats")
    eventually(lambda: "but the gateway has folded event" in answer_of(stack, "pool").get("reason", ""), 60)
    for name in ("referral", "review", "recovery", "gateway"):
        eventually(lambda name=name: answer_of(stack, name)["ready"] and rows(stack, name, UNPUBLISHED) == 0, 60)
    assert rows(stack, "pool", transfers) == older and not answer_of(stack, "pool")["ready"]

    put_back(stack, "pool", newer)
    stack.kill("pool")
    eventually(lambda: answer_of(stack, "pool")["ready"], 60)
    assert rows(stack, "pool", transfers) == instructed
    assert rows(stack, "gateway", "select count(*) from disbursements") == told
    found = asyncio.run(audit({name: stack.database_url(name) for name in SERVICES}))
    assert [words for one in found for words in one.differences] == []


def put_back(running: Any, service: str, backup: Path) -> None:
    """What an operator does with one database: dropped, made, filled from a backup."""
    owner = running.description["owner_database"]

    async def empty() -> None:
        connection = await asyncpg.connect(owner.format(service="postgres").replace("+asyncpg", ""), ssl=False)
        await connection.execute(f'drop database "{service}" with (force)')
        await connection.execute(f'create database "{service}"')
        await connection.execute(f'grant connect on database "{service}" to "{service}"')
        await connection.close()

    asyncio.run(empty())
    restore(owner.format(service=service), Archive(backup).chunks(f"databases/{service}.dump"))
    migrate(service, owner.format(service=service), service)


def answer_of(running: Any, service: str = "gateway") -> dict[str, Any]:
    with contextlib.suppress(httpx.HTTPError):
        return dict(httpx.get(f"{running.description['services'][service]}/readyz", timeout=2, trust_env=False).json())
    return {"ready": False}


def test_a_cut_never_holds_an_effect_without_its_cause(postgres: Postgres) -> None:
    urls = {"review": postgres.database(), "pool": postgres.database()}
    found = asyncio.run(cuts(urls, 40))
    assert found.pop("effects") > 0, "nothing was written while the cuts were taken: they show nothing"
    assert found == {"without a cause": 0}


async def cuts(urls: dict[str, str], number: int) -> dict[str, int]:
    """Causes and their effects are written as fast as can be while cuts are taken."""
    for url in urls.values():
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.run_sync(make_tables)
        await engine.dispose()
    writers = [asyncio.create_task(write(urls, name)) for name in ("one", "two", "three")]
    effects = wrong = 0
    for _ in range(number):
        async with one_moment(urls) as cut:
            read = {}
            for name, query in (
                ("review", "select event_id from outbox"), ("pool", "select message_id from inbox"),
            ):  # fmt: skip
                connection = await asyncpg.connect(urls[name].replace("+asyncpg", ""), ssl=False)
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    await connection.execute(f"set transaction snapshot '{cut.snapshots[name]}'")
                    read[name] = {row[0] for row in await connection.fetch(query)}
                await connection.close()
        effects += len(read["pool"])
        wrong += len(read["pool"] - read["review"])
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    return {"effects": effects, "without a cause": wrong}


async def write(urls: dict[str, str], name: str) -> None:
    """A decision in one database and, as soon as it is committed, its effect in the other: each changes the fence."""
    review, pool = [await asyncpg.connect(url.replace("+asyncpg", ""), ssl=False) for url in urls.values()]
    fence = "with fence as (update schemes set written = written + 1 returning scheme)"
    cause = f"""{fence} insert into outbox (event_id, scheme, stream, subject, name, payload, position, sha256)
        select $1, scheme, 'EVENTS', 's', 'n', '{{}}', 1, '\\x00' from fence"""
    effect = f"{fence} insert into inbox select 'events', '/services/review', $1, '\\x00' from fence"
    with contextlib.suppress(asyncio.CancelledError):
        for number in range(1_000_000):
            await review.execute(cause, f"{name} {number}")
            await pool.execute(effect, f"{name} {number}")
    for connection in (review, pool):
        connection.terminate()
