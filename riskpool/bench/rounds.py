"""Measuring a stack of its own and, in the same rounds, what its figures are held against."""

import asyncio
import contextlib
import logging
import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import psutil

from riskpool.bench.console import open_console
from riskpool.bench.decisions import decisions_per_second
from riskpool.bench.ledgers import measure_writer
from riskpool.bench.peers import BareBus, HotRow, bare_bus, hot_row, imports, sync_milliseconds
from riskpool.bench.workload import CLIENTS, Workload, at_work
from riskpool.scenario.doors import HttpDoor
from riskpool.scenario.embedded import temporary_stack
from riskpool.stack import Stack

Figures = dict[str, float]
Work = Callable[[], Awaitable[Figures]]


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, seconds of each rate, events of a burst, events one at a time.

    Of the console: cases, seconds of clicking, events that an open page hears of. Of the pool's writer: events of a
    round, funds, seconds of each batch size of a peer, events of a long run, and rows of the journal that a half-year
    is reported over.
    """

    rounds: int
    seconds: int
    burst: int
    singles: int
    cases: int
    clicking: int
    news: int
    hot: int
    funds: int
    peer_seconds: float
    soak: int
    journal: int


FULL = Size(3, 5, 2000, 200, 10_000, 20, 50, 20_000, 1000, 2.0, 1_000_000, 1_000_000)
QUICK = Size(1, 1, 200, 30, 1000, 5, 10, 2000, 50, 0.5, 10_000, 50_000)


@dataclass(frozen=True)
class Row:
    """One figure and what it is held against, which `figure` and `peer` name in the rounds; `goal` is the ratio's."""

    what: str
    figure: str
    beside: str
    peer: str
    unit: str
    goal: str = ""


ROWS = (
    Row("commands over HTTP", "commands", "pgbench, one hot row", "hot_row", "/s"),
    Row("commands over HTTP", "commands", "GET /healthz", "requests", "/s"),
    Row("partner events drained", "drained", "NATS publish and fetch", "bare_events", "/s"),
    Row("event to receipt, p50", "receipt_p50", "NATS publish to ack", "ack_p50", "ms"),
    Row("event to receipt, p99", "receipt_p99", "NATS publish to ack", "ack_p99", "ms"),
    Row("pool decisions", "decisions", "pgbench, one hot row", "hot_row", "/s"),
    Row("start until ready", "start", "five imports", "imports", "s", "<= 0.5"),
    Row("page of the console, p50", "page_p50", "plain FastAPI + Jinja", "plain_p50", "ms"),
    Row("page of the console, p95", "page_p95", "plain FastAPI + Jinja", "plain_p95", "ms"),
    Row("event to open page, p50", "news_p50", "plain FastAPI stream", "plain_news_p50", "ms"),
    Row("event to open page, p95", "news_p95", "plain FastAPI stream", "plain_news_p95", "ms"),
    Row("hot fund, batches <= 1000", "hot_fund", "pgbench, one hot row", "pg_hot", "/s", ">= 18"),
    Row("hot fund, batches <= 1000", "hot_fund", "the rows, no decisions", "bare_rows", "/s", ">= 0.70"),
    Row("hot fund, batches <= 1000", "hot_fund", "a transaction an event", "by_transactions", "/s", ">= 40"),
    Row("hot fund, batches <= 1000", "hot_fund", "eventsourcing", "eventsourcing", "/s", ">= 3.3"),
    Row("hot fund, batches <= 1000", "hot_fund", "Emmett", "emmett", "/s", ">= 1.5"),
    Row("hot fund, batches <= 1000", "hot_fund", "django-hordak", "hordak", "/s", ">= 100"),
    Row("hot fund, batches <= 1000", "hot_fund", "django-hordak, in bulk", "hordak_bulk", "/s"),
    Row("hot fund, batches <= 1000", "hot_fund", "DBOS", "dbos", "/s", ">= 400"),
    Row("one event, p50", "one_p50", "pgbench, one UPDATE", "update_p50", "ms", "<= 3"),
    Row("batch of 100, p99", "hundred_p99", "its p50", "hundred_p50", "ms", "<= 3"),
    Row("hot fund, a million events", "soak", "ten thousand events", "short", "/s", ">= 0.70"),
    Row("hot fund of a million", "large", "of ten thousand", "small", "/s", ">= 0.90"),
    Row("memory after a million", "end_mb", "after a fifth of them", "fifth_mb", "MB", "16 MB more"),
    Row("many funds", "many_funds", "pgbench, a million rows", "pg_many", "/s", ">= 4"),
    Row("half-year, from the roll-up", "half_year", "from the journal's rows", "half_year_rows", "ms"),
    Row("audit: chains replayed", "replayed", "SHA-256 of as many bytes", "hashed", "/s"),
)


