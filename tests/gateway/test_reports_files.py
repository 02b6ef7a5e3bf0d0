"""Every report in every language and format, opened again: its figures are those of the API and of the ledger."""

import asyncio
import re
import subprocess
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from docx.oxml.ns import qn
from openpyxl import load_workbook
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.gateway.policy import GatewayPolicy
from services.gateway.projections.tables import ledger_entries
from services.gateway.queries import cases, loans, organisations, pool
from services.gateway.reports.as_pdf import Unset, _set
from services.gateway.reports.asked import Asked
from services.gateway.reports.history import last_moment
from services.gateway.reports.kinds import KINDS
from services.gateway.reports.making import MEDIA_TYPES, Made, make
from services.gateway.reports.period import parse_period
from services.gateway.reports.report import Unreconciled
from shared.money import format_yuan
from shared.scheme.loader import load_scheme
from tests.gateway.report_story import IDENTITY, LOANS, NAMES, PAID, VERIFIED, A, B, C, Story, first_year, take
from tests.gateway.story import SCHEME

YANQING = load_scheme(SCHEME)
CASES = (
    ("custodian_half_year", "2026H1", ""),
    ("custodian_half_year", "2026H2", ""),
    ("custodian_annual", "2026", ""),
    ("compensation_request", "2026H1", ""),
    ("recovery_half_year", "2026H2", ""),
    ("department_quarter", "2026Q1", "scitech"),
    ("department_quarter", "2026Q1", "kangzhuang"),
    ("institution_statement", "2026H2", "guarantor-a"),
    ("institution_statement", "2026", "bank-a"),
    ("institution_statement", "2026", "insurer-a"),
    ("institution_statement", "2026", "custodian"),
)
KIND_ONCE = tuple({case[0]: case for case in reversed(CASES)}.values())
WHOLE = [(*case, language, form) for case in KIND_ONCE for language in ("zh", "en") for form in MEDIA_TYPES]
# Words of the source that stay Chinese in an English report: clauses and names.
CHINESE = re.compile(r"[一-鿿]+")


@dataclass
class Past:
    """A database that holds the first year."""

    connection: AsyncConnection
    ends_at: int

    async def made(
        self, kind: str, period: str, organisation: str = "", language: Any = "zh", form: str = "xlsx"
    ) -> Made:
        async def told(percent: int) -> None:
            assert 0 <= percent <= 100

        asked = Asked(kind, parse_period(period), organisation, language, YANQING, self.ends_at)
        return await make(self.connection, asked, form, told)

    async def sheets(self, *asked: str, **how: Any) -> dict[str, list[list[Any]]]:
        """The workbook's sheets as rows of values, by name without the number."""
        book = load_workbook(BytesIO((await self.made(*asked, **how)).content))
        rows = {sheet.title: [list(row) for row in sheet.iter_rows(values_only=True)] for sheet in book}
        return {re.sub(r"^\d+ ", "", title): shown for title, shown in rows.items()}


@pytest.fixture
async def past(engine: AsyncEngine) -> AsyncIterator[Past]:
    async with engine.connect() as connection:
        async with connection.begin():
            await take(connection, first_year())
        last = await last_moment(connection, SCHEME)
        await connection.rollback()
        yield Past(connection, last.position)


def yuan(fen: int) -> str:
    return f"{fen // 100:,}.{fen % 100:02d}"


def money(value: Any) -> str:
    """A spreadsheet's number as the API writes amounts."""
    return f"{Decimal(repr(value)):.2f}"


def text_of(made: Made) -> str:
    """All text of a file, however it holds it."""
    if made.name.endswith(".pdf"):
        shown = subprocess.run(["pdftotext", "-layout", "-", "-"], input=made.content, capture_output=True, check=True)
        return shown.stdout.decode()
    with zipfile.ZipFile(BytesIO(made.content)) as archive:
        return "\n".join(archive.read(name).decode("utf-8", "replace") for name in archive.namelist())


