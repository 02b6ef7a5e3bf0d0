"""Which files are taken: pdf, jpg, png, docx, xlsx and ofd, when name and content agree and nothing in them acts."""

from pathlib import Path

from services.gateway.documents.archives import check_archive
from services.gateway.documents.images import check_jpeg, check_png
from services.gateway.documents.pdf import check_pdf
from services.gateway.documents.refused import NotTaken

LARGEST_BYTES = 20_000_000
_OFFICE = "application/vnd.openxmlformats-officedocument"
MEDIA_TYPES = {
    "pdf": "application/pdf",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "docx": f"{_OFFICE}.wordprocessingml.document",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    "ofd": "application/ofd",
}
_BEGINNINGS = {
    "pdf": b"%PDF-",
    "jpg": b"\xff\xd8\xff",
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "docx": b"PK\x03\x04",
    "xlsx": b"PK\x03\x04",
    "ofd": b"PK\x03\x04",
}
_MACRO_KINDS = ("docm", "dotm", "xlsm", "xltm", "xlsb", "xlam")
# What password-protected Word and Excel files, and those from before 2007, begin with.
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0"


def check(path: Path, name: str) -> str:
    """The media type of a stored file under the name it came with; NotTaken when it is not to be kept."""
    kind = name.rpartition(".")[2].lower() if "." in name else ""
    if kind in _MACRO_KINDS:
        raise NotTaken("macro", kind)
    if kind not in MEDIA_TYPES:
        raise NotTaken("type", kind)
    with path.open("rb") as file:
        beginning = file.read(8)
    if not beginning:
        raise NotTaken("empty")
    if kind in ("docx", "xlsx") and beginning.startswith(_COMPOUND_FILE):
        raise NotTaken("encrypted", kind)
    if not beginning.startswith(_BEGINNINGS[kind]):
        raise NotTaken("content", kind)
    match kind:
        case "pdf":
            check_pdf(path)
        case "png":
            check_png(path)
        case "jpg" | "jpeg":
            check_jpeg(path)
        case _:
            check_archive(path, kind)
    return MEDIA_TYPES[kind]
