"""Files as ordinary programs make them, and ways to spoil them."""

import base64
import io
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

import docx
import typst
import xlsxwriter

OFD = (
    '<?xml version="1.0" encoding="UTF-8"?><ofd:OFD xmlns:ofd="http://www.ofdspec.org/2016" Version="1.0" '
    'DocType="OFD"><ofd:DocBody><ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot></ofd:DocBody></ofd:OFD>'
)
JPG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////"
    "////////////////wgALCAABAAEBAREA/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPxA="
) + b"\xff\xd9"


def word() -> bytes:
    made = docx.Document()
    made.add_heading("企业推荐函", 1)
    made.add_table(rows=2, cols=2).cell(0, 0).text = "延庆区科学技术和工业信息化局"
    return _saved(made.save)


def workbook() -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out)
    sheet = book.add_worksheet("资产负债表")
    sheet.write_row(0, 0, ["项目", "期末余额"])
    sheet.write_url(1, 0, "https://example.org/", string="说明")
    book.close()
    return out.getvalue()


@cache
def pdf() -> bytes:
    return typst.compile(b"= Licence", format="pdf")


def png() -> bytes:
    return typst.compile(b"= Licence", format="png")


def ofd() -> bytes:
    return archive({"OFD.xml": OFD, "Doc_0/Document.xml": "<d/>"})


def archive(members: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return out.getvalue()


def changed(content: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """An archive with its members changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    change(members)
    return archive({**members})


def with_member(content: bytes, name: str, inside: bytes = b"x") -> bytes:
    return changed(content, lambda members: members.update({name: inside}))


def replaced(content: bytes, name: str, old: bytes, new: bytes) -> bytes:
    def change(members: dict[str, bytes]) -> None:
        assert old in members[name]
        members[name] = members[name].replace(old, new)

    return changed(content, change)


def pdf_with(body: bytes) -> bytes:
    return b"%PDF-1.7\n1 0 obj\n" + body + b"\nendobj\ntrailer <</Root 1 0 R>>\nstartxref\n0\n%%EOF\n"


def pdf_with_hidden(body: bytes) -> bytes:
    """The same in a compressed object stream."""
    packed = zlib.compress(b"1 0 " + body)
    head = b"<</Type/ObjStm/N 1/First 4/Filter/FlateDecode/Length %d>>stream\n" % len(packed)
    return pdf_with(head + packed + b"\nendstream")


def _saved(save: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()
