"""One byte changed anywhere in the books is found, with the row it is in: in the databases, and in a bundle of them."""

import asyncio
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from riskpool.audit import audit
from riskpool.demo import STORY
from riskpool.proof.bundle import MANIFEST, README
from riskpool.proof.export import export
from riskpool.proof.rate import replay_rate
from riskpool.proof.verify import verify
from riskpool.scenario.embedded import make_tokens, organisations_of
from riskpool.scenario.runner import run_scenario
from riskpool.scenario.story import load_story
from riskpool.services import SERVICES

pytestmark = pytest.mark.slow
SEED = random.SystemRandom().randrange(10**6)
FLIPS_IN_A_BUNDLE = 40
Value = Any


@pytest.fixture(scope="module")
def stack(start_for_module: Callable[..., Any]) -> Any:
    """A stack that has played three years of the fund."""
    running = start_for_module("data", "--free-ports", "--clock", "message").until_ready()

    async def play() -> None:
        tokens = await make_tokens(running.database_url("gateway"), "yanqing", organisations_of(load_story(STORY)))
        outcome = await run_scenario(STORY, api_url=running.api_url, nats_url=running.nats_url, tokens=tokens)
        assert outcome.ok, "\n".join(map(str, outcome.failed))

    asyncio.run(play())
    return running