@dataclass
class Result:
    """Every figure of every round, and what of the books did not agree with what was sent."""

    rounds: dict[str, list[float]] = field(default_factory=dict)
    processor_ms: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    by_page: dict[str, float] = field(default_factory=dict)
    load_before: float = 0.0
    sync_ms: float = 0.0

    def add(self, figures: Figures) -> None:
        """One round's figures."""
        for name, value in figures.items():
            self.rounds.setdefault(name, []).append(value)

    def add_processor(self, work: str, before: Figures, after: Figures, count: int) -> None:
        """One round's processor time of each process for each of ``count`` things that were sent."""
        for name in before:
            spent = self.processor_ms.setdefault(work, {}).setdefault(name, [])
            spent.append((after[name] - before[name]) * 1000 / count)

    def median(self, name: str) -> float:
        """The middle round's figure."""
        return statistics.median(self.rounds[name])

    def ratios(self, row: Row) -> list[float]:
        """The figure divided by what stands beside it, round by round; none for a peer that cannot run here."""
        pairs = zip(self.rounds.get(row.figure, ()), self.rounds.get(row.peer, ()), strict=False)
        return [one / peer for one, peer in pairs]


async def measure(size: Size, say: Callable[[str], None]) -> Result:
    """Start a stack, measure everything in rounds of random order, and prove the books at the end."""
    result = Result(load_before=psutil.getloadavg()[0], sync_ms=sync_milliseconds())
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the audit imports the services, which log every request
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
                    before, sent = processor_seconds(stack), workload.sent
                    result.add(await work())
                    await workload.settle()
                    if work.__name__ in ("commands", "partner_events"):
                        result.add_processor(work.__name__, before, processor_seconds(stack), workload.sent - sent)
            say("proving the books")
            result.sent = {"commands": workload.commanded, "events": len(workload.event_ids)}
            result.faults = await workload.faults()
            await _measure_console(stack, workload.http, size, result, say)
            await measure_writer(stack.postgres.url("postgres"), size, result, say)
    return result


async def _measure_console(
    stack: Stack, door: HttpDoor, size: Size, result: Result, say: Callable[[str], None]
) -> None:
    """Pages and news, in rounds of their own after the books are proved: the cases are put into the gateway alone."""
    async with open_console(stack, door, size.cases, say) as console:

        async def pages() -> Figures:
            return _p95("page", await console.clicked(size.clicking))

        async def plain() -> Figures:
            return _p95("plain", await console.plain(size.clicking))

        async def news() -> Figures:
            return _p95("news", await console.live(size.news))

        async def plain_news() -> Figures:
            return _p95("plain_news", await console.plain_live(size.news))

        await console.clicked(10)  # templates, plans and pools are warm, and the size of the plain page is known
        console.by_page.clear()
        for number in range(size.rounds):
            for work in random.sample((pages, plain, news, plain_news), 4):
                say(f"{work.__name__} of the console, round {number + 1} of {size.rounds}")
                result.add(await work())
        result.by_page = {page: _p95(page, taken)[f"{page}_p95"] for page, taken in sorted(console.by_page.items())}


def processor_seconds(stack: Stack) -> Figures:
    """What each process of the stack, with those it started and ended, has had of the processors so far."""
    spent: Figures = {}
    for name, entry in stack.description()["processes"].items():
        process = psutil.Process(int(entry["pid"]))
        spent[name] = sum(process.cpu_times()[:4])
        for child in process.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                spent[name] += sum(child.cpu_times()[:4])
    return spent


async def _start_up(stack: Stack) -> Figures:
    await stack.stop()
    environment = {**os.environ, "RISKPOOL_DATABASE_URL": stack.database_url("pool"), "RISKPOOL_CLOCK": stack.clock}
    imported = await imports(environment)
    begun = time.perf_counter()
    await stack.start()
    return {"imports": imported, "start": time.perf_counter() - begun}


@contextlib.asynccontextmanager
async def _ready(stack: Stack) -> AsyncIterator[tuple[Workload, HotRow, BareBus]]:
    async with (
        at_work(stack) as workload,
        hot_row(stack.postgres.url("postgres")) as database,
        bare_bus(workload.js) as bus,
    ):
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


def _p95(name: str, values: list[float]) -> Figures:
    return {f"{name}_p50": statistics.median(values), f"{name}_p95": statistics.quantiles(values, n=20)[18]}


def _percentiles(name: str, values: list[float]) -> Figures:
    return {f"{name}_p50": statistics.median(values), f"{name}_p99": statistics.quantiles(values, n=100)[98]}
