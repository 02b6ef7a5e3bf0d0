"""Images: the structure is walked from beginning to end, so that a renamed or cut file is found."""

import struct
import zlib
from pathlib import Path

from services.gateway.documents.refused import NotTaken

MOST_PIXELS = 200_000_000
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))


def check_png(path: Path) -> None:
    """Every chunk with its checksum, header first, end last, nothing after it."""
    content = path.read_bytes()
    at, kind = 8, b""
    while kind != b"IEND":
        if at + 12 > len(content):
            raise NotTaken("structure", "png")
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        end = at + 12 + length
        if end > len(content) or (at == 8) != (kind == b"IHDR"):
            raise NotTaken("structure", "png")
        if zlib.crc32(content[at + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            raise NotTaken("structure", "png")
        if kind == b"IHDR":
            _check_size(*struct.unpack(">II", content[at + 8 : at + 16]))
        at = end
    if at != len(content):
        raise NotTaken("structure", "png")


def check_jpeg(path: Path) -> None:
    """Every segment up to the picture's data, one frame of a sensible size, and an end (cameras add notes after it)."""
    content = path.read_bytes()
    at, framed = 2, False
    while True:
        while content[at : at + 2] == b"\xff\xff":
            at += 1
        if at + 4 > len(content) or content[at] != 0xFF:
            raise NotTaken("structure", "jpg")
        marker = content[at + 1]
        if marker in _ALONE:
            at += 2
            continue
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        if length < 2 or marker in (0x00, 0xD8, 0xD9):
            raise NotTaken("structure", "jpg")
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9].ljust(4, b"\0"))
            _check_size(width, height)
            framed = True
        at += 2 + length
        if marker == 0xDA:
            break
    if not framed or content.find(b"\xff\xd9", at) < 0:
        raise NotTaken("structure", "jpg")


def _check_size(width: int, height: int) -> None:
    if not width or not height:
        raise NotTaken("structure", f"{width}x{height}")
    if width * height > MOST_PIXELS:
        raise NotTaken("bomb", f"{width}x{height}")
