"""Alembic's entry for the review database; ``riskpool.migrate`` opens the connection."""

from services.review import tables
from shared.database import run_migrations

run_migrations(tables.metadata)
