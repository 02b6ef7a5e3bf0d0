"""A report as a Word document in the layout of official documents (GB/T 9704): red head, text, annexes across."""

from html import escape
from io import BytesIO
from typing import Any

from docx import Document
from docx.enum.section import WD_ORIENT, WD_SECTION
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.table import WD_TABLE_ALIGNMENT
from docx.enum.text import WD_ALIGN_PARAGRAPH, WD_LINE_SPACING
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Length, Mm, Pt, RGBColor

from services.gateway.reports.as_pdf import RIGHT, chart_as_png, provenance
from services.gateway.reports.report import Column, Money, Report, Row, Table
from services.gateway.reports.wording import Wording, plain
from services.gateway.reports.zipped import same_zip

# The typefaces that the standard names; an office without them shows its own of that family.
TITLE, TEXT, HEAD, LATIN = "方正小标宋简体", "仿宋_GB2312", "黑体", "Times New Roman"
EMU_OF_TWIP = 635
RED = RGBColor(0xC8, 0x10, 0x2E)
CENTER, LEFT_, RIGHT_ = WD_ALIGN_PARAGRAPH.CENTER, WD_ALIGN_PARAGRAPH.LEFT, WD_ALIGN_PARAGRAPH.RIGHT


def as_word(report: Report, words: Wording) -> bytes:
    """The document; the same report gives the same bytes."""
    document = Document()
    _properties(document, report, words)
    _page(document.sections[0], (37, 35, 28, 26))
    _footer(document.sections[0], report, words)
    _head(document, report, words)
    _text(document, report, words)
    _signature(document, report, words)
    if report.annexes:
        section = document.add_section(WD_SECTION.NEW_PAGE)
        section.orientation = WD_ORIENT.LANDSCAPE
        section.page_width, section.page_height = Mm(297), Mm(210)
        _page(section, (26, 24, 22, 22))
    for at, table in enumerate(report.annexes, 1):
        _annex(document, table, at, words)
    content = BytesIO()
    document.save(content)
    return same_zip(content.getvalue())


def _properties(document: Any, report: Report, words: Wording) -> None:
    known, at = document.core_properties, report.source.last_at.replace(tzinfo=None, microsecond=0)
    known.title, known.comments = report.title, report.name
    known.author = known.last_modified_by = report.office
    known.created = known.modified = at
    known.revision, known.language = 1, "zh-CN" if words.language == "zh" else "en-GB"
    style = document.styles["Normal"]
    style.font.name, style.font.size = LATIN, Pt(16 if words.language == "zh" else 12)
    fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
    fonts.set(qn("w:eastAsia"), TEXT)
    style.paragraph_format.space_before = style.paragraph_format.space_after = Pt(0)


def _page(section: Any, margins_mm: tuple[int, int, int, int]) -> None:
    if section.orientation == WD_ORIENT.PORTRAIT:
        section.page_width, section.page_height = Mm(210), Mm(297)
    top, bottom, left, right = map(Mm, margins_mm)
    section.top_margin, section.bottom_margin, section.left_margin, section.right_margin = top, bottom, left, right
    section.footer_distance = Mm(15)


def _run(paragraph: Any, text: str, font: str = TEXT, size: float | None = None, bold: bool = False) -> Any:
    run = paragraph.add_run(plain(text))
    run.font.name, run.bold = LATIN, bold or None
    run._element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), font)
    if size:
        run.font.size = Pt(size)
    return run


def _paragraph(document: Any, align: Any = LEFT_, spacing: float | None = 28) -> Any:
    paragraph = document.add_paragraph()
    paragraph.alignment = align
    if spacing:
        paragraph.paragraph_format.line_spacing_rule = WD_LINE_SPACING.EXACTLY
        paragraph.paragraph_format.line_spacing = Pt(spacing)
    return paragraph


def _head(document: Any, report: Report, words: Wording) -> None:
    zh = words.language == "zh"
    head = _paragraph(document, CENTER, 48 if zh else 34)
    _run(head, report.office, TITLE, 32 if zh else 24, bold=not zh).font.color.rgb = RED
    last = head
    if report.number:
        last = _paragraph(document, LEFT_, 28)
        last.paragraph_format.tab_stops.add_tab_stop(Mm(112))
        number = words("〔%(year)s〕　　号", year=report.signed_on.year)
        _run(last, number + (f"\t{words('签发人：')}" if report.number == "request" else ""), size=14)
    _rule_below(last)
    gap = _paragraph(document, CENTER, 20)
    gap.paragraph_format.keep_with_next = True
    title = _paragraph(document, CENTER, 34 if zh else 26)
    _run(title, report.title, TITLE, 22 if zh else 17, bold=not zh)
    _paragraph(document, CENTER, 20)


