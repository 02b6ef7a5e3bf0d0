"""The data directory of a stack: its lock, its ports, its passwords and the description of what runs in it."""

import base64
import contextlib
import fcntl
import json
import os
import random
import secrets
import signal
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from riskpool.layout import service_of
from riskpool.logs import open_private
from riskpool.services import SERVICES
from riskpool.supervisor import StackError

# Under the range that outgoing connections take, so that no client socket sits on a port while a server restarts.
_FREE_PORTS = range(20_000, 30_000)
# What `riskpool up` calls the option for a port that people choose.
PORT_OPTIONS = {"gateway": "--port", "nats": "--nats-port"}


class Place:
    """One stack's directory. Only one stack at a time may hold it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.logs = self.directory / "logs"
        self._lock: int | None = None
        self._held: list[socket.socket] = []

    def take(self) -> None:
        """Make the directory and lock it; the lock ends with the process, however it ends."""
        try:
            if not self.directory.exists():
                self.directory.mkdir(parents=True)
                # As root PostgreSQL has an account of its own, which must be able to pass.
                self.directory.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StackError(
                f"The data directory {self.directory} cannot be written: {error.strerror}. Choose another with --data."
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            pid = (read_description(self.directory) or {}).get("pid", "unknown")
            raise StackError(
                f"Another riskpool (process {pid}) is using {self.directory}. Stop it, or choose another with --data."
            ) from None

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        while self._held:
            self._held.pop().close()

    def passwords(self) -> dict[str, str]:
        """The owner's and the services' database passwords, made once."""
        file = self.directory / "secrets.json"
        if file.exists():
            return dict(json.loads(file.read_text()))
        made = {name: secrets.token_hex(24) for name in ("owner", *SERVICES)}
        _write_json(file, made)
        return made

    def signing_key(self) -> Path:
        """The file of the key that signs the pool's closes, made once: the base64 of 32 random bytes."""
        file = self.directory / "signing-key"
        if not file.exists():
            fresh = file.with_name(file.name + ".new")
            with os.fdopen(open_private(fresh), "w", encoding="ascii") as stream:
                stream.write(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
            fresh.replace(file)
        return file

    def metrics_token(self) -> Path:
        """The file of the token that /metrics asks for, made once."""
        file = self.directory / "metrics-token"
        if not file.exists():
            fresh = file.with_name(file.name + ".new")
            with os.fdopen(open_private(fresh), "w", encoding="ascii") as stream:
                stream.write(secrets.token_urlsafe(32))
            fresh.replace(file)
        return file

    def choose_ports(self, names: Iterable[str], wanted: Mapping[str, int]) -> dict[str, int]:
        """The wanted ports, which must be free, and for the rest those of the last time, or any that are free."""
        for name, port in wanted.items():
            if not _is_free(port):
                raise StackError(
                    f"Port {port} ({name}) is taken by another program. Choose another with "
                    f"{PORT_OPTIONS.get(name, 'the option for it')} N, or let riskpool choose with --free-ports."
                )
        file = self.directory / "ports.json"
        before: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        ports = dict(wanted)
        for name in names:
            if name not in ports:
                ports[name], twin = free_port(before.get(name), wanted.values())
                self._held.append(twin)
        _write_json(file, before | ports)
        return ports

    def describe(self, description: Mapping[str, Any]) -> None:
        """Write `stack.json`, by which other commands and tests find what runs here."""
        _write_json(self.directory / "stack.json", description)

    def end_orphans(self) -> None:
        """End the processes of a stack that was killed here; one is known by its id and its start time."""
        recorded = (read_description(self.directory) or {}).get("processes", {})
        found = {name: process for name, entry in recorded.items() if (process := _same(entry)) is not None}
        _end([process for name, process in found.items() if service_of(name)], signal.SIGTERM)
        _end([process for name, process in found.items() if not service_of(name)], signal.SIGINT)


def read_description(directory: Path) -> dict[str, Any] | None:
    """What `stack.json` says, whether or not that stack still runs."""
    try:
        return dict(json.loads((directory / "stack.json").read_text()))
    except (OSError, ValueError):
        return None


def find_running(directory: Path) -> dict[str, Any]:
    """The description of the stack that is running and ready in a directory; it says how to start one if none is."""
    description = read_description(directory)
    if description is None or description.get("state") != "ready" or not _is_held(directory / "lock"):
        raise StackError(f"No stack is running in {directory}. Start one with `riskpool up --data {directory}`.")
    return description


def process_entry(pid: int) -> dict[str, float]:
    """A process id with its start time, so that a later process with the same id is never mistaken for it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    return {"pid": pid, "started": 0.0}


def _same(entry: Mapping[str, Any]) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(entry["pid"]))
        if abs(process.create_time() - float(entry["started"])) < 0.05:
            return process
    return None


def _end(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    _, alive = psutil.wait_procs(processes, timeout=8)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(before: int | None = None, taken: Collection[int] = ()) -> tuple[int, socket.socket]:
    """A free port, if possible that of the last time, and what holds it until it is closed: its UDP twin.

    Stacks that start beside each other choose long before their servers listen.
    """
    for port in _candidates(before):
        twin = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            twin.bind(("127.0.0.1", port))
            if port not in taken and _is_free(port):
                return port, twin
        twin.close()
    raise StackError("No free port between 20000 and 29999 was found.")


def _candidates(before: int | None) -> Iterator[int]:
    if before is not None:
        yield before
    yield from random.sample(_FREE_PORTS, 500)


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    fresh = file.with_name(file.name + ".new")
    with os.fdopen(open_private(fresh), "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=2, ensure_ascii=False)
    fresh.replace(file)
