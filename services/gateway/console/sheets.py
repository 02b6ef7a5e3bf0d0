"""Lists as files: CSV that Excel opens in Chinese, and xlsx with typed cells; text never becomes a formula."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from io import SEEK_END, BytesIO, TextIOWrapper
from typing import IO, Any

import xlsxwriter
from fastapi import Response
from fastapi.responses import StreamingResponse

from services.gateway.console.shell import HEADERS

Cell = str | int | date | Decimal | None
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Comma-separated, UTF-8 with the mark that Excel needs."""
    out = BytesIO()
    write_csv(out, heads, rows)
    return out.getvalue()


def write_csv(out: IO[bytes], heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """The same, row by row into a file."""
    text = TextIOWrapper(out, "utf-8-sig", newline="")
    writer = csv.writer(text)
    writer.writerow(heads)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    text.detach()


def _plain(cell: Cell) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if isinstance(cell, str) and text.startswith(_FORMULA) else text


def as_xlsx(title: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """One sheet: dates as dates, amounts as numbers with two decimals, everything else as text."""
    out = BytesIO()
    write_xlsx(out, title, heads, rows, {"in_memory": True})
    return out.getvalue()


def write_xlsx(
    out: IO[bytes], title: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]], options: dict[str, Any]
) -> None:
    """The same into a file; ``options`` of xlsxwriter say how much of it is in memory meanwhile."""
    with xlsxwriter.Workbook(out, {**options, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        sheet = book.add_worksheet(title[:31])
        bold = book.add_format({"bold": True, "bottom": 1})
        money, day = book.add_format({"num_format": "#,##0.00"}), book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(heads) - 1, 18)
        for column, head in enumerate(heads):
            sheet.write_string(0, column, head, bold)
        for number, row in enumerate(rows, 1):
            for column, cell in enumerate(row):
                if isinstance(cell, Decimal):
                    sheet.write_number(number, column, float(cell), money)
                elif isinstance(cell, int):
                    sheet.write_number(number, column, cell)
                elif isinstance(cell, date):
                    sheet.write_datetime(number, column, cell, day)
                elif cell:
                    sheet.write_string(number, column, cell)


def download(content: bytes, name: str) -> Response:
    """A file to save, by the kind in its name."""
    return Response(content, media_type=_kind(name), headers=_saved_as(name))


def download_from(file: IO[bytes], name: str) -> Response:
    """The same for a file on disk, read piece by piece and closed at its end."""

    def pieces() -> Iterator[bytes]:
        with file:
            while piece := file.read(1 << 16):
                yield piece

    size = file.seek(0, SEEK_END)
    file.seek(0)
    headers = {**_saved_as(name), "Content-Length": str(size)}
    return StreamingResponse(pieces(), media_type=_kind(name), headers=headers)


def _kind(name: str) -> str:
    return XLSX if name.endswith(".xlsx") else "text/csv; charset=utf-8"


def _saved_as(name: str) -> dict[str, str]:
    return {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
