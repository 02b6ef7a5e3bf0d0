"""Every replica of every service, asked at once: which of them run, since when, and whether they are ready."""

import contextlib
import importlib.metadata
import os
import socket
import subprocess
import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from shared.messaging.bus import Bus

ROOT = Path(__file__).parents[2]
SUBJECT = "instances"
BUILD = "RISKPOOL_BUILD"
ANSWER_SECONDS = 0.4


@dataclass(frozen=True)
class Instance:
    """One replica: ``name`` is its host and process, ``leads`` that its relay publishes, ``partitions`` what it owns.

    ``version`` has the build behind a plus. ``reason`` says why it is not ready, where it knows.
    """

    service: str
    name: str
    version: str
    since: datetime
    ready: bool
    leads: bool
    partitions: int
    reason: str = ""


_READ = TypeAdapter(Instance)


async def instances(bus: "Bus") -> list[Instance]:
    """Whoever answers in time, in order."""
    told: list[Any] = await bus.ask_all(SUBJECT, ANSWER_SECONDS)
    return sorted(map(_READ.validate_python, told), key=lambda one: (one.service, one.since))


def own_name() -> str:
    """This process among all replicas."""
    return f"{socket.gethostname()}:{os.getpid()}"


def version() -> str:
    """This program's version, that of the installed one or of the directory that it runs from, and its build."""
    return "+".join(filter(None, (_release(), build())))


def build() -> str:
    """What tells two builds of a version apart: ``RISKPOOL_BUILD``, else what git says of the checkout, or nothing."""
    return os.environ.get(BUILD) or _checkout()


def _release() -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("riskpool")
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


@cache
def _checkout() -> str:
    if not (ROOT / ".git").exists():  # nor that of another repository around this directory
        return ""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty"]
    with contextlib.suppress(OSError):
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return ""