def _rule_below(paragraph: Any) -> None:
    borders = OxmlElement("w:pBdr")
    line = OxmlElement("w:bottom")
    for name, value in (("val", "single"), ("sz", "18"), ("space", "6"), ("color", "C8102E")):
        line.set(qn(f"w:{name}"), value)
    borders.append(line)
    paragraph._p.get_or_add_pPr().insert_element_before(
        borders, "w:shd", "w:tabs", "w:suppressAutoHyphens", "w:spacing", "w:ind", "w:jc", "w:rPr"
    )


def _text(document: Any, report: Report, words: Wording) -> None:
    zh = words.language == "zh"
    spacing = 28 if zh else 18
    _run(_paragraph(document, LEFT_, spacing), words("%(whom)s：", whom=report.addressee))
    for text in report.paragraphs:
        _indented(document, text, zh)
    for table in report.body:
        _caption(document, table.title)
        _table(document, table.columns, table.rows, table.total, words, 9 if len(table.columns) > 5 else 10.5, Mm(156))
    if report.chart:
        _caption(document, report.chart.title)
        picture = _paragraph(document, CENTER, None)
        picture.add_run().add_picture(BytesIO(chart_as_png(report.chart, words)), width=Mm(154))
    if report.checks:
        _caption(document, words("与账簿核对（单位：元）"))
        columns = (
            Column(words("项目"), width=26), Column(words("本报告"), "money", 16), Column(words("账簿"), "money", 16),
            Column(words("差额"), "money", 10),
        )  # fmt: skip
        rows: list[Row] = [
            (one.what, Money(one.figure_fen), Money(one.ledger_fen), Money(one.figure_fen - one.ledger_fen))
            for one in report.checks
        ]
        _table(document, columns, tuple(rows), None, words, 10.5, Mm(156))
    if report.closing:
        _indented(document, report.closing, zh)
    _annex_list(document, report, words)


def _indented(document: Any, text: str, zh: bool) -> None:
    paragraph = _paragraph(document, WD_ALIGN_PARAGRAPH.JUSTIFY, 28 if zh else 18)
    if zh:
        paragraph.paragraph_format.first_line_indent = Pt(32)
    else:
        paragraph.paragraph_format.space_before = Pt(6)
    _run(paragraph, text)


def _annex_list(document: Any, report: Report, words: Wording) -> None:
    for at, table in enumerate(report.annexes, 1):
        paragraph = _paragraph(document, LEFT_, 28 if words.language == "zh" else 18)
        indent = Pt(32 + 16 * 3)
        paragraph.paragraph_format.left_indent = indent
        if at == 1:
            paragraph.paragraph_format.space_before = Pt(12)
            paragraph.paragraph_format.first_line_indent = -Pt(16 * 3)
            _run(paragraph, words("附件") + ("：" if words.language == "zh" else ": "))
        _run(paragraph, f"{at}. {table.title}")


def _signature(document: Any, report: Report, words: Wording) -> None:
    for at, text in enumerate((report.office, words.date(report.signed_on))):
        paragraph = _paragraph(document, RIGHT_, 28)
        paragraph.paragraph_format.right_indent = Pt(64 if words.language == "zh" else 36)
        paragraph.paragraph_format.keep_with_next = at == 0
        if at == 0:
            paragraph.paragraph_format.space_before = Pt(36)
        _run(paragraph, text)
    source = _paragraph(document, LEFT_, None)
    source.paragraph_format.space_before = Pt(18)
    _run(source, provenance(report, words), size=8)


def _caption(document: Any, text: str) -> None:
    caption = _paragraph(document, CENTER, 24)
    caption.paragraph_format.space_before = Pt(10)
    caption.paragraph_format.keep_with_next = True
    _run(caption, text, HEAD, 12)


def _annex(document: Any, table: Table, at: int, words: Wording) -> None:
    label = _paragraph(document, LEFT_, 24)
    label.paragraph_format.page_break_before = at > 1
    _run(label, f"{words('附件')}{'' if words.language == 'zh' else ' '}{at}", HEAD, 14)
    title = _paragraph(document, CENTER, 30)
    title.paragraph_format.keep_with_next = True
    _run(title, table.title, TITLE, 16)
    if not table.rows:
        _run(_paragraph(document, CENTER, 24), words("本期无。"), size=12)
        return
    _table(document, table.columns, table.rows, table.total, words, 8 if len(table.columns) > 9 else 9, Mm(253))


