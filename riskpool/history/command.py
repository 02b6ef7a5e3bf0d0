"""`riskpool import-history`: an existing fund's history from CSV, checked as a whole before anything is written."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from riskpool.fund import DEFAULT_DATA, Data, SchemeId, in_pool
from riskpool.history.columns import template
from riskpool.history.deciding import Deciding
from riskpool.history.rows import Fact, File, Problem, Told
from riskpool.history.writing import AlreadyThere, Refused, digest_of, may_begin, name_of, write_history
from riskpool.token import fail
from shared.messaging.tables import STALE
from shared.money import format_yuan
from shared.scheme.loader import Scheme, scheme_of

MOST_SHOWN = 50


@dataclass(frozen=True)
class Checked:
    """What a file says: rows, every problem, and the fund that it leaves, in words."""

    rows: int
    problems: list[Problem]
    fund: str


def command(
    file: Annotated[Path | None, typer.Argument(help="The CSV file.", exists=True, dir_okay=False)] = None,
    scheme: SchemeId = "yanqing",
    check: Annotated[bool, typer.Option("--check", help="Only check the file; any fund may be there.")] = False,
    show_template: Annotated[bool, typer.Option("--template", help="Print a small example with every kind.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Import a fund's history: every row decided by today's rules, all of it written at once or nothing."""
    if show_template:
        print(template(), end="")
        return
    if file is None:
        fail("name a CSV file; --template prints an example")
    try:
        in_pool(data, lambda engine: _import(engine, scheme, file, check))
    except AlreadyThere:
        print(f"已导入过，未作任何改动。 {file} is in the books of {scheme} already: nothing was done.")
    except Refused as refused:
        fail(str(refused))


async def _import(engine: AsyncEngine, name: str, path: Path, check: bool) -> None:
    digest = digest_of(path)
    scheme = await _scheme(engine, name)
    written = 0 if check else await may_begin(engine, name, digest)
    with _progress("checking", path) as told:
        checked = await check_history(scheme, path, digest, told)
    if checked.problems:
        _show(checked.problems)
        raise typer.Exit(1)
    print(f"校验无误。 {checked.rows} rows are right. {checked.fund}")
    if check:
        return
    with _progress("writing", path) as told:
        try:
            events = await write_history(engine, scheme, path, digest, written, told)
        except (DBAPIError, asyncpg.PostgresError) as error:
            raise Refused(_why_not(error)) from error
    print(f"已导入。 {events} events are written. `riskpool audit` proves them, `riskpool books` shows them.")


async def check_history(scheme: Scheme, path: Path, digest: bytes, told: Told = lambda read: None) -> Checked:
    """Decide every row in memory, from an empty fund; nothing is kept but the states."""
    deciding, rows, problems = Deciding(scheme, name_of(digest)), 0, []
    for fact in File(path, told).facts():
        rows += len(fact.rows) if isinstance(fact, Fact) else 1
        problem = await deciding.decide(fact) if isinstance(fact, Fact) else fact
        if problem:
            problems.append(problem)
        deciding.memory.announcements.clear()
    if not rows:
        problems.append(Problem(1, "file", "there is no row in it"))
    return Checked(rows, problems, _fund(deciding))


def _fund(deciding: Deciding) -> str:
    fund = deciding.memory.states.get(("fund", deciding.scheme.id, "fund"))
    if fund is None:
        return ""
    return f"The fund holds {format_yuan(fund.cash_fen)} yuan, {format_yuan(fund.available_fen)} of it available."


async def _scheme(engine: AsyncEngine, name: str) -> Scheme:
    """The rules that the pool serves a scheme under now."""
    query = """select s.version, v.content::text as content from schemes s
        join scheme_versions v on v.scheme = s.scheme and v.version = s.version where s.scheme = :scheme"""
    async with engine.connect() as connection:
        row = (await connection.execute(text(query), {"scheme": name})).one_or_none()
    if row is None:
        raise Refused(f"the pool serves no scheme {name!r}: start it with its file first")
    return scheme_of(json.loads(row.content), row.version)


def _why_not(error: Exception) -> str:
    original = getattr(error, "orig", error)
    if str(getattr(original, "sqlstate", "")) == STALE:
        return "somebody wrote the fund meanwhile: nothing is written, begin again"
    return f"nothing is written, the database refuses it: {original}"


def _show(problems: list[Problem]) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for problem in problems[:MOST_SHOWN]:
        console.print(f"line {problem.line}  {problem.rule}: {problem.words}", markup=False)
    if len(problems) > MOST_SHOWN:
        console.print(f"and {len(problems) - MOST_SHOWN} more")
    console.print(f"未作任何改动。 {len(problems)} rows are wrong: nothing is written.")


@contextmanager
def _progress(doing: str, path: Path) -> Iterator[Told]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=path.stat().st_size)
        yield lambda read: progress.advance(task, read)
