"""Alembic's entry for the referral database; ``riskpool.migrate`` opens the connection."""

from services.referral import tables
from shared.database import run_migrations

run_migrations(tables.metadata)
