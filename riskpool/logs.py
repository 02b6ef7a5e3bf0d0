"""Log files of the embedded stack: kept short, read from the end, followed on the terminal."""

import asyncio
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

KEEP_BYTES = 20_000_000
_TAIL_BYTES = 64_000
_WARNING = re.compile(
    r"\b(WARNING|ERROR|CRITICAL|FATAL|PANIC|Traceback)\b|\[(WRN|ERR|FTL)\]"
    r'|"level": ?"(warning|warn|error|critical|fatal)"',
)


def rotate(log: Path) -> None:
    """Set a long log aside as `<name>.1`, so that no log grows for ever."""
    if log.exists() and log.stat().st_size > KEEP_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def tail(log: Path, count: int) -> list[str]:
    """The last `count` lines of a log; none when it is not there."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()[-count:]


def is_warning(line: str) -> bool:
    return _WARNING.search(line) is not None


async def follow(logs: Iterable[Path], show: Callable[[str, str], None], every_line: bool) -> None:
    """Pass each new line of the logs, with the log's name, to `show`; only warnings and up unless `every_line`."""
    places = {log: log.stat().st_size if log.exists() else 0 for log in logs}
    while True:
        for log, place in places.items():
            for line in _new_lines(log, place, places):
                if every_line or is_warning(line):
                    show(log.stem, line)
        await asyncio.sleep(0.2)


def _new_lines(log: Path, place: int, places: dict[Path, int]) -> list[str]:
    if not log.exists() or log.stat().st_size <= place:
        return []
    with log.open("rb") as file:
        file.seek(place)
        fresh = file.read()
    end = fresh.rfind(b"\n") + 1
    places[log] = place + end
    return fresh[:end].decode("utf-8", "replace").splitlines()


def open_private(path: Path) -> int:
    """A descriptor of a file only its owner can read, emptied; for addresses that hold passwords."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