async def test_every_report_is_made_in_every_language_and_format_without_an_identity_number(past: Past) -> None:
    others = [(*case, "zh", "pdf") for case in CASES if case not in KIND_ONCE]
    for kind, period, organisation, language, form in (*WHOLE, *others):
        made = await past.made(kind, period, organisation, language, form)
        whose = f"-{organisation}" if organisation else ""
        assert made.name == f"{kind}-{period}{whose}-{language}-v{YANQING.version[:8]}-e{past.ends_at}.{form}"
        text = text_of(made)
        assert IDENTITY not in text, made.name
        assert f"-e{past.ends_at}" in text.replace("\n", ""), made.name
    assert {case[0] for case in CASES} == set(KINDS)


async def test_the_same_report_has_the_same_bytes_whenever_it_is_made(past: Past) -> None:
    chosen = [one for one in WHOLE if one[0] in ("custodian_annual", "department_quarter")]
    first = [await past.made(*one) for one in chosen]
    await asyncio.sleep(2.1)  # a zip file's clock ticks every two seconds
    await past.connection.rollback()
    async with past.connection.begin():
        story = Story()
        story.tell("2027-01-04", *(event for _, event in first_year() if type(event).__name__ == "AgreementSigned"))
        await take(past.connection, story.told, first_id=1000)
    assert [await past.made(*one) for one in chosen] == first


async def test_a_report_that_does_not_tie_to_the_ledger_is_not_made(past: Past) -> None:
    async with past.connection.begin():
        line = select(func.min(ledger_entries.c.position)).where(ledger_entries.c.cause == "CompensationSettled")
        changed = update(ledger_entries).where(ledger_entries.c.position == line.scalar_subquery())
        await past.connection.execute(changed.values(amount_fen=ledger_entries.c.amount_fen + 1))
    for kind, period, organisation in (CASES[1], CASES[3], CASES[4], CASES[5], CASES[7]):
        with pytest.raises(Unreconciled):
            await past.made(kind, period, organisation)


async def test_the_custodians_year_is_the_ledgers_to_the_fen(past: Past) -> None:
    sheets = await past.sheets("custodian_annual", "2026")
    shown = {row[0].strip("　"): row for row in sheets["资金收支表"]}
    figures = await pool.pool(past.connection, SCHEME)
    assert money(shown["期末余额"][2]) == format_yuan(figures.cash)
    assert money(shown["代偿"][2]) == format_yuan(figures.compensated_gross) == format_yuan(sum(PAID.values()))
    assert money(shown["追偿返还"][2]) == format_yuan(figures.recovered) == "400000.00"
    assert money(shown["增值收益"][2]) == format_yuan(figures.income_total) == "113456.77"
    assert money(shown["保费补贴"][2]) == format_yuan(figures.subsidies_total) == "10000.50"
    months = sheets["分月收支表"]
    assert money(months[-1][4]) == format_yuan(figures.cash) and len(months) == 13
    assert [money(value) for value in sheets["科目余额表"][-1][2:]][-1] == "0.00"
    assert sheets["支出明细表"][1][0] == datetime(2026, 5, 7) and sheets["支出明细表"][1][2] == NAMES[C]
    assert money(sheets["对账情况表"][1][3]) == "0.00"


async def test_the_half_year_ends_where_the_next_one_begins(past: Past) -> None:
    first, second = [await past.sheets("custodian_half_year", half) for half in ("2026H1", "2026H2")]
    assert first["资金收支表"][-1][2] == second["资金收支表"][1][2] == 30_113_456.28


async def test_the_request_says_what_was_consented_and_paid(past: Past) -> None:
    rows = (await past.sheets("compensation_request", "2026H1"))["代偿项目明细表"]
    assert [row[3] for row in rows[1:3]] == [LOANS[B], LOANS[A]]  # in the order of acceptance
    for row, uscc in zip(rows[1:3], (B, A), strict=True):
        loan = await loans.one_loan(past.connection, SCHEME, LOANS[uscc], None)
        assert loan is not None and loan.claim is not None
        assert row[1:3] == [NAMES[uscc], uscc]
        assert money(row[6]) == loan.claim["claimed"] and money(row[7]) == loan.claim["verified_principal"]
        assert Decimal(repr(row[8])) == loan.ratio and str(row[9]).rstrip("0").rstrip(".") == {A: "0", B: "0.1"}[uscc]
        assert money(row[10]) == format_yuan(loan.compensation.approved) == format_yuan(PAID[uscc])
        assert money(row[11]) == format_yuan(loan.compensation.paid)
    assert money(rows[3][10]) == format_yuan(sum(PAID.values()))


