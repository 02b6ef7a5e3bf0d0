"""`riskpool audit`: prove the books from their events, export what an outsider needs for that, verify such a bundle."""

import asyncio
import importlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from riskpool.place import read_description
from riskpool.proof.bundle import NoBundle, NotWritable
from riskpool.proof.findings import Findings
from riskpool.services import OWNER_URL, SERVICES

if TYPE_CHECKING:
    from shared.aggregates import Aggregate

MOST_SHOWN = 20
Data = Annotated[Path, typer.Option(help=f"the stack's data directory, unless {OWNER_URL} is set")]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="the public key that closes must be signed with; again for each later one"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print findings as JSON")]
app = typer.Typer(add_completion=False, help="Prove the books from their events; hand a proof to somebody else.")


async def audit(urls: dict[str, str], keys: Sequence[str] = ()) -> list[Findings]:
    """Audit every service whose database is given, and what they have taken of each other: name -> URL.

    ``keys`` are the public keys, in hexadecimal, that closes may be signed with.
    """
    from riskpool.proof.causes import compare_causes  # verify needs no database, nor what speaks to one
    from riskpool.proof.databases import audit_database

    findings = [
        await audit_database(name, aggregates_of(name), urls[name], keys) for name in SERVICES if name in urls
    ]
    await compare_causes(findings, urls)
    return findings


def aggregates_of(name: str) -> "tuple[Aggregate[Any], ...]":
    """What a service keeps as the fold of its events; the gateway keeps nothing so."""
    if name == "gateway":
        return ()
    aggregates: tuple[Aggregate[Any], ...] = importlib.import_module(f"services.{name}.app").SERVICE.aggregates
    return aggregates


@app.callback(invoke_without_command=True)
def command(
    context: typer.Context, data: Data = Path(".riskpool"), key: Keys = None, as_json: AsJson = False
) -> None:
    """Decide every event again from the first and compare all that the databases hold. Exit 1 on a difference."""
    if context.invoked_subcommand is None:
        from riskpool.upkeep import note

        with Progress(console=Console(stderr=True), transient=True) as progress:
            progress.add_task("reading events", total=None)
            urls = _databases(data)
            findings = asyncio.run(audit(urls, key or ()))
        events, differences = sum(f.events for f in findings), sum(f.count for f in findings)
        note(urls["gateway"], "audit", differences == 0, f"{events} events, {differences} differences")
        tell(findings, as_json)


@app.command("export")
def export_command(
    bundle: Annotated[Path, typer.Argument(help="the file to write")], data: Data = Path(".riskpool")
) -> None:
    """Write events, journal, scheme versions, heads and closes into one file for an outsider."""
    from riskpool.proof.export import export

    urls = _databases(data)
    try:
        manifest, key = asyncio.run(export(bundle, {name: urls[name] for name in SERVICES if name in urls}))
    except NotWritable as error:
        typer.echo(f"A row cannot be exported as it stands; `riskpool audit` says more: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{bundle}: {bundle.stat().st_size} bytes\nSHA-256 of its manifest: {manifest}")
    typer.echo(f"public key of its closes: {key or 'none, no close is signed'}")


@app.command("verify")
def verify_command(
    bundle: Annotated[Path, typer.Argument(help="a file that `riskpool audit export` wrote")],
    key: Keys = None,
    close: Annotated[
        list[str] | None, typer.Option(help="the digest of a close that was handed out; again for each other one")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle with no database. Exit 1 on a difference, 2 when the file is no bundle."""
    from riskpool.proof.verify import verify

    try:
        findings = verify(bundle, key or (), close or ())
    except NoBundle as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    if not as_json:
        own = "that the bundle itself names; --key pins the one that you were given"
        typer.echo(f"closes checked with the public key {' or '.join(key or [own])}")
    tell(findings, as_json)


def _databases(data: Path) -> dict[str, str]:
    if OWNER_URL in os.environ:
        from shared.database import address_in

        return {name: address_in(OWNER_URL, name) for name in SERVICES}
    description = read_description(data)
    if description is None:
        typer.echo(
            f"No stack has run in {data}. Start one with `riskpool up`, or name its directory with --data.", err=True
        )
        raise typer.Exit(1)
    return dict(description["databases"])


def tell(findings: Sequence[Findings], as_json: bool) -> None:
    """Print what was found; exit 1 when anything differs."""
    if as_json:
        typer.echo(json.dumps([f.__dict__ for f in findings], ensure_ascii=False, indent=1))
    else:
        _show(findings)
    if any(f.count for f in findings):
        raise typer.Exit(1)


def _show(findings: Sequence[Findings]) -> None:
    table = Table("service", "events", "decided again", "states", "ledger entries", "closes", "differ")
    for f in findings:
        columns: tuple[Any, ...] = (f.service, f.events, f.decided, f.things, f.entries, f.closes, f.count)
        table.add_row(*map(str, columns))
    console = Console()
    console.print(table)
    events = sum(f.events for f in findings)
    for what, words in (("chains", "chains"), ("events", "columns, versions, rules")):
        if seconds := sum(f.seconds.get(what, 0.0) for f in findings):
            console.print(f"{words}: {events} events in {seconds:.3f} s of one core, {events / seconds:,.0f} a second")
    if unsigned := sum(f.unsigned for f in findings):
        console.print(f"{unsigned} closes are not signed: the pool was given no key")
    told = [(f.service, words) for f in findings for words in f.differences]
    if told:
        console.print("the first row that differs:", style="red")
    for service, words in told[:MOST_SHOWN]:
        console.print(f"{service} {words}", highlight=False, markup=False, soft_wrap=True)
    if left := sum(f.count for f in findings) - len(told[:MOST_SHOWN]):
        console.print(f"and {left} more")
