"""The command line `riskpool`; each command imports what it needs when it runs."""

import typer

from riskpool.scheme import app as scheme_app
from riskpool.up import up

app = typer.Typer(help="riskpool runs a government fund that shares banks' losses on small-business loans.",
                  no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(scheme_app, name="scheme")
app.command()(up)


if __name__ == "__main__":
    app()