async def test_a_request_before_consent_withholds_what_the_sanction_says(past: Past) -> None:
    before = [one for one in first_year() if one[0].isoformat() < "2026-07-10"]
    past.ends_at = past.ends_at - (len(first_year()) - len(before))
    rows = (await past.sheets("compensation_request", "2026H1"))["代偿项目明细表"]
    assert [money(row[10]) for row in rows[1:3]] == [format_yuan(PAID[B]), format_yuan(PAID[A])]
    assert [money(row[11]) for row in rows[1:3]] == ["0.00", "0.00"]
    assert VERIFIED[A] * 50 // 100 == PAID[A] - 1  # half a fen is rounded up


async def test_the_recovery_report_has_the_recoveries_of_the_api(past: Past) -> None:
    sheets = await past.sheets("recovery_half_year", "2026H2")
    listed = await loans.recovery_list(past.connection, SCHEME, status=None, party=None, limit=10, cursor=None)
    known = {one.loan_no: one for one in listed.items}
    rows = {row[1]: row for row in sheets["追偿项目明细表"][1:-1]}
    assert set(rows) == set(known) == {LOANS[A], LOANS[B]}
    for loan_no, row in rows.items():
        api = known[loan_no]
        figures = (api.paid, api.collected, api.collected, api.pool_share, api.remitted, api.remitted, api.overdue)
        assert [money(value) for value in row[3:10]] == [format_yuan(fen) for fen in figures]
    assert money(sheets["核销情况表"][1][5]) == format_yuan(known[LOANS[B]].written_off) == format_yuan(PAID[B])


async def test_a_departments_quarter_has_its_referrals_and_its_flag(past: Past) -> None:
    sheets = await past.sheets("department_quarter", "2026Q1", "scitech")
    api = await organisations.department(past.connection, SCHEME, YANQING.organisations["scitech"])
    rows = sheets["推荐企业明细表"][1:-1]
    assert len(rows) == api.referrals["2026Q1"] == 2 and api.flag
    policy = YANQING.policy(GatewayPolicy)
    for row in rows:
        case = await cases.one_case(past.connection, SCHEME, policy, row[2], None)
        assert case is not None and (row[1], money(row[5])) == (case.name, case.need)
        assert {"已放款": "financed"}[row[6]] == case.status
    assert "四(一)" in str(sheets["概要"]) and "尚差3家" in str(sheets["概要"])


async def test_a_statement_shows_an_institutions_own_and_nothing_else(past: Past) -> None:
    mine = await past.sheets("institution_statement", "2026", "guarantor-a")
    assert [row[0] for row in mine["贷款明细表"][1:-1]] == [LOANS[B]]
    assert NAMES[A] not in str(mine) and LOANS[A] not in str(mine)
    assert mine["处置情况表"][1][2] == "10%" and "证号1102" in mine["处置情况表"][1][4]
    whole = await past.sheets("institution_statement", "2026", "bank-a")
    api = await loans.loan_list(
        past.connection, SCHEME, status=None, uscc=None, lender=None, party="bank-a", limit=10, cursor=None
    )
    rows = {row[0]: row for row in whole["贷款明细表"][1:-1]}
    assert set(rows) == {one.loan_no for one in api.items}
    for one in api.items:
        assert money(rows[one.loan_no][7]) == format_yuan(one.principal)
        assert money(rows[one.loan_no][8]) == format_yuan(one.outstanding)
    policies = await past.sheets("institution_statement", "2026", "insurer-a")
    assert money(policies["保费补贴明细表"][1][6]) == "10000.50"


