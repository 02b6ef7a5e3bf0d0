"""The whole stack as `riskpool up` runs it, on free ports and in a directory of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from riskpool.place import read_description

START_SECONDS = 120.0
PARTNERS = Path(__file__).parents[1] / "partners" / "node"
Holds = Callable[[], bool]


class RunningStack:
    """A `riskpool up` process and what its `stack.json` says."""

    def __init__(self, data: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.data = data
        self.output = data.with_name(data.name + ".out")
        command = [sys.executable, "-m", "riskpool", "up", "--data", str(data), *(options or ("--free-ports",))]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **(env or {})}, start_new_session=True
            )

    @property
    def description(self) -> dict[str, Any]:
        return read_description(self.data) or {}

    @property
    def api_url(self) -> str:
        return str(self.description["api_url"])

    @property
    def nats_url(self) -> str:
        return str(self.description["nats_url"])

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def database_url(self, service: str) -> str:
        return str(self.description["databases"][service])

    def pid(self, name: str) -> int | None:
        entry = self.description.get("processes", {}).get(name)
        return None if entry is None else int(entry["pid"])

    def kill(self, name: str) -> int:
        """kill -9 of a service, `nats` or `postgres`; gives the process id that was killed."""
        pid = self.pid(name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    def until_ready(self, seconds: float = START_SECONDS) -> "RunningStack":
        self._until(self.is_ready, seconds)
        return self

    def until_says(self, words: str, seconds: float = START_SECONDS) -> None:
        """Wait until the command has printed something."""
        self._until(lambda: words in self.text, seconds)

    def is_ready(self) -> bool:
        return self.description.get("state") == "ready" and self.description.get("pid") == self.process.pid

    def ended(self, seconds: float = START_SECONDS) -> int:
        """Wait for the command to end by itself; its exit code."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def crash(self) -> None:
        """kill -9 of the command itself; its children are left behind."""
        self.process.kill()
        self.process.wait(5)

    def _until(self, holds: Holds, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, f"riskpool up ended:\n{self.text}"
            assert time.monotonic() < deadline, f"not ready within {seconds} s:\n{self.text}"
            time.sleep(0.05)


Start = Callable[..., RunningStack]


@pytest.fixture(scope="session")
def stack_schemes() -> Sequence[Path]:
    """Scheme files that the session's stack serves instead of the shipped one; override it where others are needed."""
    return ()


@pytest.fixture(scope="session")
def stack(stack_schemes: Sequence[Path]) -> Iterator[RunningStack]:
    """One running stack for the session, with business time from the messages."""
    with _directory() as directory:
        schemes = [option for path in stack_schemes for option in ("--scheme", str(path))]
        running = RunningStack(directory / "data", "--free-ports", "--clock", "message", *schemes)
        try:
            yield running.until_ready()
        finally:
            _end(running)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start further stacks: `start("name", *options)`; the same name means the same data directory."""
    with _further_stacks() as start_one:
        yield start_one


@pytest.fixture(scope="module")
def start_for_module() -> Iterator[Start]:
    """The same, for stacks that several tests of a module share."""
    with _further_stacks() as start_one:
        yield start_one


@pytest.fixture(scope="session")
def node_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with NATS's official JavaScript client, by its hashes."""
    npm = shutil.which("npm")
    if npm is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Node.js with npm is not on this machine")
    place = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(PARTNERS / name, place)
    made = subprocess.run([npm, "ci", "--ignore-scripts"], cwd=place, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return place


@contextlib.contextmanager
def _further_stacks() -> Iterator[Start]:
    with _directory() as directory:
        started: list[RunningStack] = []

        def start_one(name: str = "data", *options: str, env: dict[str, str] | None = None) -> RunningStack:
            started.append(RunningStack(directory / name, *options, env=env))
            return started[-1]

        try:
            yield start_one
        finally:
            for running in started:
                _end(running)


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="riskpool-system-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def _end(running: RunningStack) -> None:
    if running.process.poll() is None:
        try:
            running.stop()
        except subprocess.TimeoutExpired:
            running.crash()
    for entry in running.description.get("processes", {}).values():
        with contextlib.suppress(psutil.NoSuchProcess):
            left = psutil.Process(int(entry["pid"]))
            if abs(left.create_time() - float(entry["started"])) < 0.05:
                left.kill()
