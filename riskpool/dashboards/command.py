"""`riskpool dashboards`: the dashboards of Grafana, written from what this room says of them."""

from typing import Annotated

import typer

from riskpool.dashboards.flow import FLOW
from riskpool.dashboards.fund import FUND
from riskpool.dashboards.partners import PARTNERS
from riskpool.documents import ROOT

DASHBOARDS = (FUND, FLOW, PARTNERS)
PLACE = ROOT / "ops" / "grafana" / "dashboards"


def command(
    check: Annotated[
        bool, typer.Option("--check", help="change nothing; exit 1 when a file is not up to date")
    ] = False,
) -> None:
    """Write ops/grafana/dashboards/*.json."""
    wanted = {PLACE / f"{one.uid.removeprefix('riskpool-')}.json": one.json_text() for one in DASHBOARDS}
    stale = [file for file, text in wanted.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    stale += [file for file in PLACE.glob("*.json") if file not in wanted]
    names = ", ".join(sorted(file.name for file in stale))
    if check and stale:
        typer.echo(f"Not up to date: {names}. Run `riskpool dashboards` and commit the result.", err=True)
        raise typer.Exit(1)
    for file in stale:
        if file in wanted:
            file.write_text(wanted[file], encoding="utf-8")
        else:
            file.unlink()
    typer.echo(f"wrote {names}" if stale else "up to date")
