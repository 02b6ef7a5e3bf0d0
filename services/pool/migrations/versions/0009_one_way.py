"""A disbursement goes from instructed to settled or returned, and no further."""

from alembic import op

from services.pool.tables import ONE_WAY
from shared.database import run_ddl

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Let the database refuse another way."""
    run_ddl(op.get_bind(), ONE_WAY)
