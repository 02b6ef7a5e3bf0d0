"""Alembic's entry for the pool database; ``riskpool.migrate`` opens the connection."""

from services.pool import tables
from shared.database import run_migrations

run_migrations(tables.metadata)
