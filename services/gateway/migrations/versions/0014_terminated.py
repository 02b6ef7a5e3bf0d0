"""Whether an agreement was terminated, by the order of events and no longer by dates."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

FILL = """
    update agreements set terminated = true from (
        select distinct on (scheme, data->>'institution') scheme, data->>'institution' as institution, type from events
        where type = 'AgreementSigned' or type = 'InstitutionSanctioned' and data->>'measure' = 'terminate'
        order by scheme, data->>'institution', position desc
    ) newest
    where newest.scheme = agreements.scheme and newest.institution = agreements.institution
      and newest.type = 'InstitutionSanctioned'
"""


def upgrade() -> None:
    """Add the column, and fill it from the events."""
    op.add_column("agreements", sa.Column("terminated", sa.Boolean, server_default=sa.false(), nullable=False))
    op.execute(FILL)
