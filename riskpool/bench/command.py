"""`riskpool bench`: first figures of a stack of its own, each beside a limit or peer measured in the same run."""

import asyncio
import json
import os
import platform
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import typer
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from riskpool.supervisor import StackError

if TYPE_CHECKING:
    from riskpool.bench.rounds import Result, Size

PROCESSES = ("gateway", "pool", "postgres", "nats")


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="One short round, to see that it works.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, with every round.")] = False,
    save: Annotated[Path | None, typer.Option(help="Write the JSON to this file, beside the table.")] = None,
) -> None:
    """Measure a stack of its own beside bare PostgreSQL, NATS and Python in the same run (docs/performance.md)."""
    from riskpool.bench.rounds import FULL, QUICK, measure

    size = QUICK if quick else FULL
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    begun = time.perf_counter()
    try:
        with errors.status("starting") as status:
            result = asyncio.run(measure(size, status.update))
    except StackError as error:
        errors.print(f"riskpool: {error}", markup=False)
        raise typer.Exit(1) from None
    told = json.dumps(document(result, size, time.perf_counter() - begun), indent=1)
    if save:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(told)
    if as_json:
        typer.echo(told)
    else:
        _show(result, size)
    if result.faults:
        raise typer.Exit(1)


def document(result: "Result", size: "Size", seconds: float) -> dict[str, Any]:
    """The ``--json`` form."""
    from riskpool.bench.rounds import ROWS

    rows = [
        {**asdict(row), "value": result.median(row.figure), "peer_value": result.median(row.peer),
         "ratio": statistics.median(result.ratios(row)), "ratios": result.ratios(row)}
        for row in ROWS
        if result.ratios(row)
    ]  # fmt: skip
    return {
        "machine": machine(result), "size": asdict(size), "rows": rows, "rounds": result.rounds, "sent": result.sent,
        "by_page_p95": result.by_page, "processor_ms": result.processor_ms, "faults": result.faults,
        "seconds": round(seconds, 1),
    }  # fmt: skip


def machine(result: "Result") -> dict[str, Any]:
    """Where it was measured."""
    return {
        "cores": os.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30), "system": platform.system(),
        "architecture": platform.machine(), "python": platform.python_version(),
        "load_before": round(result.load_before, 2), "sync_ms": round(result.sync_ms, 3),
    }  # fmt: skip


def _show(result: "Result", size: "Size") -> None:
    from riskpool.bench.rounds import ROWS

    console = Console(highlight=False, soft_wrap=True, width=200)  # whole, also where it is kept in a file
    rounds = f"median of {size.rounds} rounds (lowest - highest)" if size.rounds > 1 else "one short round"
    table = Table(title=f"riskpool bench: {rounds}", title_justify="left", box=MARKDOWN)
    for heading in ("measured", "", "beside it", "", "ratio", "goal"):
        table.add_column(heading, justify="left" if heading else "right", no_wrap=True)
    for row in ROWS:
        if not (ratios := result.ratios(row)):
            continue  # a peer that cannot run here
        value, peer = (f"{_number(result.median(name))} {row.unit}" for name in (row.figure, row.peer))
        spread = f" ({_number(min(ratios))} - {_number(max(ratios))})" if size.rounds > 1 else ""
        table.add_row(row.what, value, row.beside, peer, _number(statistics.median(ratios)) + spread, row.goal)
    console.print(table, _processor_table(result))
    pages = ", ".join(f"{page} {_number(ms)}" for page, ms in result.by_page.items())
    console.print(f"{size.cases:,} cases, 50 people, p95 of each page in ms: {pages}", markup=False)
    where = machine(result)
    console.print(
        f"{where['cores']} cores, {where['memory_gb']} GB, {where['system']} {where['architecture']}, Python "
        f"{where['python']}, {where['sync_ms']} ms a disk sync, load before {where['load_before']}\n"
        f"first start, with the databases to be made: {_number(result.median('first_start'))} s"
    )
    sent = f"{result.sent['commands']} commands and {result.sent['events']} events"
    console.print("\n".join(result.faults) or f"{sent}: every total exact, one receipt an event, audit finds nothing")


def _processor_table(result: "Result") -> Table:
    table = Table(box=MARKDOWN)
    table.add_column("processor time, ms", no_wrap=True)
    for heading in ("all", *PROCESSES, "the rest"):
        table.add_column(heading, justify="right", no_wrap=True)
    for work, label in (("commands", "a command over HTTP"), ("partner_events", "a partner event")):
        spent = {name: statistics.median(ms) for name, ms in result.processor_ms[work].items()}
        whole = sum(spent.values())
        known = [spent[name] for name in PROCESSES]
        table.add_row(label, *(f"{ms:.1f}" for ms in (whole, *known, whole - sum(known))))
    return table


def _number(value: float) -> str:
    """Three figures that count."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
