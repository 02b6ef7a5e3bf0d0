"""`riskpool books`: what came in, was paid and is left, by period, day, institution or department, with its proof."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from riskpool.books.words import WORDS
from riskpool.fund import DEFAULT_DATA, Data, SchemeId, in_pool
from riskpool.token import fail
from services.pool.books import Books, DayEnd, Figures, PartyFigures
from shared.calendar import half_end
from shared.money import format_yuan

By = Literal["day", "institution", "department"]


@dataclass(frozen=True)
class Period:
    """The days asked for, both in it."""

    first: date
    last: date


@dataclass(frozen=True)
class Said:
    """What the books say of a period; ``moved`` are all the rows that it is made of."""

    figures: Figures
    days: list[DayEnd]
    institutions: list[PartyFigures]
    departments: list[PartyFigures]
    moved: set[tuple[Any, ...]]


@dataclass(frozen=True)
class Found:
    """What the roll-ups say of a period, and whether the journal says the same of everything in it."""

    period: Period
    said: Said
    agree: bool


def command(
    scheme: SchemeId = "yanqing",
    half: Annotated[str, typer.Option(help="A half-year, such as 2026H1.")] = "",
    year: Annotated[int | None, typer.Option(min=1900, max=9998, help="A calendar year.")] = None,
    by: Annotated[By | None, typer.Option(help="Day by day, or what each institution or department had.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON, amounts in yuan.")] = False,
) -> None:
    """Print a fund's books in yuan; of all days without --half or --year. Exit 1 when roll-up and journal differ."""
    asked = period_of(half, year)
    found = in_pool(data, lambda engine: read(engine, scheme, asked))
    if found is None:
        fail(f"no money has moved in {scheme!r} yet: --scheme names another fund")
    if as_json:
        print(json.dumps(_as_json(found), ensure_ascii=False, indent=1))
    else:
        _show(scheme, found, by)
    if not found.agree:
        raise typer.Exit(1)


def period_of(half: str, year: int | None) -> Period | None:
    """The period of the options; None for all days."""
    if half and year is not None:
        fail("--half and --year exclude each other")
    if year is not None:
        return Period(date(year, 1, 1), date(year, 12, 31))
    if not half:
        return None
    try:
        last = half_end(half)
    except ValueError as error:
        fail(str(error))
    return Period(last.replace(month=last.month - 5, day=1), last)


async def read(engine: AsyncEngine, scheme: str, asked: Period | None) -> Found | None:
    """Everything of a period, as of one moment, from the roll-ups and once more from the journal."""
    async with engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="REPEATABLE READ")
        books = Books(connection, scheme)
        span = await books.span()
        if span is None:
            return None
        period = asked or Period(*span)
        first, last = period.first, period.last
        said, proof = await _said(books, first, last), await _said(books.of_the_journal(), first, last)
    return Found(period, said, agree=said == proof)


async def _said(books: Books, first: date, last: date) -> Said:
    return Said(
        await books.figures(first, last), await books.curve(first, last),
        await books.parties("institution", first, last), await books.parties("department", first, last),
        await books.moved(first, last),
    )  # fmt: skip


def _as_json(found: Found) -> dict[str, Any]:
    def plain(value: Period | Figures | DayEnd | PartyFigures) -> dict[str, str]:
        return {
            name.removesuffix("_fen"): format_yuan(one) if name.endswith("_fen") else str(one)
            for name, one in asdict(value).items()
        }

    said = found.said
    lists = {
        "days": [plain(one) for one in said.days],
        "institutions": [plain(one) for one in said.institutions],
        "departments": [plain(one) for one in said.departments],
    }
    return {**plain(found.period), **plain(said.figures), **lists, "agree": found.agree}


def _show(scheme: str, found: Found, by: By | None) -> None:
    title = f"{scheme}  {found.period.first} – {found.period.last}  (元 yuan)"
    shown: dict[str, list[Any]] = {
        "day": found.said.days, "institution": found.said.institutions, "department": found.said.departments,
    }  # fmt: skip
    console = Console()
    console.print(_table(title, shown[by], by) if by else _summary(title, found.said.figures))
    if found.agree:
        console.print("汇总与日记账逐分一致。 Roll-up and journal agree to the fen.")
    else:
        console.print("汇总与日记账不一致，请运行 riskpool audit。 Roll-up and journal DIFFER: run `riskpool audit`.")


def _summary(title: str, figures: Figures) -> Table:
    table = Table("项目", "item", title=title)
    table.add_column("金额 amount", justify="right")
    for name, fen in asdict(figures).items():
        table.add_row(*WORDS[name], format_yuan(fen))
    return table


def _table(title: str, rows: list[Any], by: By) -> Table:
    table = Table(title=title)
    names = list(asdict(rows[0])) if rows else []
    for name in names:
        heading = "\n".join(WORDS[by if name == "name" else name])
        table.add_column(heading, justify="right" if name.endswith("_fen") else "left")
    for row in rows:
        table.add_row(*_cells(asdict(row)))
    return table


def _cells(row: dict[str, Any]) -> Iterator[str]:
    for name, value in row.items():
        yield format_yuan(value) if name.endswith("_fen") else str(value)
