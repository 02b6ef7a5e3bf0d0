"""`riskpool gateway rebuild`: the gateway's projections made again from the events it keeps, or compared with them."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from riskpool.supervisor import StackError
from riskpool.token import DEFAULT_DATA, Data, database_url

if TYPE_CHECKING:
    from services.gateway.projections.rebuild import Rebuilt

app = typer.Typer(help="The gateway's own data.", no_args_is_help=True)


@app.callback()
def _gateway() -> None:
    """The gateway's own data."""


@app.command()
def rebuild(
    check: Annotated[bool, typer.Option("--check", help="Only compare, change nothing; exit 1 if it differs.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Make the gateway's projections again from its events; the running gateway goes on meanwhile."""
    try:
        found = asyncio.run(_run(data, check))
    except (StackError, SQLAlchemyError, OSError) as error:
        typer.echo(f"riskpool: {error}", err=True)
        raise typer.Exit(1) from None
    _show(found, check)
    if check and found.differences:
        raise typer.Exit(1)


async def _run(data: Path, only_check: bool) -> "Rebuilt":
    from services.gateway.projections import rebuild as projections

    engine = create_async_engine(database_url(data))
    columns = (TextColumn("folding events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=None)

            def told(done: int, newest: int) -> None:
                progress.update(task, completed=done, total=newest)

            work = projections.check if only_check else projections.rebuild
            return await work(engine, told)
    finally:
        await engine.dispose()


def _show(found: "Rebuilt", check: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for difference in found.differences:
        console.print(str(difference), markup=False)
    rows = sum(one.rows for one in found.differences)
    end = "as the events say" if not rows else f"{rows} differ" if check else f"{rows} put right"
    console.print(f"{found.events} events, {found.rows} rows of projections: {end}")
