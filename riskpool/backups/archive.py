"""The file of a backup: a tar of its parts behind a manifest that says what they are and their SHA-256."""

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMAT = 1
MANIFEST = "manifest.json"
Progress = Callable[[str], None]


class NoBackup(Exception):
    """A file that is no backup, or a damaged one; the message says what is wrong with it."""


def pack(file: Path, parts: dict[str, Path], told: dict[str, Any]) -> None:
    """Write parts (name: file) and their manifest; the file is there whole or not at all."""
    described = {name: {"bytes": part.stat().st_size, "sha256": sha256_of(part)} for name, part in parts.items()}
    manifest = json.dumps({"format": FORMAT, **told, "parts": described}, indent=1, sort_keys=True).encode()
    fresh, listed = file.with_name(file.name + ".new"), file.with_name(file.name + ".manifest")
    try:
        listed.write_bytes(manifest)
        with tarfile.open(fresh, "w") as tar:
            tar.add(listed, MANIFEST)
            for name, part in sorted(parts.items()):
                tar.add(part, name)
        fresh.chmod(0o600)
        fresh.replace(file)
    finally:
        listed.unlink(missing_ok=True)
        fresh.unlink(missing_ok=True)


def unpack(file: Path, directory: Path) -> dict[str, Any]:
    """Put the parts into a directory and give the manifest; NoBackup when anything is not as it says."""
    try:
        with tarfile.open(file) as tar:
            tar.extractall(directory, filter="data")
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_bytes())
    except (tarfile.TarError, OSError, ValueError) as error:
        raise NoBackup(f"{file} cannot be read as a backup: {error}") from None
    if manifest.get("format") != FORMAT:
        raise NoBackup(f"{file} has the format {manifest.get('format')!r}; this version reads {FORMAT}")
    for name, part in manifest["parts"].items():
        if not (directory / name).is_file() or sha256_of(directory / name) != part["sha256"]:
            raise NoBackup(f"{file} is damaged: {name} is not what its manifest says. Nothing was restored.")
    return manifest


def sha256_of(file: Path) -> str:
    """A file's SHA-256 in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