def _table(
    document: Any, columns: tuple[Column, ...], rows: tuple[Row, ...], total: Row | None, words: Wording, size: float,
    width: Length,
) -> None:  # fmt: skip
    made = document.add_table(rows=0, cols=len(columns), style="Table Grid")
    made.alignment, made.autofit = WD_TABLE_ALIGNMENT.CENTER, False
    _narrow_margins(made)
    whole = sum(column.width for column in columns)
    widths = [int(width * column.width / whole) for column in columns]
    for at, one in enumerate(widths):
        made.columns[at].width = one
    text, head = _cell_style(document, size, TEXT), _cell_style(document, size, HEAD)
    sides = ["right" if column.kind in RIGHT else "left" for column in columns]
    titles = [(column.title, "center") for column in columns]
    lines = [_row_xml(titles, widths, head, "E3E9F1", repeated=True)]
    lines += [_row_xml(list(zip(map(words.shown, row), sides, strict=True)), widths, text) for row in rows]
    if total:
        named = ["left" if isinstance(cell, str) else side for cell, side in zip(total, sides, strict=True)]
        lines.append(_row_xml(list(zip(map(words.shown, total), named, strict=True)), widths, head, "EEF2F7"))
    for row in list(parse_xml(f"<w:tbl {nsdecls('w')}>{''.join(lines)}</w:tbl>")):
        made._tbl.append(row)


def _row_xml(
    cells: list[tuple[str, str]], widths: list[int], style: str, shade: str = "", *, repeated: bool = False
) -> str:
    """A row as it stands in the file: thousands of rows through python-docx's own objects take minutes."""
    shading = f'<w:shd w:val="clear" w:color="auto" w:fill="{shade}"/>' if shade else ""
    made = [f"<w:tr><w:trPr><w:cantSplit/>{'<w:tblHeader/>' if repeated else ''}</w:trPr>"]
    for (text, side), width in zip(cells, widths, strict=True):
        shown = escape(plain(text).replace("\n", " ").replace("\t", " "))
        made.append(
            f'<w:tc><w:tcPr><w:tcW w:w="{width // EMU_OF_TWIP}" w:type="dxa"/>{shading}'
            f'<w:vAlign w:val="center"/></w:tcPr>'
            f'<w:p><w:pPr><w:pStyle w:val="{style}"/><w:jc w:val="{side}"/></w:pPr>'
            f'<w:r><w:t xml:space="preserve">{shown}</w:t></w:r></w:p></w:tc>'
        )
    return "".join((*made, "</w:tr>"))


def _narrow_margins(made: Any) -> None:
    """Cells with little room at their sides, so that amounts stay on one line."""
    margins = OxmlElement("w:tblCellMar")
    for side in ("left", "right"):
        one = OxmlElement(f"w:{side}")
        one.set(qn("w:w"), "50")
        one.set(qn("w:type"), "dxa")
        margins.append(one)
    made._tbl.tblPr.append(margins)


def _cell_style(document: Any, size: float, font: str) -> str:
    """The id of a style of table text: an empty cell is as high as a full one."""
    name = f"Cell {'head' if font == HEAD else 'text'} {size:g}"
    if name not in [style.name for style in document.styles]:
        style = document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.font.size, style.font.name = Pt(size), LATIN
        style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), font)
        style.paragraph_format.space_before = style.paragraph_format.space_after = Pt(2)
    return str(document.styles[name].style_id)


def _footer(section: Any, report: Report, words: Wording) -> None:
    numbers = section.footer.paragraphs[0]
    numbers.alignment = CENTER
    _run(numbers, "— ", size=12)
    for kind, text in (("begin", ""), ("", "PAGE"), ("end", "")):
        run = _run(numbers, "", size=12)
        if kind:
            mark = OxmlElement("w:fldChar")
            mark.set(qn("w:fldCharType"), kind)
        else:
            mark = OxmlElement("w:instrText")
            mark.text = text
        run._element.append(mark)
    _run(numbers, " —", size=12)
    name = section.footer.add_paragraph()
    name.alignment = CENTER
    _run(name, report.name, size=7)
