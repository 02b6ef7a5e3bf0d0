"""A plan of faults drawn from a seed, and its execution against a running stack."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

import nats
import nats.errors
import psutil
from nats.js import JetStreamContext

from riskpool.layout import Layout
from riskpool.stack import Stack
from shared.messaging.bus import servers_in
from shared.messaging.nkeys import signing_in
from tests.faults.links import Link

# Every kind comes at least once; further ones are drawn so.
WEIGHTS = {"kill": 10, "pause": 5, "hang": 3, "cut": 3, "full bus": 1, "full disk": 1, "forget": 1}
OF_SEVERAL = {"kill node": 4, "kill replica": 6, "forget node": 2}
LONGEST_SECONDS = {"pause": 2.0, "hang": 2.0, "cut": 0.8, "full bus": 1.5, "full disk": 1.5}
# The supervisor gives up at five deaths within thirty seconds: some of them are a program's own answer to a fault.
KILLS_WITHIN = (2, 30.0)
WAIT_SECONDS = 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """Before the ``at``-th action of the year, ``kind`` befalls ``target`` for some seconds."""

    at: int
    kind: str
    target: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.at}: {self.kind} {self.target} {self.seconds:.2f} s"


def plan(
    seed: int, count: int, actions: int, kinds: Sequence[str], layout: Layout, links: Iterable[str]
) -> list[Fault]:
    """So many faults spread over a year of so many actions; the same for the same arguments."""
    draw, weights = Random(f"{seed}:faults"), WEIGHTS | OF_SEVERAL
    drawn = [*kinds, *draw.choices(kinds, [weights[kind] for kind in kinds], k=max(0, count - len(kinds)))][:count]
    draw.shuffle(drawn)
    programs = (*layout.services, *layout.bus, "postgres")
    victims = [victim for _ in range(count) for victim in draw.sample(programs, len(programs))]
    others = {"hang": sorted(links), "cut": sorted(links), "kill node": layout.bus, "forget node": layout.bus}
    others["kill replica"] = layout.services
    faults = []
    for at, kind in zip(sorted(draw.randrange(8, actions) for _ in drawn), drawn, strict=True):
        target = victims.pop() if kind in ("kill", "pause") else draw.choice(others[kind]) if kind in others else ""
        faults.append(Fault(at, kind, target, draw.uniform(0.2, LONGEST_SECONDS.get(kind, 0.2))))
    return faults


class Storm:
    """Does a plan's faults one after another, each begun when the year reaches its action."""

    def __init__(self, stack: Stack, links: dict[str, Link], disk: Path | None, faults: Sequence[Fault]) -> None:
        self._stack, self._links, self._disk = stack, links, disk
        self._left = list(faults)
        # Short, so that faults happen while business is done and not after it.
        self._due: asyncio.Queue[Fault | None] = asyncio.Queue(1)
        self._kills: dict[str, list[float]] = defaultdict(list)
        self._doing = asyncio.create_task(self._do())
        self.counts: Counter[str] = Counter()
        self.done: list[str] = []

    async def reached(self, action: int) -> None:
        """The year reaches its nth action: the faults that are due begin."""
        while self._left and self._left[0].at <= action:
            fault = self._left.pop(0)
            await self._put(fault)

    async def over(self) -> None:
        """Wait until every fault is over; raises what a fault raised."""
        await self.reached(1 << 60)
        await self._put(None)
        await self._doing

    async def stop(self) -> None:
        """End at once, in whatever state."""
        self._doing.cancel()
        await asyncio.gather(self._doing, return_exceptions=True)

    async def _put(self, fault: Fault | None) -> None:
        putting = asyncio.create_task(self._due.put(fault))
        await asyncio.wait({putting, self._doing}, return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()
            self._doing.result()

    async def _do(self) -> None:
        while (fault := await self._due.get()) is not None:
            began = time.monotonic()
            await self._one(fault)
            self.counts[fault.kind] += 1
            self.done.append(f"{fault} (over after {time.monotonic() - began:.1f} s)")

    async def _one(self, fault: Fault) -> None:
        match fault.kind:
            case "kill" | "kill node" | "kill replica":
                await self._kill(fault.target)
            case "pause":
                await self._pause(fault.target, fault.seconds)
            case "hang":
                await self._links[fault.target].hang(fault.seconds)
            case "cut":
                await self._links[fault.target].cut(fault.seconds)
            case "full bus":
                await self._fill_bus(fault.seconds)
            case "full disk":
                await self._fill_disk(fault.seconds)
            case "forget node":
                await self._forget(fault.target)
            case "forget":
                await self._forget(*self._stack.layout.bus)
            case other:
                raise AssertionError(other)

    def _pid(self, name: str) -> int:
        entry = self._stack.description()["processes"].get(name)
        return int(entry["pid"]) if entry else 0

    def _may_be_killed(self, name: str) -> bool:
        most, within = KILLS_WITHIN
        return self._pid(name) != 0 and len([t for t in self._kills[name] if time.monotonic() - t < within]) < most

    async def _kill(self, *names: str, before: Callable[[], None] = lambda: None) -> None:
        """kill -9, when the supervisor is sure to start them again; ``before`` is done while they stand still."""
        await until(lambda: all(self._may_be_killed(name) for name in names))
        for name in names:
            self._kills[name].append(time.monotonic())
        pids = {name: self._pid(name) for name in names}
        with contextlib.ExitStack() as all_stopped:
            for pid in pids.values():
                all_stopped.enter_context(stopped(pid))
            before()
            for pid in pids.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await until(lambda: all(self._pid(name) not in (0, pid) for name, pid in pids.items()))

    async def _pause(self, name: str, seconds: float) -> None:
        await until(lambda: self._pid(name) != 0)
        with stopped(self._pid(name)):
            await asyncio.sleep(seconds)

    async def _forget(self, *names: str) -> None:
        """Everything that these nodes of the bus keep is gone, and they start again as new ones."""

        def delete() -> None:
            for node in self._stack.nodes:
                if node.name in names:
                    shutil.rmtree(node.directory)

        await self._kill(*names, before=delete)

    async def _fill_bus(self, seconds: float) -> None:
        """No stream takes another byte for a while."""
        async with on_the_bus(self._stack) as js:
            infos = await told(js.streams_info)
            usual = [info.config.evolve() for info in infos]
            for info in infos:
                full = info.config.evolve(max_bytes=max(1, info.state.bytes))
                await told(partial(js.update_stream, full))
            await asyncio.sleep(seconds)
            for settings in usual:
                await told(partial(js.update_stream, settings))

    async def _fill_disk(self, seconds: float) -> None:
        """No room is left for the database for a while."""
        assert self._disk is not None
        filler = self._disk / "filler"
        try:
            with contextlib.suppress(OSError), filler.open("wb") as file:
                while True:
                    file.write(bytes(1 << 20))
                    file.flush()
            await asyncio.sleep(seconds)
        finally:
            filler.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def on_the_bus(stack: Stack) -> AsyncIterator[JetStreamContext]:
    """The bus as its operator sees it; outlives its restarts."""
    claim, sign = signing_in(lambda: Path(stack.nats_credentials).read_text(encoding="ascii"))
    client = await nats.connect(
        servers_in(stack.nats_url), user_jwt_cb=claim, signature_cb=sign, max_reconnect_attempts=-1, error_cb=_ignored
    )
    try:
        yield client.jetstream(timeout=10)
    finally:
        await client.close()


async def told(ask: Callable[[], Awaitable[T]]) -> T:
    """What a bus answers, asked until it does: a cluster that lost its leader does not for a while."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return await ask()
        except (nats.errors.Error, TimeoutError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def _ignored(_error: Exception) -> None:
    """A lost connection is what this is for."""


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP of a process and all that it started, SIGCONT in the end."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        family = [first, *first.children(recursive=True)]
    try:
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()
        yield
    finally:
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{holds} did not hold within {WAIT_SECONDS:.0f} s"
        await asyncio.sleep(0.02)
