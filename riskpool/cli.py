"""The command line `riskpool`."""

import typer

from riskpool import audit, documents, token
from riskpool.bench.command import bench
from riskpool.demo import demo
from riskpool.scenario.command import scenario
from riskpool.scheme import app as scheme_app
from riskpool.up import up

app = typer.Typer(help="riskpool runs a government fund that shares banks' losses on small-business loans.",
                  no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(scheme_app, name="scheme")
app.add_typer(token.app, name="token")
app.command()(up)
app.command()(scenario)
app.command()(demo)
app.command("audit")(audit.command)
app.command("docs")(documents.command)
app.command()(bench)


if __name__ == "__main__":
    app()
