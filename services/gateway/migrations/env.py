"""Alembic's entry for the gateway database; ``riskpool.migrate`` opens the connection."""

from services.gateway.projections import tables
from shared.database import run_migrations

run_migrations(tables.metadata)
