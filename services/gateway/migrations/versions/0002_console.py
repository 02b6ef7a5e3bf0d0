"""The console: what waits for whom, accounts, memberships, sessions, actions, drafts, documents and reports."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.database import keep_forever, run_ddl

revision = "0002"
down_revision = "0001"


def _moment(name: str, nullable: bool = False, **more: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, **more)


def _text(*names: str) -> tuple[sa.Column, ...]:
    return tuple(sa.Column(name, sa.Text(), nullable=False) for name in names)


def _maybe(*names: str) -> tuple[sa.Column, ...]:
    return tuple(sa.Column(name, sa.Text(), nullable=True) for name in names)


def _empty(name: str) -> sa.Column:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _need_list() -> None:
    """What the need list is sorted and filtered by, out of the application."""
    op.add_column("cases", sa.Column("sector", sa.Text(), nullable=True))
    op.add_column("cases", sa.Column("traits", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False))
    op.add_column("cases", sa.Column("need_fen", sa.BigInteger(), nullable=True))
    op.execute(
        "update cases set sector = application->>'sector', traits = coalesce(application->'traits', '[]'::jsonb),"
        " need_fen = replace(application->>'need', '.', '')::bigint where application is not null"
    )


def upgrade() -> None:
    """Make the tables."""
    op.create_index("events_causation", "events", ["causation_id"])
    op.create_index("loans_claim_status", "loans", ["scheme", "claim_status"])
    op.create_index("cases_recommender", "cases", ["scheme", "recommender"])
    _need_list()
    op.create_table(
        "waiting",
        *_text("scheme", "organisation", "kind", "about"),
        *_maybe("uscc", "half"),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("opens_on", sa.Date(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "organisation", "kind", "about"),
        comment="What waits for an organisation, as one service's events say: its worklist.",
    )
    op.create_index("waiting_about", "waiting", ["scheme", "kind", "about"])
    op.create_index("waiting_uscc", "waiting", ["scheme", "uscc"])
    op.create_table(
        "fund_days",
        *_text("scheme"),
        sa.Column("on", sa.Date(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("figures", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("scheme", "on"),
        comment="The fund at the end of each day on which something happened: its curves.",
    )
    op.create_table(
        "accounts",
        *_text("id", "login", "name"),
        *_maybe("password_hash"),
        sa.Column("must_change", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        _moment("locked_until", nullable=True),
        _moment("disabled_at", nullable=True),
        _moment("created_at", server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("login"),
        comment="Persons who sign in; without a password hash only through the identity provider.",
    )
    op.create_table(
        "memberships",
        *_text("account", "scheme", "organisation"),
        sa.Column("roles", ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("account", "scheme", "organisation"),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        comment="What a person is in an organisation of a scheme: officer, head, auditor, admin.",
    )
    op.create_index("memberships_organisation", "memberships", ["scheme", "organisation"])
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        *_text("account", "scheme", "organisation"),
        _empty("agent"),
        _moment("began_at"),
        _moment("seen_at"),
        _moment("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("sha256"),
        sa.ForeignKeyConstraint(
            ["account", "scheme", "organisation"],
            ["memberships.account", "memberships.scheme", "memberships.organisation"],
        ),
        comment="Sign-ins of the console: only the SHA-256 of the cookie is kept.",
    )
    op.create_index("sessions_account", "sessions", ["account"])
    op.create_table(
        "actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _moment("at"),
        *_text("scheme", "organisation"),
        *_maybe("account"),
        *_text("action"),
        _empty("about"),
        *_text("outcome"),
        *_maybe("rule"),
        sa.Column("events", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="Who did what when: commands, reports, sign-ins and changes of users; append-only.",
    )
    op.create_index("actions_about", "actions", ["scheme", "about", "action"])
    op.create_index("actions_account", "actions", ["account", "id"])
    run_ddl(op.get_bind(), keep_forever("actions"))
    op.create_table(
        "drafts",
        *_text("account", "scheme", "form"),
        sa.Column("fields", JSONB, nullable=False),
        _moment("saved_at"),
        sa.PrimaryKeyConstraint("account", "scheme", "form"),
        comment="Forms not sent yet, one of a kind a person.",
    )
    op.create_table(
        "documents",
        *_text("id", "scheme", "about", "kind", "name", "media_type", "sha256"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        *_text("state", "organisation"),
        *_maybe("account"),
        _moment("uploaded_at"),
        sa.PrimaryKeyConstraint("id"),
        comment="Metadata of uploaded files; bytes lie under their SHA-256. State: ready, quarantined or refused.",
    )
    op.create_index("documents_about", "documents", ["scheme", "about"])
    op.create_table(
        "report_jobs",
        *_text("id", "scheme", "kind", "period"),
        _empty("organisation"),
        *_text("language", "format", "requested_by"),
        _moment("requested_at"),
        *_text("state"),
        sa.Column("progress", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        *_text("scheme_version"),
        _empty("name"),
        *_maybe("sha256", "error"),
        sa.PrimaryKeyConstraint("id"),
        comment="Reports asked for: all events up to position ends_at are in it, so that it can be made again.",
    )
    op.create_index("report_jobs_requested", "report_jobs", ["scheme", "requested_at"])
