"""The file of a backup: a zip whose last member says what the others must be, written whole or not at all."""

import hashlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from riskpool.backups.cut import BackupError
from riskpool.logs import open_private

FORMAT = "riskpool backup 1"
MANIFEST = "manifest.json"
CHUNK = 1 << 20
Told = Callable[[int], None]
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, KeyError, ValueError, struct.error)


class Writer:
    """Writes members one after the other, hashing them on the way."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self.members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, chunks: Iterable[bytes]) -> str:
        """Write one member; its SHA-256."""
        digest, size = hashlib.sha256(), 0
        with self._file.open(zipfile.ZipInfo(name), "w", force_zip64=True) as stream:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                stream.write(chunk)
        self.members[name] = {"sha256": digest.hexdigest(), "bytes": size}
        return digest.hexdigest()

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest, with which the file is complete."""
        content = {"format": FORMAT, **manifest, "members": self.members}
        self._file.writestr(MANIFEST, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def written(path: Path) -> Iterator[Writer]:
    """A backup that appears under its name when it is whole and on the disk; only its owner may read it."""
    fresh = path.with_name(path.name + ".part")
    try:
        with os.fdopen(open_private(fresh), "wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file:
                yield Writer(file)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


class Archive:
    """A backup being read; BackupError when it is none, or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = zipfile.ZipFile(path)
            self.manifest: dict[str, Any] = json.loads(self._file.read(MANIFEST))
            self.members: dict[str, dict[str, Any]] = dict(self.manifest["members"])
            known = self.manifest["format"] == FORMAT
        except FileNotFoundError:
            raise BackupError(f"没有文件 {path}。 There is no file {path}.") from None
        except (*_DAMAGE, TypeError) as error:
            raise _damaged(path, f"it is no backup, or not the whole of one ({error})") from None
        if not known:
            raise BackupError(
                f"备份格式未知。 {path} is of the format {self.manifest['format']!r}; this program reads {FORMAT!r}."
            )

    def check(self, told: Told = lambda size: None) -> None:
        """Read every byte; BackupError unless all members are there and are what the manifest says."""
        names = [name for name in self._file.namelist() if name != MANIFEST]
        if len(names) != len(set(names)) or set(names) != set(self.members):
            odd = sorted(set(names) ^ set(self.members)) or ["a member twice"]
            raise _damaged(self.path, f"its members are not those of its manifest: {', '.join(odd[:5])}")
        for name, said in self.members.items():
            digest = hashlib.sha256()
            for chunk in self.chunks(name):
                digest.update(chunk)
                told(len(chunk))
            if digest.hexdigest() != said["sha256"]:
                raise _damaged(self.path, f"{name} has the SHA-256 {digest.hexdigest()}, its manifest {said['sha256']}")

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member's bytes, piece by piece."""
        try:
            with self._file.open(name) as stream:
                yield from pieces(stream)
        except _DAMAGE as error:
            raise _damaged(self.path, f"{name} cannot be read ({error})") from None

    def names(self, under: str) -> list[str]:
        """Members under a name that ends with ``/``."""
        return [name for name in self.members if name.startswith(under)]

    @property
    def bytes(self) -> int:
        """The size of all members."""
        return sum(int(member["bytes"]) for member in self.members.values())


def pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """What a stream still has."""
    while chunk := stream.read(CHUNK):
        yield chunk


def _damaged(path: Path, why: str) -> BackupError:
    return BackupError(
        f"备份文件已损坏，未作任何改动。 {path} is damaged: {why}. Nothing was written. Take another copy of it, or "
        "another backup."
    )
