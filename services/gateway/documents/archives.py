"""docx, xlsx and ofd are archives: their sizes, names and parts are checked before anything in them is believed."""

import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from services.gateway.documents.refused import NotTaken, Reason

MOST_BYTES = 200_000_000
MOST_MEMBERS = 5_000
HIGHEST_RATIO = 200
RATIO_FROM_BYTES = 1_000_000
_CHUNK = 1 << 16
_MAIN = {
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
}
_TYPES, _RELATIONS = "[Content_Types].xml", "http://schemas.openxmlformats.org/package/2006/relationships"
_OFD_ROOT = "{http://www.ofdspec.org/2016}OFD"
_FORBIDDEN: dict[Reason, tuple[str, ...]] = {
    "macro": ("vbaproject", "vbadata", "/macrosheets/", "/activex/", "attachedtoolbars"),
    "embedded": ("/embeddings/", "oleobject"),
    "external": ("/externallinks/", "/connections.xml", "/querytables/", "/webextensions/"),
}
# Programs, compound files and archives within the archive: none belongs in a document.
_FOREIGN = (b"MZ", b"\x7fELF", b"\xd0\xcf\x11\xe0", b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"#!")


def check_archive(path: Path, kind: str) -> None:
    """NotTaken for bombs, tricks with names, encryption, macros, objects and links to outside."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_sizes(members, path.stat().st_size)
            for member in members:
                _check_name(member)
            for member in members:
                _read_through(archive, member)
            _check_ofd(archive) if kind == "ofd" else _check_office(archive, kind)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise NotTaken("structure", kind) from error


def _check_sizes(members: list[zipfile.ZipInfo], size: int) -> None:
    """By the directory alone, before a byte is unpacked; members that lie over each other are a bomb too."""
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if len(members) > MOST_MEMBERS or total > MOST_BYTES or packed > size:
        raise NotTaken("bomb", f"{len(members)} / {total}")
    if not members or min(member.header_offset for member in members) != 0:
        raise NotTaken("structure", "zip")
    if len({member.filename.lower() for member in members}) != len(members):
        raise NotTaken("structure", "zip")
    for member in members:
        if member.file_size > max(RATIO_FROM_BYTES, HIGHEST_RATIO * member.compress_size):
            raise NotTaken("bomb", member.filename)


def _check_name(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    parts = name.split("/")
    if (
        not name or len(name) > 255 or name.startswith("/") or ".." in parts or "\\" in name or ":" in name
        or any(ch < " " for ch in name) or member.external_attr >> 28 == 0xA
    ):  # fmt: skip
        raise NotTaken("structure", name)
    if member.flag_bits & 0x1:
        raise NotTaken("encrypted", name)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotTaken("structure", name)
    lower = "/" + name.lower()
    for reason, parts_of in _FORBIDDEN.items():
        if any(part in lower for part in parts_of):
            raise NotTaken(reason, name)


def _read_through(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Unpack a member piece by piece: its checksum and size hold, it is no program, its XML declares nothing."""
    is_xml = member.filename.lower().endswith((".xml", ".rels"))
    before = b""
    with archive.open(member) as content:
        beginning = content.read(_CHUNK)
        if beginning.startswith(_FOREIGN):
            raise NotTaken("embedded", member.filename)
        piece = beginning
        while piece:
            # Without the zeros UTF-16 reads the same as UTF-8.
            if is_xml and b"<!DOCTYPE" in (before + piece).replace(b"\0", b""):
                raise NotTaken("structure", member.filename)
            before, piece = piece[-32:], content.read(_CHUNK)


def _check_office(archive: zipfile.ZipFile, kind: str) -> None:
    types = [one.get("ContentType", "") for one in _xml(archive, _TYPES).iter()]
    if any("macroEnabled" in one or "vbaProject" in one or "activeX" in one for one in types):
        raise NotTaken("macro", kind)
    if _MAIN[kind] not in types:
        raise NotTaken("content", kind)
    for name in archive.namelist():
        if name.lower().endswith(".rels"):
            for relation in _xml(archive, name).iter(f"{{{_RELATIONS}}}Relationship"):
                _check_relation(relation)


def _check_relation(relation: ElementTree.Element) -> None:
    kind = relation.get("Type", "").rpartition("/")[2].lower()
    if "vbaproject" in kind or "macrosheet" in kind:
        raise NotTaken("macro", kind)
    if kind in ("oleobject", "package", "control"):
        raise NotTaken("embedded", kind)
    # A hyperlink is followed by hand only; templates, pictures and data are fetched when the file is opened.
    if relation.get("TargetMode", "").lower() == "external" and kind != "hyperlink":
        raise NotTaken("external", relation.get("Target", ""))


def _check_ofd(archive: zipfile.ZipFile) -> None:
    if "OFD.xml" not in archive.namelist() or _xml(archive, "OFD.xml").tag != _OFD_ROOT:
        raise NotTaken("content", "ofd")


def _xml(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    """A part as XML; declarations of documents were refused before, so that no entity can be defined."""
    try:
        return ElementTree.fromstring(archive.read(name))
    except (KeyError, ElementTree.ParseError, expat.ExpatError) as error:
        raise NotTaken("structure", name) from error
