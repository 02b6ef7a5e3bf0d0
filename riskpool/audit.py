"""`riskpool audit`: fold every service's events again, from the first, and compare with what the databases hold."""

import asyncio
import importlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from riskpool.place import read_description
from shared.contracts.base import Event
from shared.contracts.pool import PoolEvent
from shared.contracts.registry import EVENTS, SERVICES
from shared.messaging.service import Service
from shared.messaging.tables import outbox

MOST_SHOWN = 20


@dataclass
class Findings:
    """What the audit of one service found: how much it read, and every difference in words."""

    service: str
    events: int = 0
    things: int = 0
    entries: int = 0
    differences: list[str] = field(default_factory=list)


async def read_events(connection: AsyncConnection, name: str) -> list[tuple[str, str, Event]]:
    """Every event that a service announced, in order: (scheme, event id, event)."""
    query = select(outbox.c.scheme, outbox.c.event_id, outbox.c.name, outbox.c.payload)
    rows = await connection.execute(query.where(outbox.c.stream == "EVENTS").order_by(outbox.c.id))
    read = []
    for row in rows:
        data = json.dumps(json.loads(row.payload)["data"])
        read.append((row.scheme, row.event_id, EVENTS[name, row.name].model_validate_json(data)))
    return read


async def audit_service(service: Service, url: str) -> Findings:
    """Compare one service's stored state with the fold of its events; the pool's ledger too."""
    findings = Findings(service.name)
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            events = await read_events(connection, service.name)
            findings.events = len(events)
            await _compare_states(connection, service, events, findings)
            if service.name == "pool":
                await _compare_ledger(connection, events, findings)
    finally:
        await engine.dispose()
    return findings


async def _compare_states(
    connection: AsyncConnection, service: Service, events: list[tuple[str, str, Event]], findings: Findings
) -> None:
    folded: dict[tuple[str, str, str], Any] = {}
    for scheme, _, event in events:
        for aggregate in service.aggregates:
            for key in aggregate.keys(event):
                place = (aggregate.name, scheme, key)
                folded[place] = aggregate.evolve(folded.get(place), event)
    for aggregate in service.aggregates:
        table = aggregate.table
        rows = await connection.execute(select(table.c.scheme, table.c.key, table.c.doc))
        stored: dict[tuple[str, str], dict[str, Any]] = {(r.scheme, r.key): r.doc for r in rows}
        again = {
            (scheme, key): state.model_dump(mode="json")
            for (name, scheme, key), state in folded.items()
            if name == aggregate.name and state is not None
        }
        findings.things += len(again)
        for thing in sorted(stored.keys() | again.keys()):
            if stored.get(thing) != again.get(thing):
                difference = _difference(stored.get(thing), again.get(thing))
                findings.differences.append(f"{aggregate.name} {'/'.join(thing)}: {difference}")


def _difference(stored: dict[str, Any] | None, again: dict[str, Any] | None) -> str:
    if stored is None or again is None:
        return "not stored" if stored is None else "no event made it"
    fields = [f for f in sorted(stored.keys() | again.keys()) if stored.get(f) != again.get(f)]
    return "; ".join(f"{f} is stored as {stored.get(f)!r}, the events say {again.get(f)!r}" for f in fields)


async def _compare_ledger(
    connection: AsyncConnection, events: list[tuple[str, str, Event]], findings: Findings
) -> None:
    from services.pool.tables import entries

    wanted = Counter(
        (scheme, event_id, entry.account, entry.amount)
        for scheme, event_id, event in events
        if isinstance(event, PoolEvent)
        for entry in event.entries
    )
    columns = (entries.c.scheme, entries.c.event_id, entries.c.account, entries.c.amount_fen)
    rows = await connection.execute(select(*columns))
    stored = Counter((r.scheme, r.event_id, r.account, r.amount_fen) for r in rows)
    findings.entries = sum(stored.values())
    for place in sorted((wanted - stored) + (stored - wanted)):
        findings.differences.append(f"ledger entry {place}: {stored[place]} in the ledger, {wanted[place]} in events")
    await _compare_balances(connection, events, findings)


async def _compare_balances(
    connection: AsyncConnection, events: list[tuple[str, str, Event]], findings: Findings
) -> None:
    """Each fund's figures, event by event, and its ledger's accounts."""
    from services.pool.audit import audit as audit_fund
    from services.pool.queries import account_balances
    from services.pool.store import FUND

    pool_events: dict[str, list[PoolEvent]] = {}
    for scheme, _, event in events:
        if isinstance(event, PoolEvent):
            pool_events.setdefault(scheme, []).append(event)
    for scheme, those in pool_events.items():
        row = (await connection.execute(select(FUND.table.c.doc).where(FUND.table.c.scheme == scheme))).one_or_none()
        stored = FUND.model.model_validate_json(json.dumps(row.doc)) if row else None
        for line in audit_fund(those, stored, await account_balances(connection, scheme)):
            findings.differences.append(f"{scheme}: {line}")


def service_called(name: str) -> Service:
    """A service of the product by its name."""
    service: Service = importlib.import_module(f"services.{name}.app").SERVICE
    return service


async def audit(urls: dict[str, str]) -> list[Findings]:
    """Audit every service whose database is given: name -> URL."""
    return [await audit_service(service_called(name), urls[name]) for name in SERVICES if name in urls]


def command(
    data: Annotated[Path, typer.Option(help="the stack's data directory")] = Path(".riskpool"),
    as_json: Annotated[bool, typer.Option("--json", help="print findings as JSON")] = False,
) -> None:
    """Re-derive every balance, counter and state from entries and events alone, and compare. Exit 1 on a difference."""
    description = read_description(data)
    if description is None:
        typer.echo(
            f"No stack has run in {data}. Start one with `riskpool up`, or name its directory with --data.", err=True
        )
        raise typer.Exit(1)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        progress.add_task("reading events", total=None)
        findings = asyncio.run(audit(description["databases"]))
    if as_json:
        typer.echo(json.dumps([f.__dict__ for f in findings], ensure_ascii=False, indent=1))
    else:
        _show(findings)
    if any(f.differences for f in findings):
        raise typer.Exit(1)


def _show(findings: list[Findings]) -> None:
    table = Table("service", "events", "states", "ledger entries", "differences")
    for f in findings:
        table.add_row(f.service, str(f.events), str(f.things), str(f.entries), str(len(f.differences)))
    console = Console()
    console.print(table)
    for f in findings:
        for difference in f.differences[:MOST_SHOWN]:
            console.print(f"[red]{f.service}[/red] {difference}", highlight=False)
