"""Alembic's entry for the recovery database; ``riskpool.migrate`` opens the connection."""

from services.recovery import tables
from shared.database import run_migrations

run_migrations(tables.metadata)
