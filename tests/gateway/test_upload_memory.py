"""A table is read, and its rejected rows are given back, in memory that does not grow with what its rows hold."""

import asyncio
import csv
import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.auth.callers import Caller
from services.gateway.documents.refused import NotTaken
from services.gateway.tables import uploads
from services.gateway.uploads.columns import headed
from services.gateway.uploads.intake import TABLES_AT_ONCE, errors_of, in_turn
from services.gateway.uploads.sheets import read_headings
from services.gateway.uploads.work import lines_of
from shared.scheme.loader import load_scheme

ROWS, CELL = 10_000, 2_000
HEADS = ["id", "uscc", "reason"]
BANK = Caller(load_scheme("yanqing"), "bank-a", "bank")


def peak_mb() -> float:
    return tracemalloc.get_traced_memory()[1] / 2**20


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def rows() -> Iterator[tuple[int, list[Any]]]:
    for number in range(2, ROWS + 2):
        yield number, [f"{number:0200}", "91110119MA01ABC17J", f"{number:0180}"]


@pytest.mark.usefixtures("traced")
def test_of_rows_that_were_read_digests_are_kept_and_nothing_else() -> None:
    found = lines_of("FinancingDeclined", headed("FinancingDeclined", HEADS), rows())
    events = sum(not line.problem and not line.again for line in found)
    assert events == ROWS and peak_mb() * 2**20 < ROWS * 500


@pytest.fixture
async def rejected(engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncEngine:
    """Two uploads, as csv and as xlsx, whose every row was refused: forty megabytes of cells in the database."""
    monkeypatch.setenv("RISKPOOL_DOCUMENTS", str(tmp_path))
    async with engine.begin() as connection:
        for kind in ("csv", "xlsx"):
            upload = {
                "id": kind, "scheme": "yanqing", "institution": "bank-a", "event": "FinancingDeclined", "name": kind,
                "kind": kind, "sha256": "", "headings": HEADS, "rows": ROWS, "moment": text("now()"),
                "uploaded_at": text("now()"),
            }  # fmt: skip
            await connection.execute(uploads.insert().values(upload))
            await connection.execute(
                text(
                    "insert into upload_rows (upload, line, event_id, outcome, rule, cells) select :kind, n + 1, "
                    "'id-' || n, 'refused', 'loan.pushed', jsonb_build_array('id-' || n, '=1+1', repeat('x', :cell)) "
                    "from generate_series(1, :rows) as n"
                ),
                {"kind": kind, "cell": CELL, "rows": ROWS},
            )
    return engine


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
async def test_rejected_rows_go_from_the_database_to_the_disk_some_at_a_time(rejected: AsyncEngine, kind: str) -> None:
    async with rejected.connect() as connection:
        row = (await connection.execute(select(uploads).where(uploads.c.id == kind))).one()
        tracemalloc.start()
        try:
            with await errors_of(connection, BANK, row, "zh") as file:
                assert peak_mb() < 8
                file.seek(0)
                content = file.read()
        finally:
            tracemalloc.stop()
    if kind == "csv":
        found = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    else:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
        found = [[str(cell) for cell in line] for line in book.worksheets[0].iter_rows(values_only=True)]
    assert found[0] == [*HEADS, "# line", "# rule", "# advice"] and len(found) == ROWS + 1
    assert found[-1][0] == f"id-{ROWS}" and found[-1][1].lstrip("'") == "=1+1" and found[-1][4] == "loan.pushed"


@pytest.mark.parametrize(
    "content", ["x" * 1_100_000, "," * 1_100_000, '"' + "a\n" * 600_000, ('"\n"' + "," * 900) * 1_300]
)
def test_a_row_without_an_end_is_not_taken(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(HEADS) + "\n" + content)
    with pytest.raises(NotTaken):
        read_headings(path, "csv", "FinancingDeclined")


async def test_few_tables_are_read_at_once_and_one_of_an_institution() -> None:
    at_once: list[str] = []

    async def read(institution: str) -> None:
        async with in_turn(Caller(BANK.scheme, institution, "bank")):
            at_once.append(institution)
            await asyncio.sleep(0.01)
            assert len(at_once) <= TABLES_AT_ONCE and len(set(at_once)) == len(at_once)
            at_once.remove(institution)

    await asyncio.gather(*(read(f"bank-{number % 4}") for number in range(40)))
