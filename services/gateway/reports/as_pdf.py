"""A report as PDF/A-2b, set by typst with the fonts of the packages alone; and its chart as a picture."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import typst

from services.gateway.reports.chart import svg
from services.gateway.reports.report import Bars, Check, Curve, Report, Row, Table
from services.gateway.reports.wording import Wording, yuan

TEMPLATE = Path(__file__).with_name("report.typ")
RIGHT = ("money", "count", "ratio")
PICTURE_DPI = 200


class Unset(Exception):
    """typst warned: a font or a glyph is missing, so what it set cannot be given out."""


def as_pdf(report: Report, words: Wording) -> bytes:
    """The report as one PDF; the same report gives the same bytes."""
    inputs = {"data": json.dumps(_plain(report, words), ensure_ascii=False)}
    return _set(TEMPLATE.read_bytes(), inputs, pdf_standards=["a-2b"], timestamp=int(report.source.last_at.timestamp()))


def chart_as_png(chart: Curve | Bars, words: Wording) -> bytes:
    """The chart as a picture for formats that cannot hold SVG."""
    source = (
        b"#set page(width: auto, height: auto, margin: 4pt)\n"
        b'#image(bytes(sys.inputs.svg), format: "svg", width: 500pt)'
    )
    return _set(source, {"svg": svg(chart, words)}, format="png", ppi=PICTURE_DPI)


@cache
def _fonts() -> typst.Fonts:
    directory = files("noto_cjk_sans_otc")
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[str(directory)])


def _set(source: bytes, inputs: dict[str, str], **how: Any) -> bytes:
    made, warnings = typst.compile_with_warnings(
        source, font_paths=_fonts(), ignore_system_fonts=True, sys_inputs=inputs, **how
    )
    if warnings:
        raise Unset("; ".join(map(str, warnings)))
    if not isinstance(made, bytes):
        raise Unset("a picture of one page was wanted")
    return made


def _plain(report: Report, words: Wording) -> dict[str, Any]:
    """Everything that the template sets, as text: nothing of it is ever read as markup."""
    moment = report.source.last_at
    return {
        "lang": words.language,
        "title": report.title,
        "office": report.office,
        "number": report.number,
        "numbered": words("〔%(year)s〕　　号", year=report.signed_on.year),
        "signer": words("签发人：") if report.number == "request" else "",
        "addressee": words("%(whom)s：", whom=report.addressee),
        "paragraphs": report.paragraphs,
        "body": [_table(table, words) for table in report.body],
        "annexes": [_table(table, words) for table in report.annexes],
        "annex_word": words("附件"),
        "none": words("本期无。"),
        "chart": {"title": report.chart.title, "svg": svg(report.chart, words)} if report.chart else None,
        "checks_title": words("与账簿核对（单位：元）"),
        "checks": {
            "head": [words("项目"), words("本报告"), words("账簿"), words("差额")],
            "rows": [[one.what, *amounts] for one in report.checks for amounts in [_amounts(one)]],
        },
        "date": words.date(report.signed_on),
        "date_of": [moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second],
        "closing": report.closing,
        "source": provenance(report, words),
        "name": report.name,
    }


def _amounts(check: Check) -> list[str]:
    return [yuan(check.figure_fen), yuan(check.ledger_fen), yuan(check.figure_fen - check.ledger_fen)]


def provenance(report: Report, words: Wording) -> str:
    """What it was made from, so that anybody can make it again."""
    source = report.source
    return words(
        "本报告由资金池事件生成：方案版本%(version)s，截至第%(position)s号事件（%(event)s）。文件名：%(name)s",
        version=source.version[:16], position=source.ends_at, event=source.last_event, name=report.name,
    )  # fmt: skip


def _table(table: Table, words: Wording) -> dict[str, Any]:
    def texts(row: Row) -> list[str]:
        return [words.shown(cell) for cell in row]

    return {
        "title": table.title,
        "head": [column.title for column in table.columns],
        "widths": [column.width for column in table.columns],
        "right": [column.kind in RIGHT for column in table.columns],
        "rows": [texts(row) for row in table.rows],
        "total": table.total and texts(table.total),
    }
