"""Alembic's entry for the gateway database; ``riskpool.migrate`` opens the connection."""

from services.gateway import tables
from shared.database import run_migrations

run_migrations(tables.metadata)
