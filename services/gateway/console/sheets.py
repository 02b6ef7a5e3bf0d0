"""Lists as files: CSV that Excel opens in Chinese, and xlsx with typed cells; text never becomes a formula."""

import csv
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from io import BytesIO, StringIO

import xlsxwriter
from fastapi import Response

from services.gateway.console.shell import HEADERS

Cell = str | int | date | Decimal | None
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Comma-separated, UTF-8 with the mark that Excel needs."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(heads)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return out.getvalue().encode("utf-8-sig")


def _plain(cell: Cell) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if isinstance(cell, str) and text.startswith(_FORMULA) else text


def as_xlsx(title: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """One sheet: dates as dates, amounts as numbers with two decimals, everything else as text."""
    out = BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
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
    return out.getvalue()


def download(content: bytes, name: str) -> Response:
    """A file to save, by the kind in its name."""
    kind = XLSX if name.endswith(".xlsx") else "text/csv; charset=utf-8"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers=headers)
