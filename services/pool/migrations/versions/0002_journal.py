"""The journal: a debit, a credit and an amount a row, chained; what moved each day; entries become a view of it."""

import json

import sqlalchemy as sa
from alembic import op

from services.pool.ledger import effective_on
from services.pool.posting import journal_sha256, pairs
from services.pool.tables import ENTRIES, JOURNAL_KEPT
from shared.contracts.pool import PoolEvent
from shared.contracts.registry import EVENTS
from shared.database import run_ddl
from shared.messaging.chain import NOTHING
from shared.messaging.second_schema import add_chain

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the new tables and carry the ledger over."""
    add_chain()
    op.create_table(
        "journal",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("amount_fen > 0 and debit <> credit", name="journal_moves_money"),
        sa.PrimaryKeyConstraint("scheme", "seq"),
        comment="The double-entry ledger, balanced by construction; sha256 chains the rows (journal.py).",
    )
    op.create_table(
        "account_days",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("debit_fen", sa.BigInteger(), nullable=False),
        sa.Column("credit_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("debit_fen >= 0 and credit_fen >= 0", name="account_days_not_negative"),
        sa.PrimaryKeyConstraint("scheme", "account", "day"),
        comment="What moved on each account each day: the journal added up, in the transaction that writes it.",
    )
    _carry_over(op.get_bind())
    op.drop_table("entries")
    for function in ("entries_balanced", "keep_entries"):
        op.execute(f"drop function {function}")
    run_ddl(op.get_bind(), ENTRIES)
    run_ddl(op.get_bind(), JOURNAL_KEPT)


def _carry_over(connection: sa.Connection) -> None:
    """The journal of every event recorded so far; what it adds up to must be what the entries add up to."""
    columns = "scheme, event_id, name, payload, recorded_at"
    events = sa.text(f"select {columns} from outbox where stream = 'EVENTS' order by id")
    chains: dict[str, tuple[int, bytes]] = {}
    rows = []
    for row in connection.execute(events):
        kind = EVENTS.get(("pool", row.name))
        if kind is None or not issubclass(kind, PoolEvent):
            continue
        event = kind.model_validate_json(json.dumps(json.loads(row.payload)["data"]))
        for debit, credit, amount in pairs(event.entries):
            seq, before = chains.get(row.scheme, (0, NOTHING))
            day = effective_on(event)
            digest = journal_sha256(before, seq + 1, row.event_id, debit, credit, amount, day, row.recorded_at)
            chains[row.scheme] = seq + 1, digest
            rows.append(
                {"scheme": row.scheme, "seq": seq + 1, "event_id": row.event_id, "debit": debit, "credit": credit,
                 "amount_fen": amount, "effective_on": day, "recorded_at": row.recorded_at, "sha256": digest}
            )  # fmt: skip
    if rows:
        names = list(rows[0])
        table = sa.table("journal", *(sa.column(name) for name in names))
        connection.execute(table.insert(), rows)
    for scheme, (count, digest) in chains.items():
        write = sa.text("update schemes set rows = :rows, rows_sha256 = :sha256 where scheme = :scheme")
        connection.execute(write, {"rows": count, "sha256": digest, "scheme": scheme})
    connection.execute(sa.text(_ADD_UP))
    differing = connection.execute(sa.text(_COMPARE)).all()
    if differing:
        raise ValueError(f"the ledger is not what the events say; run `riskpool audit` first: {differing}")


_ADD_UP = """
insert into account_days
    select scheme, account, effective_on, sum(greatest(fen, 0)), sum(greatest(-fen, 0))
    from (select scheme, debit as account, effective_on, amount_fen as fen from journal
          union all select scheme, credit, effective_on, -amount_fen from journal) lines
    group by scheme, account, effective_on
"""
_COMPARE = """
select scheme, account, effective_on
from (select scheme, account, effective_on, sum(amount_fen) as fen from entries group by 1, 2, 3) old
full join (select scheme, account, day as effective_on, debit_fen - credit_fen as fen from account_days) new
    using (scheme, account, effective_on)
where coalesce(old.fen, 0) <> coalesce(new.fen, 0) limit 5
"""
