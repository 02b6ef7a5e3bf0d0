"""What every service's database keeps of messages: outbox, inbox, answers, attempts, parked, receipts."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()
NOTHING_SQL = "decode(repeat('00', 32), 'hex')"

schemes = Table(
    "schemes",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("written", BigInteger, nullable=False, server_default="0"),
    Column("position", BigInteger, nullable=False, server_default="0"),
    Column("sha256", LargeBinary, nullable=False, server_default=text(NOTHING_SQL)),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("rows_sha256", LargeBinary, nullable=False, server_default=text(NOTHING_SQL)),
    comment="One row a scheme: how far it is written, where its chains end (chain.Head); it fences out old writers.",
)
scheme_versions = Table(
    "scheme_versions",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("content", JSONB, nullable=False),
    Column("first_used", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
institutions = Table(
    "institutions",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date, nullable=False),
)
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("scheme", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("published_at", DateTime(timezone=True)),
    Column("stream_seq", BigInteger),
    Column("position", BigInteger),
    Column("sha256", LargeBinary),
    CheckConstraint("(stream = 'EVENTS') = (sha256 is not null and position is not null)", name="outbox_chained"),
    comment="Every event and receipt, kept for ever: the audit log, and what fills the bus again.",
)
Index("outbox_unpublished", outbox.c.id, postgresql_where=outbox.c.published_at.is_(None))
Index("outbox_stream", outbox.c.stream, outbox.c.stream_seq, postgresql_where=outbox.c.stream_seq.is_not(None))
relayed_streams = Table(
    "relayed_streams",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("created", Text, nullable=False),
    *(Column(name, BigInteger) for name in ("again_from", "again_through", "again_top")),
    comment="Streams published to: another creation time means the bus forgot; again_*: how far it is filled again.",
)
taken_streams = Table(
    "taken_streams",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("consumer_made", Text, nullable=False),
    Column("stream_seq", BigInteger, nullable=False),
    comment="How far this database has taken each stream: a consumer that is further must read again (healing.py).",
)
inbox = Table(
    "inbox",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("taken_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
answers = Table(
    "answers",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("organisation", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("answered_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
attempts = Table(
    "attempts",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("count", Integer, nullable=False),
)
# The short name of a parked message, the same in every replica: SHA-256 of its key, NUL between its parts. Written
# so that nothing in it depends on a setting, else there could be no index of it, and as PostgreSQL itself tells it, so
# that tables and migrations can be compared; only message ids can hold a backslash.
PARKED_ID_SQL = (
    r"left(encode(sha256(((((((consumer || '\000') || stream) || '\000') || stream_seq::text) || '\000')"
    r" || replace(message_id, '\', '\\'))::bytea), 'hex'), 16)"
)
parked_id = literal_column(PARKED_ID_SQL, Text)
parked = Table(
    "parked",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("stream_seq", BigInteger, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("settled_at", DateTime(timezone=True)),
    Column("settlement", Text),
    Column("settled_by", Text),
    Column("reason", Text),
    Index("parked_id", parked_id),
    comment="What could not be read or handled, with its bytes: nothing is lost.",
)
Index("parked_unsettled", parked.c.parked_at, postgresql_where=parked.c.settled_at.is_(None))
Index("parked_at", parked.c.parked_at)
receipts = Table(
    "receipts",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("institution", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("event_name", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("rule", Text),
    Column("detail", Text),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("body_sha256", LargeBinary),
    comment="The receipts of partner events, kept by the gateway.",
)

OUTBOX_TRIGGERS = """
create function outbox_wake() returns trigger language plpgsql as
$$ begin perform pg_notify('outbox', ''); return null; end $$
--
create trigger outbox_wake after insert on outbox for each statement execute function outbox_wake()
--
create function outbox_keep() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE'
        or (new.id, new.event_id, new.scheme, new.stream, new.subject, new.name, new.payload, new.recorded_at)
        is distinct from
           (old.id, old.event_id, old.scheme, old.stream, old.subject, old.name, old.payload, old.recorded_at)
    then raise exception 'the outbox is append-only'; end if;
    return new;
end $$
--
create trigger outbox_keep before update or delete on outbox for each row execute function outbox_keep()
"""
OUTBOX_KEEPS = """
create or replace function outbox_keep() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or row(new.*) is distinct from row(
        old.id, old.event_id, old.scheme, old.stream, old.subject, old.name, old.payload, old.recorded_at,
        new.published_at, new.stream_seq, old.position, old.sha256)
    then raise exception 'the outbox is append-only'; end if;
    return new;
end $$
"""
STALE = "RP001"
FENCE = f"""
create function fenced(known bigint, wanted bigint) returns boolean language plpgsql immutable as $$
begin
    if known <> wanted then raise exception 'another writer wrote these schemes meanwhile' using errcode = '{STALE}';
    end if;
    return true;
end $$
"""
APPEND_ONLY = ("scheme_versions", "inbox", "answers")
