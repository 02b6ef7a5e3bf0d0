"""The command line `riskpool`."""

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

# A command's module is imported when the command is asked for: `riskpool up` need not wait for all the others.
COMMANDS = {
    "up": "riskpool.up:up",
    "scenario": "riskpool.scenario.command:scenario",
    "demo": "riskpool.demo:demo",
    "audit": "riskpool.audit:app",
    "scheme": "riskpool.scheme:app",
    "token": "riskpool.token:app",
    "partner": "riskpool.partners.command:app",
    "keys": "riskpool.keys:keys",
    "parked": "riskpool.parked:app",
    "user": "riskpool.user:app",
    "gateway": "riskpool.rebuild:app",
    "report": "riskpool.report:app",
    "backup": "riskpool.backups.command:backup",
    "restore": "riskpool.backups.command:restore",
    "books": "riskpool.books.command:command",
    "import-history": "riskpool.history.command:command",
    "exporter": "riskpool.exporter:exporter",
    "docs": "riskpool.documents:command",
    "dashboards": "riskpool.dashboards.command:command",
    "bench": "riskpool.bench.command:bench",
    "load": "riskpool.bench.load:load",
}


class Commands(TyperGroup):
    """The commands of the table above."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command itself, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
        else:
            alone = typer.Typer(add_completion=False)
            alone.command()(found)
            command = typer.main.get_command(alone)
        command.name = cmd_name
        return command


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """riskpool runs a government fund that shares banks' losses on small-business loans."""


if __name__ == "__main__":
    app()
