"""Rows of a table as events: their ids, their cells, and how little of a large file is in memory at once."""

import time
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psutil
import pytest
import xlsxwriter

from services.gateway.documents.refused import NotTaken
from services.gateway.uploads.columns import BadHeading, columns_of, data_of, headed, lost_in
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
    [
        ("5,000,000", "5000000.00"), (12.5, "12.50"), (7, "7.00"), ("0.10", "0.10"), ("1.005", "1.005"), ("x", "x"),
        ("12,50", "12,50"), ("1,0000", "1,0000"), ("1_000", "1_000"), ("9" * 40, "9" * 40),
    ],
)
def test_an_amount_is_read_exactly_or_left_to_be_refused(cell: object, amount: str) -> None:
    assert data_of(headed("LoanRepaid", HEADS), ["A-1", cell, "2026-02-01"])["principal"] == amount


def test_a_row_larger_than_an_event_may_be_is_told_and_not_sent() -> None:
    columns = headed("LoanDefaulted", ["loan_no", "classified", "classified_on", "outstanding_principal", "evidence"])
    cells = ["L-1", "loss", "2026-03-01", "1.00"]
    one, other = lines_of("LoanDefaulted", columns, [(1, [*cells, "a;" * 10]), (2, [*cells, "证据；" * 30_000])])
    assert one.problem == "" and other.problem == "at most 254 KiB an event"


def test_lists_and_statements_have_a_plain_form() -> None:
    columns = headed("LoanDefaulted", [one.name for one in columns_of("LoanDefaulted") if one.name != "id"])
    cells = {"evidence": "a; b；c", "recovery_statements": "L-1 | 2026-03-01 | sued | won\nL-2|2026-03-02|called"}
    data = data_of(columns, [cells.get(column.name, "") for column in columns])
    assert data["evidence"] == ["a", "b", "c"]
    assert data["recovery_statements"] == [
        {"loan_no": "L-1", "as_of": "2026-03-01", "text": "sued | won"},
        {"loan_no": "L-2", "as_of": "2026-03-02", "text": "called"},
    ]


def test_an_amount_cut_by_its_own_comma_is_refused_and_not_booked_smaller(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("as_of,balance\n2026-06-30,1,000.00\n2026-06-30,1000.00,,\n")
    columns, _ = read_headings(path, "csv", "StatementIssued")
    rows = rows_of(path, "csv")
    next(rows)
    cut, whole = lines_of("StatementIssued", columns, rows)
    assert "000.00" in cut.problem and whole.problem == ""


@pytest.mark.parametrize("told", ["2026/6/5", "2026-6-5", "2026.06.05", "2026年6月5日"])
def test_a_date_is_read_as_offices_write_it(told: str) -> None:
    assert data_of(headed("LoanRepaid", HEADS), ["A-1", "1.00", told])["repaid_on"] == "2026-06-05"


def test_a_failed_formula_is_told_and_no_row_is_left_out(tmp_path: Path) -> None:
    found = lines(csv_file(tmp_path / "a.csv", ["#N/A,1.00,2026-02-01", "#7,1.00,2026-02-01", "# a remark,,"]))
    assert [(line.number, "#" in line.data["loan_no"], bool(line.problem)) for line in found] == [
        (2, True, True), (3, True, False),
    ]  # fmt: skip


@pytest.mark.parametrize("cell", [6222020200012345678, 6.2220202e18, date(2026, 1, 1)])
def test_a_number_that_excel_may_have_changed_is_not_believed(cell: int | float | date) -> None:
    columns = headed("LoanRepaid", HEADS)
    assert lost_in(columns, [cell, "1.00", "2026-02-01"]).startswith("loan_no")
    assert lost_in(columns, [str(cell), "1.00", date(2026, 2, 1)]) == ""


def test_an_id_that_comes_twice_is_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    heads = "id,loan_no,principal,repaid_on\n"
    path.write_text(heads + "x,A-1,1.00,2026-02-01\nx,A-1,1.00,2026-02-01\nx,A-1,2.00,2026-02-01\n")
    assert [line.again for line in lines(path)] == ["", "same", "other"]


def test_an_error_file_is_a_table_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("loan_no,# rule,principal,repaid_on,# advice\nA-1,unreadable,1.00,2026-02-01,write it better\n")
    columns, number = read_headings(path, "csv", "LoanRepaid")
    assert number == 1 and [column.name for column in columns].count("#") == 2
    [line] = lines(path)
    assert line.data == {"loan_no": "A-1", "principal": "1.00", "repaid_on": "2026-02-01"} and not line.problem


def book(path: Path, cells: dict[tuple[int, int], str], sheet_xml: Callable[[bytes], bytes] = bytes) -> Path:
    """A table of one repayment with more cells, its sheet's XML changed as told."""
    first = path.with_suffix(".first")
    with xlsxwriter.Workbook(str(first)) as made:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, HEADS)
        sheet.write_row(1, 0, ["A-1", "1.00", "2026-02-01"])
        for place, text in cells.items():
            sheet.write_string(*place, text)
    with zipfile.ZipFile(first) as read, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as write:
        for name in read.namelist():
            content = read.read(name)
            write.writestr(name, sheet_xml(content) if name == "xl/worksheets/sheet1.xml" else content)
    return path


def test_a_sheet_that_tells_too_small_a_size_is_read_to_its_end(tmp_path: Path) -> None:
    more = {(2, 0): "A-2", (2, 1): "2.00", (2, 2): "2026-02-01"}
    path = book(tmp_path / "a.xlsx", more, lambda xml: xml.replace(b'ref="A1:C3"', b'ref="A1:C2"'))
    assert [line.data["loan_no"] for line in lines(path, "xlsx")] == ["A-1", "A-2"]


def test_a_nearly_empty_sheet_of_huge_size_is_read_quickly(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", {(20_000, 16_383): "x"})
    before = time.process_time()
    assert len(lines(path, "xlsx")) == 1
    assert time.process_time() - before < 10


@pytest.mark.parametrize(
    "broken", [lambda xml: xml[:-30], lambda xml: b"", lambda xml: xml.replace(b'r="2"', b'r="99999999"')]
)
def test_a_broken_sheet_is_not_taken(tmp_path: Path, broken: Callable[[bytes], bytes]) -> None:
    with pytest.raises(NotTaken):
        read_headings(book(tmp_path / "a.xlsx", {}, broken), "xlsx", "LoanRepaid")


def test_a_character_that_no_database_keeps_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(NotTaken):
        read_headings(csv_file(tmp_path / "a.csv", ["A-1,\0,2026-02-01"]), "csv", "LoanRepaid")


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
