"""`python -m riskpool` is the command line."""

from riskpool.cli import app

app()
