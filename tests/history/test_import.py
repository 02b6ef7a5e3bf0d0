"""A history from CSV: all of it in the books, proved like any other, or nothing with every bad row named."""

import asyncio
import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import CliRunner

from riskpool.audit import audit
from riskpool.cli import app
from riskpool.history.columns import COLUMNS, template
from riskpool.history.command import check_history
from riskpool.history.memory import Memory
from riskpool.history.writing import digest_of, write_history
from shared.database import migrate
from shared.messaging import tables as core
from shared.scheme.loader import content_of, load_scheme
from tests.conftest import Postgres

YANQING = load_scheme("yanqing")
Rows = list[dict[str, str]]
EVENTS = 20


@pytest.fixture(scope="module")
def make_fund(postgres: Postgres) -> Callable[[], str]:
    """An empty fund in a database of its own; gives the database's address."""
    postgres.role("pool")

    def made() -> str:
        url = postgres.database()
        migrate("pool", url, "pool")
        version = {"scheme": "yanqing", "version": YANQING.version}
        run(url, core.schemes.insert().values(**version))
        run(url, core.scheme_versions.insert().values(**version, content=content_of(YANQING)))
        return url

    return made


@pytest.fixture
def fund(make_fund: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> str:
    url = make_fund()
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", url)
    return url


@pytest.fixture(scope="module")
def never_written(make_fund: Callable[[], str]) -> str:
    """One that stays empty, whatever is tried with it."""
    return make_fund()


def run(url: str, statement: Any) -> list[Any]:
    """A statement in a transaction of its own; its rows, where it has any."""

    async def done() -> list[Any]:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            result = await connection.execute(text(statement) if isinstance(statement, str) else statement)
            rows = [tuple(row) for row in result] if result.returns_rows else []
        await engine.dispose()
        return rows

    return asyncio.run(done())


def example() -> Rows:
    return [{k: v for k, v in row.items() if v} for row in csv.DictReader(io.StringIO(template()))]


def written(directory: Path, rows: Iterable[dict[str, str]]) -> Path:
    file = directory / "history.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return file


def imported(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["import-history", *map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_a_good_file_is_in_the_books_once_and_an_audit_finds_no_difference(fund: str, tmp_path: Path) -> None:
    file = written(tmp_path, example())
    code, said = imported(file, "--check")
    assert (code, run(fund, "select count(*) from outbox")) == (0, [(0,)]) and "15 rows are right" in said
    code, said = imported(file)
    assert code == 0 and f"{EVENTS} events are written" in said and "14468001.00 of it available" in said
    [findings] = asyncio.run(audit({"pool": fund}))
    assert (findings.events, findings.decided, findings.count) == (EVENTS, EVENTS, 0), findings.differences
    done = CliRunner().invoke(app, ["books", "--json"])
    assert done.exit_code == 0 and '"closing": "14468001.00"' in done.output
    before = run(fund, "select * from schemes")
    code, said = imported(file)
    assert code == 0 and "nothing was done" in said
    assert run(fund, "select * from schemes") == before
    assert run(fund, "select count(*), count(published_at) from outbox") == [(EVENTS, 0)]


def test_it_goes_only_into_a_fund_that_has_no_events(fund: str, tmp_path: Path) -> None:
    assert imported(written(tmp_path, example()[:1]))[0] == 0
    code, said = imported(written(tmp_path, example()))
    assert code == 1 and "has 1 events already" in said
    assert imported(written(tmp_path, example()), "--check")[0] == 0
    code, said = imported(written(tmp_path, example()), "--scheme", "another")
    assert code == 1 and "no scheme 'another'" in said


def test_nothing_is_written_when_another_wrote_the_fund_or_the_file_is_another(fund: str, tmp_path: Path) -> None:
    file = written(tmp_path, example())

    async def write(digest: bytes, known: int) -> str:
        engine = create_async_engine(fund)
        try:
            await write_history(engine, YANQING, file, digest, known, lambda read: None)
        except Exception as error:
            return str(error)
        finally:
            await engine.dispose()
        return ""

    assert "somebody wrote the fund" in asyncio.run(write(digest_of(file), 1))
    assert "changed while it was read" in asyncio.run(write(b"another file", 0))
    for table in ("outbox", "journal", "account_days", "party_days", "fund", "compensations", "inbox"):
        assert run(fund, f"select count(*) from {table}") == [(0,)], table
    assert imported(file)[0] == 0


def changed(line: int, **cells: str) -> Rows:
    """The example with these cells of a line, as a spreadsheet numbers lines, filled in anew."""
    rows = example()
    rows[line - 2] = {column: cell for column, cell in {**rows[line - 2], **cells}.items() if cell}
    return rows


def without(*lines: int) -> Rows:
    return [row for line, row in enumerate(example(), 2) if line not in lines]


def added(*rows: dict[str, str]) -> Rows:
    return [*example(), *rows]


LATE = {"date": "2026-01-20"}
BAD: dict[str, tuple[Rows, int, str]] = {
    "kind": (changed(2, kind="gift"), 2, "kind: 'gift' is no kind of row: use one of capital"),
    "date": (changed(3, date="20.6.2025"), 3, "date: its date is not written YYYY-MM-DD"),
    "order": (changed(5, date="2025-01-07"), 5, "date: it is of 2025-01-07, after a row of 2025-06-23: sort"),
    "future": (added({"date": "9999-01-01", "kind": "notice", "notice_no": "9"}), 17, "which is still to come"),
    "columns": (changed(4, amount="1.00"), 4, "columns: a row of kind notice says nothing by amount"),
    "missing": (changed(8, bank_ref=""), 8, "fields: correct bank_ref: Field required"),
    "amount": (changed(8, amount="300,000"), 8, "fields: correct amount:"),
    "no loan": (changed(8, loan_no=""), 8, "loan_no is needed"),
    "source": (changed(2, source="lottery"), 2, "pool.capital:"),
    "too much": (changed(2, amount="16000000.00"), 2, "pool.capital:"),
    "bank_ref": (changed(10, bank_ref="R-1"), 10, "pool.custodian:"),
    "early": (changed(5, settled_on="2025-06-22"), 5, "pool.custodian:"),
    "received": (changed(8, received_on="2025-09-02"), 8, "pool.custodian:"),
    "no transfer": (changed(5, loan_no="L-9"), 5, "pool.custodian: no transfer for it is open"),
    "transfer": (changed(5, loan_no="", disbursement_id="D000009"), 5, "unknown:"),
    "no notice": (without(4), 4, "pool.custodian: no transfer for it is open"),
    "nothing": ([example()[0], {"date": "2025-01-07", "kind": "notice", "notice_no": "1"}], 3, "pool.notice:"),
    "twice": (added({**example()[1], **LATE}), 17, "duplicate: an earlier row says the same"),
    "unknown loan": (changed(9, loan_no="L-9"), 9, "unknown:"),
    "period": (changed(12, period="soon"), 12, "fields: correct"),
    "statement": (changed(13, balance="1.00"), 13, "pool.reconcile: the rows up to 2025-12-31 leave 14480001.00"),
    "rate": (changed(15, rate="0.90"), 15, "pool.fee:"),
    "who": (changed(14, by="scitech"), 14, "permission: by: 'scitech' may not"),
    "fee once": (added({**example()[13], **LATE}), 17, "pool.fee:"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", BAD)
def test_a_bad_row_is_named_with_its_line_its_rule_and_what_to_do(
    never_written: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str
) -> None:
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", never_written)
    rows, line, words = BAD[wrong]
    code, said = imported(written(tmp_path, rows))
    told = [row for row in said.splitlines() if row.startswith("line ")]
    assert code == 1 and "nothing is written" in said
    assert told[0].startswith(f"line {line}  ") and words in told[0], said
    assert run(never_written, "select count(*) from outbox") == [(0,)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the first line names the columns"),
        (b"date,kind\n", "there is no row in it"),
        (b"date,kind,colour\n", "it also has 'colour'"),
        (b"date,kind,kind\n", "each once"),
        (b"date,kind\n2025-01-01,notice,1\n", "it has 3 cells, the header has 2"),
        (b'date,kind\n2025-01-01,"notice\n', "it is not CSV"),
        ("date,kind,source\n2025-01-01,capital,政策\n".encode("gbk"), "it is not UTF-8"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_history_is_told(
    never_written: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, words: str
) -> None:
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", never_written)
    file = tmp_path / "history.csv"
    file.write_bytes(content)
    code, said = imported(file)
    assert code == 1 and words in said and "nothing is written" in said


def test_every_bad_row_is_named_not_only_the_first(tmp_path: Path) -> None:
    rows = [*changed(2, source="lottery"), {**LATE, "kind": "gift"}, {**LATE, "kind": "notice", "amount": "1.00"}]
    file = written(tmp_path, rows)
    checked = asyncio.run(check_history(YANQING, file, digest_of(file)))
    assert {2, 17, 18} <= {problem.line for problem in checked.problems}


def test_what_excel_saves_is_read_and_consents_of_one_document_are_one_message(fund: str, tmp_path: Path) -> None:
    rows = example()[:2]
    rows += [{**rows[1], "loan_no": "L-7"}, {**rows[1], "loan_no": "L-8", "document_no": "2025-2"}]
    file = written(tmp_path, rows)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert imported(file)[0] == 0
    consents = "select jsonb_array_length(payload::jsonb->'data'->'items') from outbox where name = 'ApprovalRecorded'"
    assert run(fund, f"{consents} order by id") == [(2,), (1,)]


def test_a_writer_that_comes_in_between_has_the_whole_import_refused(
    fund: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finished(memory: Memory) -> Any:
        thread = Thread(target=run, args=(fund, "update schemes set written = written + 1"))
        thread.start()
        thread.join()
        return {}

    monkeypatch.setattr(Memory, "finished", finished)
    code, said = imported(written(tmp_path, example()))
    assert code == 1 and "somebody wrote the fund meanwhile: nothing is written" in said
    assert run(fund, "select count(*) from outbox") == [(0,)]
