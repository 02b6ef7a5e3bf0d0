"""What moved each day of each institution's and department's compensations; a compensation knows both."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table and fill it from the journal and from the instruction that first paid each loan."""
    op.create_table(
        "party_days",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("debit_fen", sa.BigInteger(), nullable=False),
        sa.Column("credit_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("debit_fen >= 0 and credit_fen >= 0", name="party_days_not_negative"),
        sa.PrimaryKeyConstraint("scheme", "day", "institution", "department", "account"),
        comment="What moved each day of each institution's and department's compensations, in the same transaction.",
    )
    for statement in (_LOANS, _FILL, _STATES, "drop table paid_loans"):
        op.execute(statement)


_LOANS = """
create temporary table paid_loans as
    select distinct on (scheme, data->>'loan_no')
        scheme, data->>'loan_no' as loan_no, data->'item'->>'payee' as payee,
        data->'item'->>'recommender' as recommender
    from (
        select scheme, position, payload::jsonb->'data' as data from outbox
        where stream = 'EVENTS' and name = 'CompensationInstructed'
    ) instructed
    where data->'item'->>'payee' is not null
    order by scheme, data->>'loan_no', position
"""
_FILL = """
insert into party_days
    select scheme, effective_on, payee, recommender, account, sum(debit_fen), sum(credit_fen)
    from (
        select event_id, effective_on, debit as account, amount_fen as debit_fen, 0 as credit_fen from journal
        union all select event_id, effective_on, credit, 0, amount_fen from journal
    ) lines
    join (
        select event_id, scheme, payload::jsonb->'data'->>'loan_no' as loan_no from outbox
        where stream = 'EVENTS'
            and name in ('CompensationInstructed', 'DisbursementReturned', 'FundsBooked', 'WriteOffBooked')
    ) events using (event_id)
    join paid_loans using (scheme, loan_no)
    where account in ('compensation', 'recovered', 'clawed_back', 'written_off')
    group by 1, 2, 3, 4, 5
"""
_STATES = """
update compensations c
    set doc = c.doc || jsonb_build_object('payee', coalesce(p.payee, ''), 'recommender', coalesce(p.recommender, ''))
    from compensations known left join paid_loans p on p.scheme = known.scheme and p.loan_no = known.key
    where known.scheme = c.scheme and known.key = c.key
"""
