"""Rows of a CSV or Excel file, one after the other, so that a large file never lies in memory as a whole."""

import csv
import datetime
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from services.gateway.console.sheets import as_csv, as_xlsx, write_csv, write_xlsx
from services.gateway.documents.formats import check
from services.gateway.documents.refused import NotTaken
from services.gateway.uploads.columns import EXAMPLES, BadHeading, Cell, Column, columns_of, headed, text_of

MOST_ROWS = 100_000
_MOST_LINES = 1 << 20  # of an Excel sheet; with the blank ones between and behind the rows
_MOST_COLUMNS = 64
_MOST_ROW_CHARACTERS = 1 << 20
_MOST_TEXT_BYTES = 40_000_000  # openpyxl holds all of a book's texts at once
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")  # no database keeps them
_PLAIN = str | int | float | datetime.date | None
Row = tuple[int, list[Cell]]


def rows_of(path: Path, kind: str) -> Iterator[Row]:
    """Lines by their number, from the headings on; empty lines and remarks, which begin with "# ", are left out.

    A cell such as #N/A is no remark: its row is read, and refused. NotTaken when the file is not what its name says.
    """
    for number, cells in enumerate(_xlsx(path) if kind == "xlsx" else _csv(path), 1):
        if number > _MOST_LINES:
            raise NotTaken("bomb", f"more than {_MOST_LINES} lines")
        if cells.count(None) == len(cells) or not any(text_of(cell) for cell in cells):
            continue
        if any(isinstance(cell, str) and _NO_TEXT.search(cell) for cell in cells):
            raise NotTaken("content", f"line {number}")
        if not f"{text_of(cells[0])} ".startswith("# "):
            yield number, cells


def read_headings(path: Path, kind: str, name: str) -> tuple[list[Column], int]:
    """The columns of a file and how many rows it has; BadHeading or NotTaken says what is wrong with it."""
    rows = rows_of(path, kind)
    first = next(rows, None)
    if first is None:
        raise BadHeading("(空)")
    headings = [text_of(cell) for cell in first[1]]
    while headings and not headings[-1]:
        headings.pop()
    columns = headed(name, headings)
    count = sum(1 for _ in rows)
    if not 0 < count <= MOST_ROWS:
        raise BadHeading(f"{count} 行，应为 1 至 {MOST_ROWS} 行")
    return columns, count


def _csv(path: Path) -> Iterator[list[Cell]]:
    encoding = "utf-8-sig" if _is_utf8(path) else "gb18030"
    try:
        with path.open(encoding=encoding, newline="") as file:
            text = _Text(file)
            for row in csv.reader(text):
                text.read = 0
                yield list[Cell](row) or [None]
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotTaken("content", str(error)[:200]) from None


class _Text:
    """A file's lines for a reader of CSV, which would else take a file for one row: with an open quote, or no line."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.read = 0  # characters since the last row

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(_MOST_ROW_CHARACTERS):
            self.read += len(line)
            if self.read >= _MOST_ROW_CHARACTERS:
                raise NotTaken("bomb", "a row without an end")
            yield line


def _is_utf8(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _xlsx(path: Path) -> Iterator[list[Cell]]:
    import openpyxl  # a fifth of a second, for who uploads Excel files only

    check(path, "table.xlsx")
    _check_texts(path)
    with path.open("rb") as file:  # by its name openpyxl would not take it: files are kept under their digest
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # what a sheet says of its size may be too small, and then rows would be lost
            for row in sheet.iter_rows(values_only=True, max_col=_MOST_COLUMNS):
                yield [one if isinstance(one, _PLAIN) else str(one) for one in row] or [None]
        except Exception as error:  # openpyxl fails in as many ways as there are broken books
            raise NotTaken("content", repr(error)[:200]) from None


def _check_texts(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if "sharedstrings" in member.filename.lower() and member.file_size > _MOST_TEXT_BYTES:
                raise NotTaken("bomb", member.filename)


def template(name: str, kind: str) -> bytes:
    """An empty table of an event: headings, and lines that say what each holds and whether it is needed."""
    columns = columns_of(name)
    heads = [column.name for column in columns]
    first = [f"# {column.zh}" if place == 0 else column.zh for place, column in enumerate(columns)]
    needed = ["# 可不填；不填时按内容生成"] + ["必填" if column.required else "选填" for column in columns[1:]]
    example = ["# 例"] + [EXAMPLES[column.kind] for column in columns[1:]]
    lines: list[list[str]] = [first, needed, example]
    return as_xlsx(name, heads, lines) if kind == "xlsx" else as_csv(heads, lines)


def table(room: Path, name: str, kind: str, heads: list[str], rows: Iterable[list[str]]) -> IO[bytes]:
    """A table of texts in the format of a file, on disk and without a name there; no text becomes a formula."""
    room.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = TemporaryFile(dir=room)  # noqa: SIM115 - whoever sends it closes it
    if kind == "xlsx":
        write_xlsx(file, name, heads, rows, {"constant_memory": True, "tmpdir": str(room)})
    else:
        write_csv(file, heads, rows)
    return file
