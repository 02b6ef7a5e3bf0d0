"""`riskpool load`: a rate of partner events held for minutes; whether receipts, memory and books keep up with it."""

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console

from riskpool.bench.workload import SETTLE_WAIT_S, at_work
from riskpool.layout import Layout
from riskpool.stack import Stack
from riskpool.supervisor import StackError

WARM_SECONDS = 10.0


@dataclass(frozen=True)
class Load:
    """What was held: events a second, milliseconds from an event's due time to its receipt, megabytes by process.

    ``behind_s`` is how long the gateway's pages took to catch up after the last receipt.
    """

    events: int
    rate: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    behind_s: float
    memory_mb: dict[str, tuple[float, float]]
    faults: list[str]


def load(
    rate: Annotated[float, typer.Option(help="Partner events a second.")] = 550,
    seconds: Annotated[float, typer.Option(help="How long the rate is held.")] = 600,
    replicas: Annotated[int, typer.Option(help="Processes of every service.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Hold a rate of partner events on a stack of its own, and prove the books afterwards (docs/performance.md)."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        with Console(stderr=True).status("starting") as status:
            held = asyncio.run(hold(rate, seconds, replicas, status.update))
    except StackError as error:
        typer.echo(f"riskpool: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(asdict(held), indent=1))
    else:
        console.print(f"{held.events:,} events at {held.rate:,.0f} a second, {replicas} replicas of every service")
        console.print(f"to the receipt: p50 {held.p50_ms:.0f}, p99 {held.p99_ms:.0f}, worst {held.worst_ms:.0f} ms")
        console.print(f"pages and projections at rest {held.behind_s:.0f} s after the last receipt")
        grown = ", ".join(f"{name} {first:.0f} to {last:.0f}" for name, (first, last) in held.memory_mb.items())
        console.print(f"memory in MB, after a sixth of the time and at its end: {grown}")
        console.print("\n".join(held.faults) or "every total exact, one receipt an event, audit finds nothing")
    if held.faults:
        raise typer.Exit(1)


async def hold(rate: float, seconds: float, replicas: int, say: Callable[[str], None] = lambda step: None) -> Load:
    """Start a stack, hold the rate, and prove the books."""
    directory = Path(tempfile.mkdtemp(prefix="riskpool-load-"))
    directory.chmod(0o711)
    stack = Stack(directory / "data", clock="message", layout=Layout(replicas=replicas))
    try:
        await stack.start()
        async with at_work(stack) as workload:
            say("warming up")
            await workload.paced(rate, min(WARM_SECONDS, seconds))
            say(f"{rate:,.0f} events a second for {seconds:,.0f} s")
            first = await workload.paced(rate, seconds / 6)
            before = _memory(stack)
            taken = await workload.paced(rate, seconds * 5 / 6)
            after, ended = _memory(stack), time.perf_counter()
            say("waiting for the pages to catch up")
            await workload.settle(seconds + SETTLE_WAIT_S)
            behind = time.perf_counter() - ended
            say("proving the books")
            faults = await workload.faults()
    finally:
        await stack.stop()
        shutil.rmtree(directory, ignore_errors=True)
    milliseconds = sorted(first + taken)
    return Load(
        events=len(milliseconds),
        rate=rate,
        p50_ms=statistics.median(milliseconds),
        p99_ms=milliseconds[len(milliseconds) * 99 // 100],
        worst_ms=milliseconds[-1],
        behind_s=behind,
        memory_mb={name: (mb, after[name]) for name, mb in before.items()},
        faults=faults,
    )


def _memory(stack: Stack) -> dict[str, float]:
    """Megabytes that each process holds for itself, by name; PostgreSQL with its connections' processes."""
    held = {}
    for name, entry in stack.description()["processes"].items():
        process = psutil.Process(int(entry["pid"]))
        family = (process, *process.children(recursive=True))
        held[name] = sum(one.memory_full_info().uss for one in family if one.is_running()) / 1e6
    return held
