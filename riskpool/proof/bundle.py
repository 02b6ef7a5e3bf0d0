"""A bundle: everything an outsider needs to check the books, in one zip file whose members are plain text."""

import hashlib
import io
import json
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

FORMAT = "riskpool audit bundle 1"
MANIFEST, README, HEADS, CLOSES, KEY = "manifest.json", "README.txt", "heads.jsonl", "closes.jsonl", "public-key.txt"
EVENTS, CHAIN, JOURNAL, VERSIONS = "events.jsonl", "chain.txt", "journal.tsv", "versions.jsonl"
_ALWAYS = (1980, 1, 1, 0, 0, 0)
_BUFFER = 1 << 20

HOW = """What a compensation fund's books rest on: every event of every service, the pool's journal, the versions of the
scheme, and the signed closes of half-years. `riskpool audit verify FILE` checks it all on a machine with no database.
By hand:

SERVICE/SCHEME/events.jsonl  an event a line, byte for byte as it was recorded (CloudEvents in JSON)
SERVICE/SCHEME/chain.txt     of line n of events.jsonl: position, moment (microseconds since 1970), SHA-256
    An event's SHA-256 is that of: the 32 bytes of the one before it (zero bytes before the first), its position and its
    moment in decimal with a space after each, its line of events.jsonl without the line end.
pool/SCHEME/journal.tsv      seq, event id, debit, credit, amount in fen, effective date, moment, SHA-256; tabs between
    A row's SHA-256 is that of: the 32 bytes of the one before it (zero bytes before the first), all but the last of its
    columns with a NUL byte between them. They are the `data.entries` of its event: each debit met by the credits.
SERVICE/versions.jsonl       the scheme's versions: the SHA-256 of content and size standard in canonical JSON
heads.jsonl                  where each chain ends
closes.jsonl                 the closes, which are events of the pool as well
    `digest` is the SHA-256 of the canonical JSON (keys sorted, no spaces) without why, digest, signature, public_key;
    `signature` is the Ed25519 signature of the digest's 64 letters.
manifest.json                the SHA-256 of every other member

What a bundle cannot show by itself: that nobody wrote all of it anew. Compare its closes with those that you were given
at the time, and name the public key that you were given then: `riskpool audit verify FILE --key KEY`.
"""


class NoBundle(Exception):
    """A file that is no bundle, or one of a format that is not known."""


class NotWritable(Exception):
    """A row that no bundle can hold as it stands; the audit of the database names what is wrong with it."""


@dataclass
class Writer:
    """Writes members one after the other, in bounded memory; the same content gives the same file, byte for byte."""

    file: zipfile.ZipFile
    members: dict[str, dict[str, Any]] = field(default_factory=dict)

    @contextmanager
    def member(self, name: str) -> Iterator["Member"]:
        """Write one member."""
        info = zipfile.ZipInfo(name, _ALWAYS)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        with self.file.open(info, "w", force_zip64=True) as stream:
            member = Member(stream)
            yield member
            member.flush()
        self.members[name] = {"sha256": member.sha256.hexdigest(), "bytes": member.bytes, "lines": member.lines}

    def text(self, name: str, content: str) -> None:
        """A short member."""
        with self.member(name) as member:
            member.write(content.encode())

    def objects(self, name: str, rows: Iterable[Any]) -> None:
        """A member of JSON objects, one a line, with their keys in order."""
        with self.member(name) as member:
            for row in rows:
                line = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
                member.line(line.encode())

    def spooled(self, name: str, spool: IO[bytes]) -> None:
        """A member whose lines were kept aside while another was written."""
        spool.seek(0)
        with self.member(name) as member:
            for line in spool:
                member.line(line[:-1])

    def finish(self) -> str:
        """Write the manifest; its SHA-256."""
        manifest = {"format": FORMAT, "members": dict(sorted(self.members.items()))}
        self.text(MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        return str(self.members[MANIFEST]["sha256"])


class Member:
    """One member being written, line by line."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._waiting = stream, bytearray()
        self.sha256, self.bytes, self.lines = hashlib.sha256(), 0, 0

    def line(self, content: bytes) -> None:
        """Write a line; NotWritable when it holds a line end itself."""
        if b"\n" in content:
            raise NotWritable(content[:200].decode(errors="replace"))
        self.lines += 1
        self.write(content + b"\n")

    def write(self, content: bytes) -> None:
        """Write bytes as they are."""
        self._waiting += content
        if len(self._waiting) > _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Hand what waits on to the file."""
        self.sha256.update(self._waiting)
        self.bytes += len(self._waiting)
        self._stream.write(bytes(self._waiting))
        self._waiting.clear()


@contextmanager
def written(path: Path) -> Iterator[Writer]:
    """A bundle that appears under its name when it is whole; its README stands first."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".new") as fresh:
        with zipfile.ZipFile(fresh, "w", compresslevel=1) as file:
            writer = Writer(file)
            writer.text(README, HOW)
            yield writer
        fresh.flush()
        fresh.seek(0)
        with path.open("wb") as stream:
            shutil.copyfileobj(fresh, stream, _BUFFER)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """ValueError for whatever a damaged zip file makes of its member."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"{name}: {error}") from error


class Bundle:
    """A bundle being read; NoBundle when the file is none, ValueError where a member cannot be read."""

    def __init__(self, path: Path) -> None:
        try:
            with _readable(str(path)):
                self.file = zipfile.ZipFile(path)
            manifest = json.loads(self.text(MANIFEST))
            self.members: dict[str, Mapping[str, Any]] = dict(manifest["members"])
            known = manifest["format"] == FORMAT
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise NoBundle(f"{path} is no bundle of `riskpool audit export`: {error}") from error
        if not known:
            raise NoBundle(f"{path} is of the format {manifest['format']!r}; this program reads {FORMAT!r}")

    def lines(self, name: str) -> Iterator[bytes]:
        """A member's lines without their line ends; nothing where there is no such member."""
        if name not in self.file.namelist():
            return
        with _readable(name), self.file.open(name) as stream:
            for line in io.BufferedReader(stream, _BUFFER):  # type: ignore[type-var]
                yield line.removesuffix(b"\n")

    def chunks(self, name: str, most: int) -> Iterator[list[bytes]]:
        """A member's lines, so many at a time."""
        lines = self.lines(name)
        while chunk := list(islice(lines, most)):
            yield chunk

    def objects(self, name: str) -> Iterator[dict[str, Any]]:
        """A member's lines as JSON objects."""
        return (dict(json.loads(line)) for line in self.lines(name))

    def text(self, name: str) -> str:
        """A short member."""
        with _readable(name):
            return self.file.read(name).decode()

    def wrong_members(self) -> Iterable[str]:
        """What of the file is not what its manifest says, in words."""
        names = [name for name in self.file.namelist() if name != MANIFEST]
        for name in sorted({*names, *self.members}):
            if name not in self.members:
                yield f"bundle {name}: is not in the manifest"
            elif name not in names:
                yield f"bundle {name}: is missing"
            elif (found := self._sha256(name)) != self.members[name].get("sha256"):
                yield f"bundle {name}: sha256: is {found}, the manifest says {self.members[name].get('sha256')}"

    def _sha256(self, name: str) -> str:
        try:
            with _readable(name), self.file.open(name) as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        except ValueError as error:
            return f"unreadable ({error})"