@pytest.fixture(scope="module")
def bundle(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "books.zip"
    asyncio.run(export(path, {name: stack.database_url(name) for name in SERVICES}))
    return path


# -- the databases ---------------------------------------------------------------------------------------------------


def flipped(value: Value, chance: random.Random) -> Value:
    """The value with one byte changed, as text stays text and a moment a moment."""
    if isinstance(value, bytes):
        place = chance.randrange(len(value))
        return value[:place] + bytes([value[place] ^ 1 << chance.randrange(8)]) + value[place + 1 :]
    if isinstance(value, str):
        place = chance.choice([n for n, ch in enumerate(value) if ch.isascii() and ch.isalnum()])
        changed = value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
        return changed if is_json(changed) or not is_json(value) else flipped(value, chance)
    if isinstance(value, int):
        return value ^ 1 << chance.randrange(1, 8)
    return value + timedelta(days=1) if not hasattr(value, "hour") else value + timedelta(microseconds=1)


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


ROWS = {
    "outbox": ("stream = 'EVENTS'", "outbox {scheme} position {position} event"),
    "journal": ("true", "journal {scheme} seq {seq}:"),
    "account_days": ("true", "account_days {scheme} {account} {day}"),
    "party_days": ("true", "party_days {scheme} {day} {institution} {department} {account}"),
    "scheme_versions": ("true", "scheme_versions {scheme} {version}"),
    "schemes": ("true", "schemes {scheme}"),
    "bank_refs": ("true", "bank_ref {scheme}/{key}"),
    "closes": ("true", "close {scheme}/{key}"),
}
CELLS = [
    *[(service, "outbox", "payload") for service in SERVICES for _ in range(2)],
    *[("pool", "outbox", column) for column in ("payload", "event_id", "name", "subject", "recorded_at", "sha256")],
    *[("review", "outbox", column) for column in ("event_id", "name", "subject", "recorded_at", "sha256", "position")],
    *[("pool", "journal", column) for column in ("event_id", "debit", "credit", "amount_fen", "effective_on")],
    *[("pool", "journal", column) for column in ("recorded_at", "sha256")],
    *[("pool", "account_days", column) for column in ("account", "day", "debit_fen", "credit_fen")],
    *[("pool", "party_days", column) for column in ("institution", "department", "debit_fen", "credit_fen")],
    *[("pool", "schemes", column) for column in ("position", "sha256", "rows", "rows_sha256", "version")],
    *[(service, "scheme_versions", "content") for service in SERVICES],
    ("recovery", "scheme_versions", "version"),
    ("pool", "bank_refs", "doc"),
    ("pool", "closes", "doc"),
]
KNOWN_BY = {("outbox", "position"), ("scheme_versions", "version")}
"""A row is called by what it says itself, also where just that was changed."""


@contextmanager
def owner(stack: Any, service: str) -> Iterator[Callable[..., Any]]:
    """Run statements as the database's owner, for whom no trigger fires."""
    url = stack.description["owner_database"].format(service=service).replace("+asyncpg", "")

    def run(statement: str, *arguments: Value) -> Any:
        async def once() -> Any:
            connection = await asyncpg.connect(url, ssl=False)
            try:
                await connection.execute("set session_replication_role = replica")
                return await connection.fetch(statement, *arguments)
            finally:
                await connection.close()

        return asyncio.run(once())

    yield run


def differences(stack: Any, service: str) -> list[str]:
    [found] = asyncio.run(audit({service: stack.database_url(service)}))
    return found.differences


def test_books_that_nobody_touched_have_no_difference(stack: Any) -> None:
    found = asyncio.run(audit({name: stack.database_url(name) for name in SERVICES}))
    assert [words for one in found for words in one.differences] == []
    pool = next(one for one in found if one.service == "pool")
    assert pool.decided + pool.closes == pool.events and pool.closes >= 2 and pool.unsigned == 0


@pytest.mark.parametrize(("number", "cell"), list(enumerate(CELLS)))
def test_a_byte_flipped_in_a_database_is_found_with_its_row(stack: Any, number: int, cell: Any) -> None:
    service, table, column = cell
    chance, (where, named) = random.Random(SEED + number), ROWS[table]
    with owner(stack, service) as run:
        row = chance.choice(run(f"select ctid::text as place, * from {table} where {where} order by 2, 3"))
        before, changed = row[column], flipped(row[column], chance)
        kind = "::jsonb" if column in ("content", "doc") else ""
        [now] = run(f"update {table} set {column} = $1{kind} where ctid = $2::text::tid returning ctid::text",
                    changed, row["place"])  # fmt: skip
        try:
            found = differences(stack, service)
        finally:
            run(f"update {table} set {column} = $1{kind} where ctid = $2::text::tid", before, now["ctid"])
    known = {**row, column: changed} if cell[1:] in KNOWN_BY else row
    assert found and named.format(**known) in "".join(found[:2]), (SEED, row[column], changed, found[:3])
    assert differences(stack, service) == []


@pytest.mark.parametrize(
    ("service", "change", "undo", "told"),
    [
        ("review", "body_sha256 = sha256(body_sha256)", "", "from referral with another body than its outbox has"),
        ("pool", "kind = 'custodian'", "kind = 'bank'", "institutions yanqing bank-a: no agreement says so"),
    ],
)
def test_what_two_databases_say_differently_is_found(
    stack: Any, service: str, change: str, undo: str, told: str
) -> None:
    urls = {name: stack.database_url(name) for name in ("referral", "review", "pool")}
    with owner(stack, service) as run:
        if undo:
            run(f"update institutions set {change} where id = 'bank-a'")
        else:
            [row] = run("select * from inbox where source = '/services/referral' order by message_id limit 1")
            run(f"update inbox set {change} where message_id = $1", row["message_id"])
        try:
            found = [words for one in asyncio.run(audit(urls)) for words in one.differences]
        finally:
            if undo:
                run(f"update institutions set {undo} where id = 'bank-a'")
            else:
                run("update inbox set body_sha256 = $1 where message_id = $2", row["body_sha256"], row["message_id"])
    assert len(found) == 1 and told in found[0]


def test_a_deleted_last_event_a_deleted_journal_row_and_swapped_events_are_found(stack: Any) -> None:
    last = "select max(id) from outbox where stream = 'EVENTS'"
    with owner(stack, "pool") as run:
        [row] = run(f"delete from outbox where id = ({last}) returning *")
        assert f"outbox yanqing position {row['position']}" not in (found := differences(stack, "pool"))
        assert any(words.startswith("schemes yanqing: position") for words in found)
        columns = ", ".join(row.keys())
        values = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        run(f"insert into outbox ({columns}) overriding system value values ({values})", *row.values())
        [row] = run("delete from journal where seq = 2 returning *")
        assert "journal yanqing seq 3: seq: is '3', the events say '2'" in differences(stack, "pool")
        values = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        run(f"insert into journal ({', '.join(row.keys())}) values ({values})", *row.values())
        swap = """update outbox o set position = 5 - position, sha256 = (select sha256 from outbox i
            where i.position = 5 - o.position and i.stream = 'EVENTS') where position in (2, 3)"""
        run(swap)
        assert "outbox yanqing position 3 event" in differences(stack, "pool")[0]
        run(swap)
    assert differences(stack, "pool") == []


# -- a bundle --------------------------------------------------------------------------------------------------------


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewritten(content: dict[str, bytes], path: Path) -> Path:
    """A bundle of these members whose manifest agrees with them."""
    manifest = json.loads(content[MANIFEST])
    for name in manifest["members"]:
        manifest["members"][name]["sha256"] = sha256(content[name]).hexdigest()
    with zipfile.ZipFile(path, "w") as file:
        for name, body in {**content, MANIFEST: json.dumps(manifest).encode()}.items():
            file.writestr(name, body)
    return path


def found_in(path: Path, *keys: str) -> list[str]:
    return [words for one in verify(path, keys) for words in one.differences]


def test_a_clean_bundle_verifies_where_there_is_no_database(bundle: Path) -> None:
    key = members(bundle)["public-key.txt"].decode().strip()
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('sqlalchemy', 'asyncpg', 'nats', 'fastapi')))\n"
        f"from riskpool.cli import app; app(['audit', 'verify', {str(bundle)!r}, '--key', {key!r}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "events in" in done.stdout


