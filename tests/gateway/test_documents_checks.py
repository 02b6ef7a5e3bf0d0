"""Files are taken by what they are: what ordinary programs make passes, what acts, hides or explodes does not."""

import contextlib
import io
import struct
import zipfile
import zlib
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.documents.formats import MEDIA_TYPES, check
from services.gateway.documents.names import attachment, plain_name
from services.gateway.documents.refused import NotTaken
from shared.scheme.refusals import sentences
from tests.gateway import document_files as made

WORD, BOOK, OFD, PDF, PNG = made.word(), made.workbook(), made.ofd(), made.pdf(), made.png()
GOOD = {"函.docx": WORD, "表.xlsx": BOOK, "票.ofd": OFD, "照.pdf": PDF, "图.png": PNG, "图.jpg": made.JPG}


def looked_at(tmp_path: Path, name: str, content: bytes) -> str:
    file = tmp_path / "content"
    file.write_bytes(content)
    return check(file, name)


def reason(tmp_path: Path, name: str, content: bytes) -> str:
    with pytest.raises(NotTaken) as refused:
        looked_at(tmp_path, name, content)
    assert f"malformed/document_{refused.value.reason}" in sentences()
    return refused.value.reason


@pytest.mark.parametrize("name", GOOD)
def test_what_ordinary_programs_make_is_taken(tmp_path: Path, name: str) -> None:
    assert looked_at(tmp_path, name, GOOD[name]) == MEDIA_TYPES[name.rpartition(".")[2]]
    assert looked_at(tmp_path, name.upper(), GOOD[name])


def test_a_workbook_of_another_library_is_taken(tmp_path: Path) -> None:
    out = io.BytesIO()
    openpyxl.Workbook().save(out)
    assert looked_at(tmp_path, "a.xlsx", out.getvalue()) == MEDIA_TYPES["xlsx"]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("other", GOOD)
def test_a_renamed_file_is_not_taken(tmp_path: Path, name: str, other: str) -> None:
    if name != other:
        assert reason(tmp_path, f"x.{other.rpartition('.')[2]}", GOOD[name]) in ("content", "structure")


@pytest.mark.parametrize("name", [name for name in GOOD if not name.endswith(".jpg")])
def test_a_cut_file_is_not_taken(tmp_path: Path, name: str) -> None:
    assert reason(tmp_path, name, GOOD[name][:-40]) == "structure"
    assert reason(tmp_path, name, b"") == "empty"


def test_a_cut_photo_is_not_taken(tmp_path: Path) -> None:
    assert reason(tmp_path, "a.jpg", made.JPG[:-2]) == "structure"
    assert reason(tmp_path, "a.jpg", made.JPG[:30]) == "structure"


@pytest.mark.parametrize("name", ["a.exe", "a.doc", "a.zip", "a.svg", "a.html", "a.pdf.exe", "pdf", "a."])
def test_other_kinds_are_not_taken(tmp_path: Path, name: str) -> None:
    assert reason(tmp_path, name, PDF) == "type"


@pytest.mark.parametrize("name", ["a.docm", "a.XLSM", "a.xlsb"])
def test_kinds_with_macros_are_not_taken(tmp_path: Path, name: str) -> None:
    assert reason(tmp_path, name, WORD) == "macro"


def test_macros_are_found_by_part_by_content_type_and_by_relation(tmp_path: Path) -> None:
    assert reason(tmp_path, "a.docx", made.with_member(WORD, "word/vbaProject.bin")) == "macro"
    assert reason(tmp_path, "a.xlsx", made.with_member(BOOK, "xl/macrosheets/sheet1.xml", b"<x/>")) == "macro"
    plain, macro = b"openxmlformats-officedocument.wordprocessingml.document", b"ms-word.document.macroEnabled"
    assert reason(tmp_path, "a.docx", made.replaced(WORD, "[Content_Types].xml", plain, macro)) == "macro"
    relation = b'<Relationship Id="m" Type="http://schemas.microsoft.com/relationships/vbaProject" Target="v"/>'
    rels = "word/_rels/document.xml.rels"
    spoiled = made.replaced(WORD, rels, b"</Relationships>", relation + b"</Relationships>")
    assert reason(tmp_path, "a.docx", spoiled) == "macro"


def test_objects_and_links_to_outside_are_found(tmp_path: Path) -> None:
    assert reason(tmp_path, "a.docx", made.with_member(WORD, "word/embeddings/oleObject1.bin")) == "embedded"
    assert reason(tmp_path, "a.xlsx", made.with_member(BOOK, "xl/externalLinks/link1.xml", b"<x/>")) == "external"
    relation = (
        b'<Relationship Id="t" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        b'attachedTemplate" Target="https://example.org/t.dotx" TargetMode="External"/></Relationships>'
    )
    spoiled = made.replaced(WORD, "word/_rels/document.xml.rels", b"</Relationships>", relation)
    assert reason(tmp_path, "a.docx", spoiled) == "external"


@pytest.mark.parametrize("inside", [b"MZ\x90", b"\x7fELF", made.ofd(), b"\xd0\xcf\x11\xe0"])
def test_programs_and_archives_inside_are_found(tmp_path: Path, inside: bytes) -> None:
    assert reason(tmp_path, "a.ofd", made.with_member(OFD, "Doc_0/Attachs/x.xml", inside)) == "embedded"


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    assert reason(tmp_path, "a.docx", made.with_member(WORD, "word/big.xml", b"\0" * 30_000_000)) == "bomb"
    members: dict[str, str | bytes] = {"OFD.xml": made.OFD, **{f"{at}.xml": b"" for at in range(5001)}}
    assert reason(tmp_path, "a.ofd", made.archive(members)) == "bomb"


