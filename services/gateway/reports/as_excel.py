"""A report as an Excel workbook: typed cells, a sheet a table, nothing that a name could turn into a formula."""

from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import xlsxwriter

from services.gateway.reports.as_pdf import provenance
from services.gateway.reports.report import Bars, Cell, CellKind, Column, Curve, Money, Report, Table
from services.gateway.reports.wording import Wording, plain
from shared.money import format_yuan

FORMATS: dict[CellKind, str] = {
    "money": "#,##0.00", "count": "0", "ratio": "0.######%", "day": "yyyy-mm-dd", "text": "@"
}  # fmt: skip
FONT = {"font_name": "宋体", "font_size": 11, "valign": "vcenter"}
_FORBIDDEN = str.maketrans(dict.fromkeys("[]:*?/\\'", " "))


def as_excel(report: Report, words: Wording) -> bytes:
    """The workbook; the same report gives the same bytes."""
    content = BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(content, options) as book:
        book.set_properties(
            {
                "title": report.title, "author": report.office, "company": report.office, "comments": report.name,
                "created": report.source.last_at.replace(tzinfo=None),
            }
        )  # fmt: skip
        writing = _Writing(book, report, words)
        sheet, row = writing.overview()
        for at, table in enumerate(report.tables, 1):
            writing.table(table, at)
        if report.chart:
            writing.chart(report.chart, sheet, row)
    return content.getvalue()


