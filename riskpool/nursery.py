"""The services of the embedded stack are forked from one process that has imported them all: a start imports nothing.

`python -m riskpool.nursery` is that process. It reads JSON objects, one a line: ``{application, port, migrated,
environment, log, directory}``; it answers ``{"began": pid}``, and ``{"ended": pid, "code": ...}`` when a child ends. It
ends with its input and leaves its children running, as a parent that is killed does.
"""

import asyncio
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from riskpool.logs import tail
from riskpool.services import SERVICES
from riskpool.supervisor import StackError

LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Birth:
    """What a child is to be: an application of an imported module, where it listens, and when it may begin."""

    application: str
    port: int
    migrated: str
    environment: Mapping[str, str]
    log: str
    directory: str


class Forked:
    """A child of the nursery, as `asyncio.subprocess.Process` shows one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        """Its exit code, negative for a signal."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Send a signal; ProcessLookupError when it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError(self.pid)
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    def ended(self, code: int) -> None:
        """The nursery says so."""
        if self.returncode is None:
            self.returncode = code
            self._ended.set_result(code)


class Nursery:
    """The nursery's parent: it asks for children and hears of their ends. A nursery that is gone is made anew."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._children: dict[int, Forked] = {}
        self._began: asyncio.Queue[Forked | None] = asyncio.Queue()
        self._one = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def fork(self, birth: Birth) -> Forked:
        """A new child; the first one waits until everything is imported. StackError when that cannot be."""
        async with self._one:
            if self._process is None:
                await self._open(birth)
            assert self._process and self._process.stdin
            self._process.stdin.write(json.dumps(asdict(birth)).encode() + b"\n")
            child = await self._began.get()
            if child is None:
                lines = "\n".join(f"  {line}" for line in tail(self._log, 20))
                raise StackError(f"The services cannot be started. The last lines of {self._log}:\n{lines}")
            return child

    async def close(self) -> None:
        """End the nursery, whose children have ended."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            await self._process.wait()
        if self._reading:
            await self._reading

    async def _open(self, birth: Birth) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "riskpool.nursery",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=birth.directory, env=birth.environment,
                start_new_session=True,
            )  # fmt: skip
        self._reading = asyncio.create_task(self._read(self._process), name="nursery")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        while line := await process.stdout.readline():
            told: dict[str, Any] = json.loads(line)
            if pid := told.get("began"):
                self._children[pid] = child = Forked(pid)
                self._began.put_nowait(child)
            else:
                self._children.pop(told["ended"]).ended(told["code"])
        self._process = None
        if self._one.locked():
            self._began.put_nowait(None)
        for child in self._children.values():  # nobody would say when they end
            os.kill(child.pid, signal.SIGKILL)
            child.ended(-signal.SIGKILL)
        self._children.clear()


def main() -> None:
    """Import all services; fork one whenever a line asks for it."""
    for name in SERVICES:
        importlib.import_module(f"services.{name}.app")
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    asked = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_of_the_ended()
        if 0 in ready:
            if not (more := os.read(0, 65536)):
                return
            *lines, asked = (asked + more).split(b"\n")
            for line in lines:
                if (child := os.fork()) == 0:
                    _live(Birth(**json.loads(line)), (woken, wake))
                _tell(began=child)


def _tell_of_the_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**what: int) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _live(birth: Birth, pipes: tuple[int, int]) -> None:
    """Be the service; never returns."""
    import uvicorn

    from shared.observability.logs import log_as_json

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for pipe in pipes:
        os.close(pipe)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(birth.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(birth.environment)
    os.chdir(birth.directory)
    module, _, attribute = birth.application.partition(":")
    log_as_json(module.split(".")[1])
    application = getattr(sys.modules[module], attribute)
    config = uvicorn.Config(application, port=birth.port, timeout_graceful_shutdown=5, access_log=False)
    config.load()
    while not Path(birth.migrated).exists():
        time.sleep(LOOK_SECONDS)
    server = uvicorn.Server(config)
    server.run()
    sys.stdout.flush()
    os._exit(0 if server.started else 1)


if __name__ == "__main__":
    main()
