"""Every replica of every service, asked at once: which of them run, since when, and whether they are ready."""

import contextlib
import importlib.metadata
import os
import socket
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from shared.messaging.bus import Bus

ROOT = Path(__file__).parents[2]
SUBJECT = "instances"
ANSWER_SECONDS = 0.4


@dataclass(frozen=True)
class Instance:
    """One replica: ``name`` is its host and process, ``leads`` that its relay publishes, ``partitions`` what it owns.

    ``reason`` says why it is not ready, where it knows.
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
    """This program's version: the installed one's, or that of the directory that it runs from."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("riskpool")
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])