class _Writing:
    """The formats of one workbook, and what is written with them."""

    def __init__(self, book: xlsxwriter.Workbook, report: Report, words: Wording) -> None:
        self.book, self.report, self.words = book, report, words
        line = {"border": 1, "border_color": "#8A929E", **FONT}
        self.cell = {kind: book.add_format({**line, "num_format": number}) for kind, number in FORMATS.items()}
        self.total = {
            kind: book.add_format({**line, "num_format": number, "bold": True, "bg_color": "#EEF2F7"})
            for kind, number in FORMATS.items()
        }
        self.head = book.add_format({**line, "bold": True, "bg_color": "#E3E9F1", "align": "center", "text_wrap": True})
        self.title = book.add_format({**FONT, "bold": True, "font_size": 16})
        self.text = book.add_format({**FONT, "text_wrap": True, "valign": "top"})
        self.faint = book.add_format({**FONT, "font_size": 9, "font_color": "#5B6470", "text_wrap": True})

    def overview(self) -> tuple[Any, int]:
        """The first sheet: title, text, the comparison with the ledger; and in which row there is room below."""
        report, words = self.report, self.words
        sheet = self.book.add_worksheet(words("概要"))
        sheet.set_column(0, 0, 44)
        sheet.set_column(1, 3, 20)
        sheet.write_string(0, 0, report.title, self.title)
        sheet.write_string(1, 0, f"{report.office}　{words.date(report.signed_on)}", self.faint)
        row = 3
        for text in report.paragraphs:
            sheet.merge_range(row, 0, row, 3, "", self.text)
            sheet.write_string(row, 0, plain(text), self.text)
            sheet.set_row(row, 16 * (1 + sum(2 if ch > "ÿ" else 1 for ch in text) // 96))
            row += 1
        row += 1
        names = ("与账簿核对（单位：元）", "本报告", "账簿", "差额")
        for at, name in enumerate(names):
            sheet.write_string(row, at, words(name), self.head)
        for one in report.checks:
            row += 1
            self._write(sheet, row, 0, one.what, "text", self.cell)
            for at, fen in enumerate((one.figure_fen, one.ledger_fen, one.figure_fen - one.ledger_fen), 1):
                self._write(sheet, row, at, Money(fen), "money", self.cell)
        row += 2
        sheet.merge_range(row, 0, row, 3, "", self.faint)
        sheet.write_string(row, 0, provenance(report, words), self.faint)
        sheet.set_row(row, 40)
        self._print(sheet, landscape=False)
        return sheet, row + 2

    def table(self, table: Table, at: int) -> None:
        """One table as a sheet of its own, its head frozen and repeated in print."""
        name = table.title.partition("（")[0].partition(" (")[0].translate(_FORBIDDEN)
        sheet = self.book.add_worksheet(f"{at} {name}"[:31])
        for place, column in enumerate(table.columns):
            sheet.set_column(place, place, _width(column, table, place, self.words))
            sheet.write_string(0, place, column.title, self.head)
        rows = [(row, self.cell) for row in table.rows] + ([(table.total, self.total)] if table.total else [])
        for down, (row, formats) in enumerate(rows, 1):
            for place, (cell, column) in enumerate(zip(row, table.columns, strict=True)):
                self._write(sheet, down, place, cell, column.kind, formats)
        sheet.freeze_panes(1, 0)
        if table.rows:
            sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)
        sheet.repeat_rows(0)
        self._print(sheet, landscape=table.annex, title=table.title)

    def _write(self, sheet: Any, row: int, at: int, cell: Cell, kind: CellKind, formats: dict[CellKind, Any]) -> None:
        match cell:
            case None:
                sheet.write_blank(row, at, None, formats[kind])
            case Money():
                # A spreadsheet's number holds 15 digits: every amount of the contract to the fen.
                sheet.write_number(row, at, Decimal(format_yuan(cell.fen)), formats["money"])
            case Decimal():
                sheet.write_number(row, at, cell, formats["ratio"])
            case date():
                sheet.write_datetime(row, at, datetime(cell.year, cell.month, cell.day), formats["day"])
            case int():
                sheet.write_number(row, at, cell, formats["count"])
            case _:
                sheet.write_string(row, at, plain(cell), formats["text"])

    def _print(self, sheet: Any, *, landscape: bool, title: str = "") -> None:
        if landscape:
            sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.5, right=0.5, top=0.8, bottom=0.7)
        sheet.set_header(f"&C{(title or self.report.title).replace('&', '&&')}")
        sheet.set_footer(f"&L{self.report.name}&R&P / &N")

    def chart(self, chart: Curve | Bars, sheet: Any, row: int) -> None:
        """A chart of Excel's own on the first sheet; what it shows stands on the last."""
        data = self.book.add_worksheet(self.words("图表数据"))
        name = f"'{self.words('图表数据')}'"
        if isinstance(chart, Bars):
            made = self.book.add_chart({"type": "bar"})
            self._bar_data(data, chart)
            last = len(chart.bars)
            made.add_series(
                {"name": chart.title, "categories": f"={name}!$A$2:$A${last + 1}",
                 "values": f"={name}!$B$2:$B${last + 1}",
                 "fill": {"color": "#1D4E89"}, "data_labels": {"value": True}, "gap": 60}
            )  # fmt: skip
            made.set_y_axis({"reverse": True})
            made.set_legend({"none": True})
        else:
            made = self.book.add_chart({"type": "line"})
            days = self._curve_data(data, chart)
            for at, (label, colour, dash) in enumerate(_lines(chart), 1):
                column = chr(ord("A") + at)
                made.add_series(
                    {"name": label, "categories": f"={name}!$A$2:$A${days + 1}",
                     "values": f"={name}!${column}$2:${column}${days + 1}",
                     "line": {"color": colour, "width": 2 if dash == "solid" else 1.25, "dash_type": dash}}
                )  # fmt: skip
            made.set_x_axis(
                {"date_axis": True, "num_format": "yyyy-mm", "major_unit": 1, "major_unit_type": "months"}
            )
            made.set_y_axis({"num_format": "#,##0", "major_gridlines": {"visible": True, "line": {"color": "#D9DDE3"}}})
            made.set_legend({"position": "bottom"})
        self._print(data, landscape=True, title=chart.title)
        made.set_title({"name": chart.title, "overlay": False, "name_font": {"size": 12}})
        made.set_size({"width": 760, "height": 320})
        sheet.insert_chart(row, 0, made, {"description": chart.title})

    def _bar_data(self, data: Any, chart: Bars) -> None:
        data.set_column(0, 1, 26)
        data.write_string(0, 0, self.words("项目"), self.head)
        data.write_string(0, 1, chart.title, self.head)
        for row, (label, value) in enumerate(chart.bars, 1):
            self._write(data, row, 0, label, "text", self.cell)
            self._write(data, row, 1, Money(value) if chart.kind == "money" else value, chart.kind, self.cell)

    def _curve_data(self, data: Any, chart: Curve) -> int:
        """The series day by day, each value standing until the next; how many days."""
        data.set_column(0, 4, 18)
        data.write_string(0, 0, self.words("日期"), self.head)
        known = [dict(series.points) for series in chart.series]
        for at, (label, _, _) in enumerate(_lines(chart), 1):
            data.write_string(0, at, label, self.head)
        days = sorted({*known[0], chart.end})
        values: list[int | None] = [None] * len(known)
        for row, day in enumerate(days, 1):
            values = [points.get(day, before) for points, before in zip(known, values, strict=True)]
            self._write(data, row, 0, day, "day", self.cell)
            for at, fen in enumerate((*values, *(limit.fen for limit in chart.limits)), 1):
                self._write(data, row, at, None if fen is None else Money(fen), "money", self.cell)
        return len(days)


def _lines(chart: Curve) -> list[tuple[str, str, str]]:
    colours = ("#1D4E89", "#B3541E")
    series = [(one.label, colours[at], "solid") for at, one in enumerate(chart.series)]
    return series + [(limit.label, colours[limit.judges], "dash") for limit in chart.limits]


def _width(column: Column, table: Table, place: int, words: Wording) -> float:
    """Wide enough for the longest cell, within reason."""
    rows = (*table.rows, table.total) if table.total else table.rows
    texts = [column.title, *(words.shown(row[place]) for row in rows)]
    return min(max(sum(2 if ch > "ÿ" else 1 for ch in text) for text in texts) + 4, 60)
