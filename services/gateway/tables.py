"""What the gateway alone knows: the events that it took, and what people and institutions told it (not projections)."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()


def scheme_column() -> Column[str]:
    """The first part of a key."""
    return Column("scheme", Text, primary_key=True)


def key_column(name: str) -> Column[str]:
    """A further part of a key."""
    return Column(name, Text, primary_key=True)


def _list(name: str) -> Column[list[str]]:
    return Column(name, JSONB, nullable=False, server_default=text("'[]'::jsonb"))


tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scheme", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("note", Text, nullable=False, server_default=""),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    comment="Bearer tokens of organisations: only their SHA-256 is kept.",
)
uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scheme", Text, nullable=False),
    Column("institution", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("headings", JSONB, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("line", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False, server_default="waiting"),
    *(Column(name, Integer, nullable=False, server_default="0") for name in ("accepted", "duplicate")),
    *(Column(name, Integer, nullable=False, server_default="0") for name in ("refused", "unreadable")),
    Column("moment", DateTime(timezone=True), nullable=False),
    Column("uploaded_at", DateTime(timezone=True), nullable=False),
    Column("account", Text),
    Index("uploads_institution", "scheme", "institution", "id"),
    comment="Tables of partner events that institutions uploaded; line is how far their rows were reported.",
)
upload_rows = Table(
    "upload_rows",
    metadata,
    Column("upload", Text, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("rule", Text),
    Column("detail", Text),
    Column("cells", JSONB(none_as_null=True)),
    comment="What became of each row of an upload, with its cells where it was rejected.",
)
bus_credentials = Table(
    "bus_credentials",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scheme", Text, nullable=False),
    Column("institution", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("signing_key", Text, nullable=False, unique=True),
    Column("user_key", Text, nullable=False, unique=True),
    Column("note", Text, nullable=False, server_default=""),
    Column("issued_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("issued_by", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("revoked_by", Text),
    Index("bus_credentials_institution", "scheme", "institution"),
    comment="Credentials for the bus: an account an institution and scheme, a signing key for each of its users.",
)
business_days = Table(
    "business_days",
    metadata,
    scheme_column(),
    Column("date", Date, primary_key=True),
    Column("announced_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

submissions = Table(
    "submissions",
    metadata,
    scheme_column(),
    key_column("institution"),
    key_column("event_id"),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("upload", Text),
    comment="What institutions reported over HTTP: one id never stands for two contents.",
)

event_positions = Table(
    "event_positions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("last", BigInteger, nullable=False),
    comment="One row, locked by every projecting transaction: positions grow in commit order without a gap.",
)
turns = Table(
    "turns",
    metadata,
    scheme_column(),
    key_column("source"),
    Column("last", BigInteger, nullable=False),
    comment="The last event of each service that was folded: the next one waits for those between (turns.py).",
)
events = Table(
    "events",
    metadata,
    Column("position", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("scheme", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("about", ARRAY(Text), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("causation_id", Text, nullable=False),
    Column("scheme_version", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("why", JSONB(none_as_null=True)),
    UniqueConstraint("service", "id"),
)
Index("events_of_scheme", events.c.scheme, events.c.position)
Index("events_of_type", events.c.scheme, events.c.type, events.c.position)
Index("events_about", events.c.about, postgresql_using="gin")
Index("events_causation", events.c.causation_id)

upkeep = Table(
    "upkeep",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("ok", Boolean, nullable=False),
    Column("told", Text, nullable=False),
    comment="Backups and audits that were made, and how each ended.",
)
accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("login", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("password_hash", Text),
    Column("must_change", Boolean, nullable=False, server_default="false"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("locked_until", DateTime(timezone=True)),
    Column("disabled_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="Persons who sign in; without a password hash only through the identity provider.",
)
memberships = Table(
    "memberships",
    metadata,
    Column("account", Text, primary_key=True),
    scheme_column(),
    key_column("organisation"),
    Column("roles", ARRAY(Text), nullable=False),
    ForeignKeyConstraint(["account"], ["accounts.id"]),
    comment="What a person is in an organisation of a scheme: officer, head, auditor, admin.",
)
Index("memberships_organisation", memberships.c.scheme, memberships.c.organisation)
sessions = Table(
    "sessions",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    Column("account", Text, nullable=False),
    Column("scheme", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("agent", Text, nullable=False, server_default=""),
    Column("began_at", DateTime(timezone=True), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    ForeignKeyConstraint(["account", "scheme", "organisation"], list(memberships.primary_key.columns)),
    comment="Sign-ins of the console: only the SHA-256 of the cookie is kept.",
)
Index("sessions_account", sessions.c.account)
actions = Table(
    "actions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("scheme", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("account", Text),
    Column("action", Text, nullable=False),
    Column("about", Text, nullable=False, server_default=""),
    Column("outcome", Text, nullable=False),
    Column("rule", Text),
    _list("events"),
    comment="Who did what when: commands, reports, sign-ins and changes of users; append-only.",
)
Index("actions_about", actions.c.scheme, actions.c.about, actions.c.action)
Index("actions_account", actions.c.account, actions.c.id)
drafts = Table(
    "drafts",
    metadata,
    Column("account", Text, primary_key=True),
    scheme_column(),
    key_column("form"),
    Column("fields", JSONB, nullable=False),
    Column("saved_at", DateTime(timezone=True), nullable=False),
    comment="Forms not sent yet, one of a kind a person.",
)
documents = Table(
    "documents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scheme", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("account", Text),
    Column("uploaded_at", DateTime(timezone=True), nullable=False),
    comment="Metadata of uploaded files; bytes lie under their SHA-256. State: ready, quarantined or refused.",
)
Index("documents_about", documents.c.scheme, documents.c.about)
report_jobs = Table(
    "report_jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scheme", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("organisation", Text, nullable=False, server_default=""),
    Column("language", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("progress", Integer, nullable=False, server_default="0"),
    Column("ends_at", BigInteger, nullable=False),
    Column("scheme_version", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("sha256", Text),
    Column("error", Text),
    comment="Reports asked for: all events up to position ends_at are in it, so that it can be made again.",
)
Index("report_jobs_requested", report_jobs.c.scheme, report_jobs.c.requested_at)
