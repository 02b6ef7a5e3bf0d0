"""`riskpool scheme`: check a scheme file, show its settings with their clauses, and classify an enterprise's size."""

import re
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from shared.money import parse_yuan
from shared.scheme.loader import Scheme, SchemeError, load_scheme
from shared.scheme.size import MissingFigure, UnknownIndustry, classify

app = typer.Typer(help="Scheme files: the rules of one fund as data.", no_args_is_help=True)
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,12})(\.[0-9]{2})?", re.ASCII)
SchemeOption = Annotated[str, typer.Option("--scheme", help="The id of a shipped scheme, or a scheme file.")]


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)


def _load(scheme: str | Path) -> Scheme:
    try:
        return load_scheme(scheme)
    except SchemeError as error:
        _fail(str(error))


def _fen(option: str, amount: str | None) -> int | None:
    if amount is None:
        return None
    if not _AMOUNT.fullmatch(amount):
        _fail(f"{option}: {amount!r} is not an amount; give yuan, such as 36000000.00 or 36000000")
    return parse_yuan(amount if "." in amount else f"{amount}.00")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_shown(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ("\n" if any(isinstance(one, dict) for one in value) else ", ").join(map(_shown, value))
    return str(value)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The scheme file.")]) -> None:
    """Check a scheme file whole: every problem with its key, clause and what is allowed; exit 1 when there is one."""
    scheme = _load(file)
    readings = sum(bool(setting.reading) for setting in scheme.settings.values())
    typer.echo(f"{scheme.id} {scheme.name}: {len(scheme.settings)} settings ({readings} with a reading to confirm), "
               f"{len(scheme.rules)} rules, {len(scheme.organisations)} organisations")
    typer.echo(f"version {scheme.version}")


@app.command()
def show(scheme: SchemeOption = "yanqing") -> None:
    """Show every setting of a scheme with its value, its clause and the reading chosen."""
    loaded = _load(scheme)
    table = Table(title=f"{loaded.name} ({loaded.id}, {loaded.version[:12]})", show_lines=True)
    for heading in ("setting", "value", "clause", "reading"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "setting")
    for setting in loaded.settings.values():
        table.add_row(setting.key, _shown(setting.value), setting.clause, setting.reading)
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = 160
    console.print(table)


@app.command("classify")
def classify_enterprise(
    industry: Annotated[str, typer.Option(help="The industry's key in the size standard, such as industrial.")],
    employees: Annotated[int | None, typer.Option(min=0, help="Persons employed.")] = None,
    revenue: Annotated[str | None, typer.Option(help="Yearly revenue in yuan, such as 36000000.00.")] = None,
    assets: Annotated[str | None, typer.Option(help="Total assets in yuan.")] = None,
    scheme: SchemeOption = "yanqing",
) -> None:
    """The size class of an enterprise (eligible.size, 二(一)); the last line is large, medium, small or micro."""
    standard = str(_load(scheme).value("size_standard"))
    try:
        result = classify(standard, industry, employees, _fen("--revenue", revenue), _fen("--assets", assets))
    except MissingFigure as error:
        _fail(f"--{error.name}: {error}")
    except UnknownIndustry as error:
        _fail(f"--industry: {error}")
    typer.echo(", ".join(f"{name} {figure}" for name, figure in result.figures.items() if name != "size"))
    if result.micro_with_large_indicator:
        typer.echo("micro_with_large_indicator: a figure reaches the industry's large line")
    typer.echo(result.size)
