"""Child processes of the embedded stack: started, watched, started again, ended."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from riskpool.logs import tail

DEATHS_ALLOWED = 5
DEATHS_WITHIN_SECONDS = 30.0
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 3.0


class StackError(Exception):
    """The stack cannot go on; the text says what is wrong and what to do about it."""


class Process(Protocol):
    """A running process, or one that ended."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    async def wait(self) -> int:
        """Wait for its end."""

    def send_signal(self, signal: int, /) -> None:
        """Send a signal."""

    def kill(self) -> None:
        """kill -9."""


@dataclass(frozen=True)
class Program:
    """What to run, where its output goes and how to end it; `prepare` runs before every start.

    `fork` makes the process instead of the command, where another process has everything ready.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    cwd: Path = Path("/")
    environment: Mapping[str, str] | None = None
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    options: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[], None] | None = None
    fork: Callable[[], Awaitable["Process"]] | None = None


class Child:
    """One supervised process: it is started again when it ends, unless it keeps ending."""

    def __init__(self, program: Program, changed: Callable[[], None], failed: Callable[[StackError], None]) -> None:
        self.program = program
        self.restarts = 0
        # Until it was ready once every death counts: on a busy machine five starts take longer than the window.
        self.was_ready = False
        self._changed = changed
        self._failed = failed
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._deaths: list[float] = []

    @property
    def pid(self) -> int | None:
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        await self._spawn()
        self._watch = asyncio.create_task(self._keep_running(), name=f"watch {self.program.name}")

    async def stop(self) -> None:
        """End the process as its program asks; kill it when it does not end in time."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.program.stop_signal)
        try:
            async with asyncio.timeout(self.program.stop_seconds):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _spawn(self) -> None:
        program = self.program
        if program.prepare is not None:
            await asyncio.to_thread(program.prepare)
        if program.fork is not None:
            self._process = await program.fork()
            self._changed()
            return
        with program.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=program.cwd,
                env=None if program.environment is None else dict(program.environment),
                start_new_session=True,
                **program.options,
            )
        self._changed()

    async def _keep_running(self) -> None:
        while True:
            assert self._process is not None
            code = await self._process.wait()
            now = time.monotonic()
            recent = (death for death in self._deaths if not self.was_ready or now - death < DEATHS_WITHIN_SECONDS)
            self._deaths = [*recent, now]
            if len(self._deaths) >= DEATHS_ALLOWED:
                self._failed(self._keeps_ending(code))
                return
            delay = FIRST_DELAY_SECONDS * 4 ** (len(self._deaths) - 1)
            self._note(f"{self.program.name} ended ({_how(code)}); starting it again")
            await asyncio.sleep(min(delay, LONGEST_DELAY_SECONDS))
            self.restarts += 1
            try:
                await self._spawn()
            except (OSError, StackError) as error:
                self._failed(StackError(f"{self.program.name} cannot be started again: {error}"))
                return

    def _note(self, text: str) -> None:
        with self.program.log.open("a", encoding="utf-8") as log:
            log.write(f"WARNING: {text}\n")

    def _keeps_ending(self, code: int) -> StackError:
        lines = "\n".join(f"  {line}" for line in tail(self.program.log, 20))
        since = f"within {DEATHS_WITHIN_SECONDS:.0f} seconds" if self.was_ready else "without ever being ready"
        return StackError(
            f"{self.program.name} keeps ending ({_how(code)}): {DEATHS_ALLOWED} times {since}. "
            f"The last lines of {self.program.log}:\n{lines}"
        )


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
