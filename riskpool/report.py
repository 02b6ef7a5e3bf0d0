"""`riskpool report`: reports made again from the events, and compared byte for byte with those that were given out."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy.ext.asyncio import AsyncConnection

from riskpool.token import DEFAULT_DATA, Data, SchemeOption, fail, in_database

T = TypeVar("T")
Told = Callable[[int], Awaitable[None]]
app = typer.Typer(help="Reports made from the events.", no_args_is_help=True)


@app.callback()
def _reports() -> None:
    """Reports made from the events."""


@app.command("list")
def list_reports(scheme: SchemeOption = "yanqing", data: Data = DEFAULT_DATA) -> None:
    """List reports: id, state, file name, SHA-256."""
    from sqlalchemy import select

    from services.gateway.tables import report_jobs

    async def found(connection: AsyncConnection) -> list[tuple[str, ...]]:
        query = select(report_jobs).where(report_jobs.c.scheme == scheme).order_by(report_jobs.c.requested_at)
        rows = (await connection.execute(query)).all()
        return [(row.id, row.state, row.name, row.sha256 or "") for row in rows]

    for line in in_database(data, found):
        print("\t".join(line).rstrip())


@app.command()
def again(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Id of a report, as list or its page shows it.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the file; without it nothing is written.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Make a report again and compare it with the one that was given out; exit 1 when a byte differs."""
    from sqlalchemy import select

    from services.gateway.reports.making import Made, make
    from services.gateway.reports.work import asked_of
    from services.gateway.tables import report_jobs
    from shared.scheme.loader import load_schemes

    async def made_again(connection: AsyncConnection, told: Told) -> tuple[Made, str | None]:
        job = (await connection.execute(select(report_jobs).where(report_jobs.c.id == identifier))).one_or_none()
        if job is None:
            raise LookupError(f"there is no report {identifier}")
        asked = await asked_of(load_schemes(), connection, job)
        return await make(connection, asked, job.format, told), job.sha256

    made, known = _with_progress(data, made_again)
    _kept(made.content, out)
    digest = hashlib.sha256(made.content).hexdigest()
    same = "the same" if digest == known else "not made before" if known is None else f"DIFFERS from {known}"
    print(f"{made.name}\t{digest}\t{same}")
    if known is not None and digest != known:
        raise typer.Exit(1)


@app.command("make")
def make_one(
    kind: Annotated[str, typer.Argument(help="Kind, such as custodian_half_year.")],
    period: Annotated[str, typer.Argument(help="Period: 2026, 2026H1 or 2026Q1.")],
    out: Annotated[Path, typer.Argument(help="The file, or a directory for it.")],
    organisation: Annotated[str, typer.Option(help="The recommender or institution that it is about.")] = "",
    language: Annotated[str, typer.Option(help="zh or en.")] = "zh",
    form: Annotated[str, typer.Option("--format", help="pdf, docx or xlsx.")] = "pdf",
    ends_at: Annotated[int | None, typer.Option(help="Position of the last event in it, else the newest.")] = None,
    scheme: SchemeOption = "yanqing",
    data: Data = DEFAULT_DATA,
) -> None:
    """Make a report from the events, up to any position."""
    from services.gateway.reports.asked import Asked
    from services.gateway.reports.history import last_moment
    from services.gateway.reports.kinds import KINDS
    from services.gateway.reports.making import LANGUAGES, MEDIA_TYPES, Made, make
    from services.gateway.reports.period import parse_period
    from shared.scheme.loader import load_schemes

    if kind not in KINDS or language not in LANGUAGES or form not in MEDIA_TYPES:
        fail(f"kinds: {', '.join(KINDS)}; languages: {', '.join(LANGUAGES)}; formats: {', '.join(MEDIA_TYPES)}")
    async def made_now(connection: AsyncConnection, told: Told) -> Made:
        last = await last_moment(connection, scheme)
        if last is None:
            raise LookupError("there are no events yet")
        if parse_period(period).kind not in KINDS[kind].periods:
            raise ValueError(f"{kind} is of a {' or '.join(KINDS[kind].periods)}")
        asked = Asked(
            kind, parse_period(period), organisation if KINDS[kind].about else "", "en" if language == "en" else "zh",
            load_schemes()[scheme], ends_at or last.position,
        )  # fmt: skip
        return await make(connection, asked, form, told)

    made = _with_progress(data, made_now)
    target = out / made.name if out.is_dir() else out
    _kept(made.content, target)
    print(f"{target}\t{hashlib.sha256(made.content).hexdigest()}")


def _kept(content: bytes, out: Path | None) -> None:
    if out is not None:
        out.write_bytes(content)


def _with_progress(data: Path, work: Callable[[AsyncConnection, Told], Awaitable[T]]) -> T:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("making the report", total=100)

        async def told(percent: int) -> None:
            progress.update(task, completed=percent)

        try:
            return in_database(data, lambda connection: work(connection, told))
        except (LookupError, ValueError) as error:
            fail(str(error))