def test_the_same_books_make_the_same_bundle(stack: Any, bundle: Path, tmp_path: Path) -> None:
    asyncio.run(export(tmp_path / "again.zip", {name: stack.database_url(name) for name in SERVICES}))
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_a_byte_flipped_in_a_bundle_is_found_though_its_manifest_agrees(bundle: Path, tmp_path: Path) -> None:
    chance, whole = random.Random(SEED), members(bundle)
    names = [name for name in whole if name not in (MANIFEST, README)]
    chains = [name for name in names if name.startswith(("pool/yanqing", "review/yanqing"))]
    for number in range(FLIPS_IN_A_BUNDLE):
        name = chance.choice(names if number % 2 else chains)
        body = bytearray(whole[name])
        place = chance.randrange(len(body))
        body[place] ^= 1 << chance.randrange(8)
        found = found_in(rewritten({**whole, name: bytes(body)}, tmp_path / "flipped.zip"))
        assert found, (SEED, name, place)
        if name in chains:
            line = bytes(whole[name][:place]).count(b"\n") + 1
            assert any(str(n) in found[0] for n in (line, line - 1)), (SEED, name, line, found[:2])


def test_an_event_written_anew_with_its_whole_chain_is_found_by_the_rules(bundle: Path, tmp_path: Path) -> None:
    whole = members(bundle)
    payloads = whole["pool/yanqing/events.jsonl"].splitlines()
    number = next(n for n, one in enumerate(payloads) if b"IncomeBooked" in one)
    payloads[number] = payloads[number].replace(b'"loss":false', b'"loss":true')
    whole["pool/yanqing/events.jsonl"] = b"\n".join(payloads) + b"\n"
    links, before = [], bytes(32)
    for link, payload in zip(whole["pool/yanqing/chain.txt"].splitlines(), payloads, strict=True):
        before = sha256(before + link[:-64] + payload).digest()
        links.append(link[:-64] + before.hex().encode() + b"\n")
    whole["pool/yanqing/chain.txt"] = b"".join(links)
    heads = [json.loads(line) for line in whole["heads.jsonl"].splitlines()]
    for head in heads:
        head["sha256"] = before.hex() if head["service"] == "pool" else head["sha256"]
    whole["heads.jsonl"] = "\n".join(map(json.dumps, heads)).encode()
    found = found_in(rewritten(whole, tmp_path / "anew.zip"))
    assert f"position {number + 1} event" in found[0] and "loss is True, the rules give False" in found[0]


def test_closes_must_be_signed_with_the_key_that_was_handed_out(bundle: Path) -> None:
    key = members(bundle)["public-key.txt"].decode().strip()
    assert found_in(bundle, key) == found_in(bundle, "00" * 32, key) == []
    assert "close of 2026H1: public_key" in found_in(bundle, "00" * 32)[0]


def test_a_close_that_was_handed_out_must_be_there_and_with_a_key_one_of_every_half(
    bundle: Path, tmp_path: Path
) -> None:
    whole = members(bundle)
    key = whole["public-key.txt"].decode().strip()
    digests = [json.loads(line)["digest"] for line in whole["closes.jsonl"].splitlines()]
    assert [words for one in verify(bundle, [key], digests) for words in one.differences] == []
    [told] = [words for one in verify(bundle, [key], ["00" * 32]) for words in one.differences]
    assert told == f"closes.jsonl: has no close {'00' * 32}"
    lines = whole["pool/yanqing/events.jsonl"].splitlines(keepends=True)
    whole["pool/yanqing/events.jsonl"] = b"".join(line for line in lines if b"BooksClosed" not in line)
    assert "fund yanqing: close of 2026H1: is missing" in found_in(rewritten(whole, tmp_path / "open.zip"), key)


def test_a_file_that_is_no_bundle_ends_with_2(tmp_path: Path) -> None:
    file = tmp_path / "no.zip"
    file.write_text("no bundle")
    command = [sys.executable, "-m", "riskpool", "audit", "verify", str(file)]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 2


def test_an_audit_says_how_fast_it_goes() -> None:
    assert replay_rate(2000) > 0
