"""Secrets: a setting holds one or, better, names the file that does: no `docker inspect` shows what a file holds."""

import os
from pathlib import Path


def secret(setting: str) -> str:
    """What a setting holds, or the file whose whole path it is; empty where it is not set. OSError names a bad file."""
    named = os.environ.get(setting, "").strip()
    if not named.startswith("/"):
        return named
    held = Path(named).read_text("utf-8").strip()
    if not held:
        raise OSError(f"{setting}: the file {named} is empty")
    return held