async def test_a_name_like_a_formula_stays_a_name(past: Past) -> None:
    made = await past.made("compensation_request", "2026H1")
    book = load_workbook(BytesIO(made.content))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert not [cell for cell in cells if cell.data_type == "f"]
    named = [cell for cell in cells if cell.value == "=1+1"]
    assert named and {cell.data_type for cell in named} == {"s"}
    with zipfile.ZipFile(BytesIO(made.content)) as archive:
        assert not [name for name in archive.namelist() if b"<f>" in archive.read(name) and "chart" not in name]


async def test_cells_are_typed_and_the_head_stays_in_view(past: Past) -> None:
    book = load_workbook(BytesIO((await past.made("recovery_half_year", "2026H2")).content))
    sheet = next(one for one in book if "追偿项目" in one.title)
    assert sheet.freeze_panes == "A2" and sheet.print_title_rows == "$1:$1"
    assert sheet.page_setup.orientation == "landscape"
    assert sheet["D2"].data_type == "n" and sheet["D2"].number_format == "#,##0.00"


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_the_word_file_is_laid_out_as_an_official_document(past: Past, language: str) -> None:
    made = await past.made("compensation_request", "2026H1", "", language, "docx")
    document = Document(BytesIO(made.content))
    lines = [paragraph.text for paragraph in document.paragraphs]
    title, office, to = {
        "zh": ("关于2026年上半年风险补偿资金代偿的请示", "区发展改革委", "区政府："),
        "en": (
            "Request for consent to compensation for the first half of 2026",
            "Development and Reform Commission",
            "To: District Government",
        ),
    }[language]
    assert lines[0] == office and title in lines and to in lines
    assert ("2026年12月31日" if language == "zh" else "31 December 2026") in lines
    heading = next(paragraph for paragraph in document.paragraphs if paragraph.text == title)
    assert heading.runs[0]._element.rPr.rFonts.get(qn("w:eastAsia")) == "方正小标宋简体"
    cells = {cell.text for table in document.tables for row in table.rows for cell in row.cells}
    assert {yuan(PAID[A]), yuan(PAID[B]), yuan(sum(PAID.values())), "=1+1"} <= cells
    assert document.inline_shapes and document.sections[-1].page_width > document.sections[-1].page_height


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_the_pdf_is_for_archives_with_its_fonts_and_the_chart(past: Past, language: str, tmp_path: Path) -> None:
    made = await past.made("custodian_annual", "2026", "", language, "pdf")
    assert b"pdfaid:part" in made.content and b"<pdfaid:conformance>B" in made.content
    file = tmp_path / made.name
    file.write_bytes(made.content)
    fonts = subprocess.run(["pdffonts", file], capture_output=True, check=True, text=True).stdout.splitlines()[2:]
    assert fonts and all("NotoSansCJKsc" in line and " yes yes yes " in line for line in fonts)
    text = text_of(made)
    for fen in (*PAID.values(), 2_709_345_610):
        assert yuan(fen) in text
    assert ("暂停线" if language == "zh" else "Pause line") in text  # the chart's own label
    subprocess.run(["pdftoppm", "-r", "20", "-png", file, tmp_path / "page"], check=True)
    assert len(list(tmp_path.glob("page*.png"))) >= 5


async def test_english_reports_have_no_chinese_but_names_and_clauses(past: Past) -> None:
    known = {*NAMES.values(), "延庆银行", "妫川银行", "首都担保", "长城保险", "北京银行延庆支行", "延政函〔2026〕20号"}
    known |= {"（2026）京01破1号", "贷后检查不到位，责任人证号1102**********0011"}
    for kind, period, organisation in CASES:
        sheets = await past.sheets(kind, period, organisation, language="en")
        shown = "\n".join([*sheets, *(str(cell) for rows in sheets.values() for row in rows for cell in row if cell)])
        for name in sorted(known, key=len, reverse=True):
            shown = shown.replace(name, "")
        left = {found for found in CHINESE.findall(shown) if not re.fullmatch("[一二三四五六七八九]", found)}
        assert not left, (kind, left)


def test_a_missing_font_is_an_error() -> None:
    with pytest.raises(Unset, match="unknown font"):
        _set(b'#set text(font: "No Such Font")\nx', {})