def test_a_directory_that_lies_about_sizes_is_found(tmp_path: Path) -> None:
    bomb = bytearray(made.with_member(OFD, "z.xml", b"\0" * 3_000_000))
    for at in range(len(bomb) - 4):
        if bomb[at : at + 4] in (b"PK\x01\x02", b"PK\x03\x04"):
            place = at + (24 if bomb[at + 1 : at + 4] == b"K\x01\x02" else 22)
            if struct.unpack_from("<I", bomb, place)[0] == 3_000_000:
                struct.pack_into("<I", bomb, place, 100)
    assert reason(tmp_path, "a.ofd", bytes(bomb)) == "structure"


def test_members_that_lie_over_each_other_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made_:
        made_.writestr("OFD.xml", made.OFD)
        first = made_.infolist()[0]
        for at in range(20):
            again = zipfile.ZipInfo(f"{at}.xml")
            for name in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(again, name, getattr(first, name))
            made_.filelist.append(again)
    assert reason(tmp_path, "a.ofd", out.getvalue()) == "bomb"


@pytest.mark.parametrize("name", ["../x.xml", "/etc/x", "a\\..\\x", "C:x", "a/../../x", "a\nb"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    assert reason(tmp_path, "a.ofd", made.with_member(OFD, name)) == "structure"


def test_something_before_or_twice_in_an_archive_is_refused(tmp_path: Path) -> None:
    assert reason(tmp_path, "a.ofd", b"PK\x03\x04<script>" + OFD) == "structure"
    out = io.BytesIO(OFD)
    with zipfile.ZipFile(out, "a") as more, pytest.warns(UserWarning):
        more.writestr("OFD.xml", "<other/>")
    assert reason(tmp_path, "a.ofd", out.getvalue()) == "structure"


def test_encrypted_files_are_refused(tmp_path: Path) -> None:
    locked = bytearray(OFD)
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        locked[locked.find(mark) + place] |= 1
    assert reason(tmp_path, "a.ofd", bytes(locked)) == "encrypted"
    assert reason(tmp_path, "a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500) == "encrypted"
    assert reason(tmp_path, "a.pdf", made.pdf_with(b"<</Encrypt 3 0 R>>")) == "encrypted"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_xml_that_declares_entities_is_refused(tmp_path: Path, encoding: str) -> None:
    xml = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode(encoding)
    assert reason(tmp_path, "a.ofd", made.with_member(OFD, "Doc_0/x.xml", xml)) == "structure"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<</S/JavaScript/JS(app.alert(1))>>", "active"),
        (b"<</S/J#61vaScript>>", "active"),
        (b"<</S/Launch/F(cmd.exe)>>", "active"),
        (b"<</Type/EmbeddedFile>>", "embedded"),
        (b"<</Names<</EmbeddedFiles 2 0 R>>>>", "embedded"),
    ],
)
def test_a_pdf_that_acts_is_refused_also_when_it_is_compressed(tmp_path: Path, body: bytes, expected: str) -> None:
    assert reason(tmp_path, "a.pdf", made.pdf_with(body)) == expected
    assert reason(tmp_path, "a.pdf", made.pdf_with_hidden(body)) == expected


def test_the_bytes_of_a_picture_in_a_pdf_are_not_taken_for_names(tmp_path: Path) -> None:
    body = b"<</Subtype/Image/Length 20>>stream\n\x00/JS \x01/Launch \x02\nendstream"
    assert looked_at(tmp_path, "a.pdf", made.pdf_with(body))


def test_a_picture_of_absurd_size_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">II5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IEND", b""))
    )
    assert reason(tmp_path, "a.png", huge) == "bomb"


def test_something_after_the_end_of_a_png_is_refused(tmp_path: Path) -> None:
    assert reason(tmp_path, "a.png", PNG + b"PK\x03\x04") == "structure"


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(GOOD)), at=st.floats(0, 1), junk=st.binary(min_size=1, max_size=8))
def test_no_damage_makes_the_checks_fall_over(
    tmp_path_factory: pytest.TempPathFactory, name: str, at: float, junk: bytes
) -> None:
    content = GOOD[name]
    place = int(at * len(content))
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(content[:place] + junk + content[place + len(junk) :])
    with contextlib.suppress(NotTaken):
        check(file, name)


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("营业执照.pdf", "营业执照.pdf"),
        ("C:\\Users\\a\\照片 1.JPG", "照片 1.JPG"),
        ("../../etc/x.pdf", "x.pdf"),
        ("exe\u202efdp.pdf", "exefdp.pdf"),
        ("a\r\nSet-Cookie: x.pdf", "aSet-Cookie: x.pdf"),
        ("长" * 400 + ".docx", "长" * 150 + ".docx"),
    ],
)
def test_a_file_keeps_its_own_name_only(given_name: str, kept: str) -> None:
    assert plain_name(given_name) == kept


@pytest.mark.parametrize("name", ["", "pdf", ".pdf", "a/", "\u202e"])
def test_a_name_without_an_ending_is_not_taken(name: str) -> None:
    with pytest.raises(NotTaken):
        plain_name(name)


def test_a_chinese_name_is_given_out_in_both_forms() -> None:
    assert attachment('营业"执照;.pdf') == (
        "attachment; filename=\"______.pdf\"; filename*=UTF-8''%E8%90%A5%E4%B8%9A%22%E6%89%A7%E7%85%A7%3B.pdf"
    )
