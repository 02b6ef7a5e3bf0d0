"""`riskpool bench`: first figures of a stack of its own, each beside a limit or peer measured in the same run."""

import asyncio
import contextlib
import json
import os
import platform
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import nats
import psutil
import typer
from rich.console import Console
from rich.table import Table

from riskpool.bench.decisions import decisions_per_second
from riskpool.bench.peers import BareBus, HotRow, bare_bus, hot_row, imports
from riskpool.bench.workload import CLIENTS, CUSTODIAN, FINANCE, SCHEME, Workload
from riskpool.scenario.doors import HttpDoor
from riskpool.scenario.embedded import make_tokens, temporary_stack
from riskpool.scenario.runner import READER
from riskpool.stack import Stack
from riskpool.supervisor import StackError

Figures = dict[str, float]
Work = Callable[[], Awaitable[Figures]]


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, seconds of each rate, events of a burst, events one at a time."""

    rounds: int
    seconds: int
    burst: int
    singles: int


FULL, QUICK = Size(3, 5, 2000, 200), Size(1, 1, 200, 30)


@dataclass(frozen=True)
class Row:
    """One figure and what it is held against; ``figure`` and ``peer`` name them in the rounds."""

    what: str
    figure: str
    beside: str
    peer: str
    unit: str


HOT_ROW = f"pgbench, one hot row, {CLIENTS} clients"
ROWS = (
    Row(f"commands over HTTP, {CLIENTS} clients", "commands", HOT_ROW, "hot_row", "/s"),
    Row("the same", "commands", "GET /healthz with the same client", "requests", "/s"),
    Row("partner events, until the last receipt", "drained", "bare NATS: publish, fetch, ack", "bare_events", "/s"),
    Row("partner event to its receipt, idle, p50", "receipt_p50", "bare NATS publish to its ack, p50", "ack_p50", "ms"),
    Row("partner event to its receipt, idle, p99", "receipt_p99", "bare NATS publish to its ack, p99", "ack_p99", "ms"),
    Row("pool decisions in memory", "decisions", HOT_ROW, "hot_row", "/s"),
    Row("stack started until ready, data there", "start", "five interpreters import the five apps", "imports", "s"),
)


@dataclass
class Result:
    """Every figure of every round, and what of the books did not agree with what was sent."""

    rounds: dict[str, list[float]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    load_before: float = 0.0

    def add(self, figures: Figures) -> None:
        """One round's figures."""
        for name, value in figures.items():
            self.rounds.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """The middle round's figure."""
        return statistics.median(self.rounds[name])

    def ratios(self, row: Row) -> list[float]:
        """The figure divided by what stands beside it, round by round."""
        return [one / peer for one, peer in zip(self.rounds[row.figure], self.rounds[row.peer], strict=True)]


async def measure(size: Size, say: Callable[[str], None]) -> Result:
    """Start a stack, measure everything in rounds of random order, and prove the books at the end."""
    result = Result(load_before=psutil.getloadavg()[0])
    say("starting a stack")
    begun = time.perf_counter()
    async with temporary_stack() as stack:
        result.add({"first_start": time.perf_counter() - begun})
        for number in range(size.rounds):
            say(f"start-up, round {number + 1} of {size.rounds}")
            result.add(await _start_up(stack))
        async with _ready(stack) as (workload, database, bus):
            works = _works(size, workload, database, bus)
            for number in range(size.rounds):
                for work in random.sample(works, len(works)):
                    say(f"{work.__name__.strip('_')}, round {number + 1} of {size.rounds}")
                    result.add(await work())
                    await workload.settle()
            say("proving the books")
            result.sent = {"capital_fen": workload.capital_fen, "events": len(workload.event_ids)}
            result.faults = await workload.faults()
    return result


async def _start_up(stack: Stack) -> Figures:
    await stack.stop()
    environment = {**os.environ, "RISKPOOL_DATABASE_URL": stack.database_url("pool"), "RISKPOOL_CLOCK": stack.clock}
    imported = await imports(environment)
    begun = time.perf_counter()
    await stack.start()
    return {"imports": imported, "start": time.perf_counter() - begun}


