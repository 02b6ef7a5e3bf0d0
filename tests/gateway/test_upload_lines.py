"""Rows of a table as events: their ids, their cells, and how little of a large file is in memory at once."""

from pathlib import Path

import psutil
import pytest
import xlsxwriter

from services.gateway.uploads.columns import BadHeading, columns_of, data_of, headed
from services.gateway.uploads.sheets import MOST_ROWS, read_headings, rows_of, template
from services.gateway.uploads.work import lines_of
from shared.contracts.registry import PARTNER_EVENTS

HEADS = ["loan_no", "principal", "repaid_on"]


def csv_file(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join([",".join(HEADS), *lines]), encoding="utf-8")
    return path


def lines(path: Path, kind: str = "csv") -> list:
    columns, _ = read_headings(path, kind, "LoanRepaid")
    rows = rows_of(path, kind)
    next(rows)
    return list(lines_of("LoanRepaid", columns, rows))


def test_equal_rows_of_a_file_have_ids_of_their_own_and_the_same_again(tmp_path: Path) -> None:
    row = "A-1,1.00,2026-02-01"
    first = lines(csv_file(tmp_path / "a.csv", [row, row, "A-1,2.00,2026-02-01"]))
    assert len({line.event_id for line in first}) == 3
    again = lines(csv_file(tmp_path / "b.csv", ["A-1,2.00,2026-02-01", "", "# a remark", row, row]))
    assert {line.event_id for line in again} == {line.event_id for line in first}
    assert [line.number for line in again] == [2, 5, 6]


@pytest.mark.parametrize(
    ("cell", "amount"),
    [("5,000,000", "5000000.00"), (12.5, "12.50"), (7, "7.00"), ("0.10", "0.10"), ("1.005", "1.005"), ("x", "x")],
)
def test_an_amount_is_read_exactly_or_left_to_be_refused(cell: object, amount: str) -> None:
    assert data_of(headed("LoanRepaid", HEADS), ["A-1", cell, "2026-02-01"])["principal"] == amount


def test_lists_and_statements_have_a_plain_form() -> None:
    columns = headed("LoanDefaulted", [one.name for one in columns_of("LoanDefaulted") if one.name != "id"])
    cells = {"evidence": "a; b；c", "recovery_statements": "L-1 | 2026-03-01 | sued | won\nL-2|2026-03-02|called"}
    data = data_of(columns, [cells.get(column.name, "") for column in columns])
    assert data["evidence"] == ["a", "b", "c"]
    assert data["recovery_statements"] == [
        {"loan_no": "L-1", "as_of": "2026-03-01", "text": "sued | won"},
        {"loan_no": "L-2", "as_of": "2026-03-02", "text": "called"},
    ]


@pytest.mark.parametrize("name", sorted(PARTNER_EVENTS))
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_template_is_a_table_without_rows(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "template"
    path.write_bytes(template(name, kind))
    with pytest.raises(BadHeading, match="0"):
        read_headings(path, kind, name)


def test_a_file_in_the_encoding_of_older_offices_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    chinese = {column.name: column.zh for column in columns_of("LoanRepaid")}
    table = ",".join(chinese[name] for name in HEADS) + "\n甲-1,1.00,2026-02-01\n"
    path.write_bytes(table.encode("gb18030"))
    [line] = lines(path)
    assert line.data["loan_no"] == "甲-1"


@pytest.mark.parametrize(("kind", "number"), [("csv", MOST_ROWS), ("xlsx", MOST_ROWS // 5)])
def test_a_hundred_thousand_rows_are_read_in_little_memory(tmp_path: Path, kind: str, number: int) -> None:
    path = tmp_path / "large"
    if kind == "csv":
        csv_file(path, [f"A-{n},1.00,2026-02-01" for n in range(number)])
    else:
        with xlsxwriter.Workbook(str(path), {"constant_memory": True}) as book:
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, HEADS)
            for n in range(1, number + 1):
                sheet.write_row(n, 0, [f"A-{n}", "1.00", "2026-02-01"])
    columns, rows = read_headings(path, kind, "LoanRepaid")
    assert rows == number
    process, found = psutil.Process(), rows_of(path, kind)
    before, most, read = process.memory_info().rss, 0, 0
    next(found)
    for line in lines_of("LoanRepaid", columns, found):
        read += not line.problem
        if read % 5000 == 0:
            most = max(most, process.memory_info().rss - before)
    assert read == number and most < 100 * 2**20
