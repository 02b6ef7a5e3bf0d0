"""What the second release adds to the core's tables: the chain of events, and the fence of one writer a scheme."""

import sqlalchemy as sa
from alembic import op

from shared.database import run_ddl
from shared.messaging.chain import Head, event_sha256
from shared.messaging.tables import FENCE, OUTBOX_KEEPS

NOTHING = "decode(repeat('00', 32), 'hex')"
SOME = 1000


def add_chain() -> None:
    """Columns, the fence, and the chain of every event announced so far."""
    for name in ("written", "position", "rows"):
        op.add_column("schemes", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    for name in ("sha256", "rows_sha256"):
        op.add_column("schemes", sa.Column(name, sa.LargeBinary(), server_default=sa.text(NOTHING), nullable=False))
    told = "One row a scheme: how far it is written, where its chains end (chain.Head); it fences out old writers."
    op.create_table_comment("schemes", told)
    op.add_column("outbox", sa.Column("position", sa.BigInteger(), nullable=True))
    op.add_column("outbox", sa.Column("sha256", sa.LargeBinary(), nullable=True))
    _chain_what_is_there(op.get_bind())
    op.create_check_constraint(
        "outbox_chained", "outbox", "(stream = 'EVENTS') = (sha256 is not null and position is not null)"
    )
    op.drop_index("outbox_stream", "outbox")
    op.create_index(
        "outbox_stream", "outbox", ["stream", "stream_seq"], postgresql_where=sa.text("stream_seq is not null")
    )
    run_ddl(op.get_bind(), OUTBOX_KEEPS)
    run_ddl(op.get_bind(), FENCE)


def _chain_what_is_there(connection: sa.Connection) -> None:
    outbox = sa.table("outbox", *(sa.column(name) for name in ("id", "scheme", "payload", "recorded_at", "stream")))
    write = sa.text("update outbox set position = :position, sha256 = :sha256 where id = :id")
    heads: dict[str, Head] = {}
    last = 0
    while True:
        query = sa.select(outbox).where(outbox.c.stream == "EVENTS", outbox.c.id > last).order_by(outbox.c.id)
        rows = connection.execute(query.limit(SOME)).all()
        if not rows:
            break
        changes = []
        for row in rows:
            head = heads.setdefault(row.scheme, Head())
            head.position += 1
            head.sha256 = event_sha256(head.sha256, head.position, row.recorded_at, row.payload)
            changes.append({"id": row.id, "position": head.position, "sha256": head.sha256})
        connection.execute(write, changes)
        last = rows[-1].id
    for scheme, head in heads.items():
        connection.execute(
            sa.text("update schemes set position = :position, sha256 = :sha256 where scheme = :scheme"),
            {"scheme": scheme, "position": head.position, "sha256": head.sha256},
        )
