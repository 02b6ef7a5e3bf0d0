"""PDF: whole, not encrypted, and without parts that act when it is opened.

A scan, not a parser: names are read outside streams and inside object streams, with ``#xx`` undone. A file made to
hide its names from this scan can pass it; it is served as an attachment only, and clamd is there for what it knows.
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from services.gateway.documents.refused import NotTaken

_STREAM = re.compile(rb"stream\r?\n.*?endstream", re.DOTALL)
_OBJECTS = re.compile(rb"/ObjStm\b(?:(?!endobj).){0,400}?stream\r?\n", re.DOTALL)
_HEX = re.compile(rb"#([0-9A-Fa-f]{2})")
_END = rb"(?=[\s/<>\[\]()%]|$)"
_ACTS = re.compile(rb"/(JavaScript|JS|Launch|RichMedia|ImportData|SubmitForm)" + _END)
_HOLDS = re.compile(rb"/(EmbeddedFiles?)" + _END)
_ENCRYPTS = re.compile(rb"/Encrypt" + _END)
_TAIL_BYTES = 2048
_MOST_OBJECT_BYTES = 50_000_000


def check_pdf(path: Path) -> None:
    """NotTaken for a cut or encrypted file and for scripts, programs, forms that send and files inside."""
    content = path.read_bytes()
    if b"%%EOF" not in content[-_TAIL_BYTES:]:
        raise NotTaken("structure", "pdf")
    outside = _STREAM.sub(b"stream endstream", content)
    if _ENCRYPTS.search(_plain(outside)):
        raise NotTaken("encrypted", "pdf")
    for part in (outside, *_object_streams(content)):
        part = _plain(part)
        if found := _ACTS.search(part):
            raise NotTaken("active", found[1].decode())
        if found := _HOLDS.search(part):
            raise NotTaken("embedded", found[1].decode())


def _plain(content: bytes) -> bytes:
    """Names as they are meant: ``/J#61vaScript`` is ``/JavaScript``."""
    return _HEX.sub(lambda hit: bytes([int(hit[1], 16)]), content)


def _object_streams(content: bytes) -> Iterator[bytes]:
    left = _MOST_OBJECT_BYTES
    for found in _OBJECTS.finditer(content):
        opened = zlib.decompressobj()
        try:
            objects = opened.decompress(content[found.end() :], left)
        except zlib.error:
            continue
        left -= len(objects)
        if left <= 0:
            raise NotTaken("bomb", "pdf")
        yield objects