@contextlib.asynccontextmanager
async def _ready(stack: Stack) -> AsyncIterator[tuple[Workload, HotRow, BareBus]]:
    tokens = await make_tokens(stack.database_url("gateway"), SCHEME, {READER, FINANCE, CUSTODIAN})
    async with contextlib.AsyncExitStack() as resources:
        http = HttpDoor(stack.api_url, SCHEME, tokens)
        resources.push_async_callback(http.close)
        client = await nats.connect(stack.nats_url)
        resources.push_async_callback(client.close)
        workload = Workload(stack, http, client)
        await workload.prepare()
        database = await resources.enter_async_context(hot_row(stack.postgres.url("postgres")))
        bus = await resources.enter_async_context(bare_bus(client.jetstream()))
        yield workload, database, bus


def _works(size: Size, workload: Workload, database: HotRow, bus: BareBus) -> list[Work]:
    async def commands() -> Figures:
        return {"commands": await workload.commands(size.seconds)}

    async def requests() -> Figures:
        return {"requests": await workload.requests(size.seconds)}

    async def pgbench() -> Figures:
        return {"hot_row": await database.transactions(size.seconds, CLIENTS)}

    async def partner_events() -> Figures:
        return {"drained": await workload.drained(size.burst)}

    async def bare_events() -> Figures:
        return {"bare_events": await bus.events(workload.like(size.burst))}

    async def receipts() -> Figures:
        return _percentiles("receipt", await workload.receipts(size.singles))

    async def bare_acks() -> Figures:
        return _percentiles("ack", await bus.acks(workload.like(size.singles)))

    async def decisions() -> Figures:
        return {"decisions": await asyncio.to_thread(decisions_per_second, size.seconds / 2)}

    return [commands, requests, pgbench, partner_events, bare_events, receipts, bare_acks, decisions]


def _percentiles(name: str, values: list[float]) -> Figures:
    return {f"{name}_p50": statistics.median(values), f"{name}_p99": statistics.quantiles(values, n=100)[98]}


def command(
    quick: Annotated[bool, typer.Option("--quick", help="One short round, to see that it works.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, with every round.")] = False,
) -> None:
    """Measure a stack of its own beside bare PostgreSQL, NATS and Python in the same run (docs/performance.md)."""
    size = QUICK if quick else FULL
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    begun = time.perf_counter()
    try:
        with errors.status("starting") as status:
            result = asyncio.run(measure(size, status.update))
    except StackError as error:
        errors.print(f"riskpool: {error}", markup=False)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(document(result, size, time.perf_counter() - begun), indent=1))
    else:
        _show(Console(highlight=False), result, size)
    if result.faults:
        raise typer.Exit(1)


def document(result: Result, size: Size, seconds: float) -> dict[str, Any]:
    """The ``--json`` form."""
    rows = [
        {**asdict(row), "value": result.median(row.figure), "peer_value": result.median(row.peer),
         "ratio": statistics.median(result.ratios(row)), "ratios": result.ratios(row)}
        for row in ROWS
    ]  # fmt: skip
    return {
        "machine": machine(result), "size": asdict(size), "rows": rows, "rounds": result.rounds, "sent": result.sent,
        "faults": result.faults, "seconds": round(seconds, 1),
    }  # fmt: skip


def machine(result: Result) -> dict[str, Any]:
    """Where it was measured."""
    return {
        "cores": os.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30), "system": platform.system(),
        "architecture": platform.machine(), "python": platform.python_version(), "load_before": result.load_before,
    }  # fmt: skip


def _show(console: Console, result: Result, size: Size) -> None:
    rounds = f"median of {size.rounds} rounds" if size.rounds > 1 else "one short round, not to be quoted"
    table = Table(title=f"riskpool bench: {rounds}", title_justify="left")
    for heading in ("measured", "beside it", "ratio"):
        table.add_column(heading)
    for heading in ("riskpool", "the other", "lowest - highest"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in ROWS:
        ratios = result.ratios(row)
        figures = (_number(result.median(name)) + f" {row.unit}" for name in (row.figure, row.peer))
        spread = f"{_number(min(ratios))} - {_number(max(ratios))}"
        table.add_row(row.what, row.beside, _number(statistics.median(ratios)), *figures, spread)
    console.print(table)
    where = machine(result)
    console.print(
        f"{where['cores']} cores, {where['memory_gb']} GB, {where['system']} {where['architecture']}, "
        f"Python {where['python']}, load before {where['load_before']:.1f}; first start with empty data "
        f"{result.median('first_start'):.1f} s"
    )
    proved = f"{result.sent['events']} events, {result.sent['capital_fen']} fen of capital"
    console.print("\n".join(result.faults) or f"books proved: {proved}, one receipt an event, audit finds nothing")


def _number(value: float) -> str:
    """Three figures that count."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
