"""The database of a service: its engine for daily work, and the migrations that its owner runs."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, MetaData, NullPool, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.messaging.tables import APPEND_ONLY, STALE
from shared.secret import secret

ROOT = Path(__file__).parent.parent
PASSWORD = "RISKPOOL_DATABASE_PASSWORD"
POOL_SIZE, MAX_OVERFLOW = 6, 4


def address_in(setting: str, service: str = "") -> str:
    """The database's address that a setting holds, empty where it is not set; `{service}` in it stands for a service.

    A password that is not in it is that of ``RISKPOOL_DATABASE_PASSWORD``.
    """
    address = os.environ.get(setting, "").replace("{service}", service)
    if not address or make_url(address).password is not None:
        return address
    return make_url(address).set(password=secret(PASSWORD) or None).render_as_string(hide_password=False)


def engine_from_environment() -> AsyncEngine:
    """The engine of ``RISKPOOL_DATABASE_URL``, with a small pool that checks its connections."""
    url = address_in("RISKPOOL_DATABASE_URL")
    if not url:
        raise ValueError("RISKPOOL_DATABASE_URL is not set: postgresql+asyncpg://role:password@host:port/database")
    return create_async_engine(url, pool_size=POOL_SIZE, max_overflow=MAX_OVERFLOW, pool_pre_ping=True, pool_timeout=10)


def is_outage(error: BaseException) -> bool:
    """Whether an error says that a server is away or gave up (try again), not that a message is bad."""
    if isinstance(error, IntegrityError | ProgrammingError):
        return False
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout | OSError | TimeoutError):
        return True
    return isinstance(error, DBAPIError) and (error.connection_invalidated or _is_retryable(error.orig))


def _is_retryable(original: BaseException | None) -> bool:
    state = str(getattr(original, "sqlstate", "") or "")
    return state[:2] in ("08", "40", "53", "57", "58") or state == STALE


def migrate(service: str, owner_url: str, role: str) -> None:
    """Bring a service's database to its newest revision as its owner, then give its role what it needs and no more."""
    asyncio.run(_migrate(service, owner_url, role))


async def _migrate(service: str, owner_url: str, role: str) -> None:
    url = make_url(owner_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, service, role)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, service: str, role: str) -> None:
    from alembic import command  # not at the top: a quarter of a second at the start of every service
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / service / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise RuntimeError(
            f"the database of {service} is of a newer version than this program ({error}). Nothing was changed: start "
            "the newer version, or restore a backup of this one (docs/runbook.md)."
        ) from error
    grant(connection, role)


def run_ddl(connection: Connection, script: str) -> None:
    """Run a script of several statements, separated by a line that holds ``--`` only."""
    for statement in script.split("\n--\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)


def grant(connection: Connection, role: str) -> None:
    """Rights of a service's role: read all, write all but what is append-only; no schema changes."""
    quoted = connection.dialect.identifier_preparer.quote(role)
    database = connection.dialect.identifier_preparer.quote(str(connection.engine.url.database))
    for statement in (
        f"grant temporary on database {database} to {quoted}",  # a rebuild of projections folds into temporary tables
        f"grant usage on schema public to {quoted}",
        f"grant select, insert, update, delete on all tables in schema public to {quoted}",
        f"grant usage on all sequences in schema public to {quoted}",
        f"revoke insert, update, delete on alembic_version from {quoted}",
        f"revoke delete on outbox from {quoted}",
    ):
        connection.execute(text(statement))
    for table in append_only(connection):
        connection.execute(text(f"revoke update, delete, truncate on {table} from {quoted}"))


def append_only(connection: Connection) -> Iterable[str]:
    """Tables whose rows are never changed: the core's, and every table that carries a ``keep_<table>`` trigger."""
    triggers = connection.execute(text("select tgrelid::regclass::text from pg_trigger where tgname like 'keep\\_%'"))
    return sorted({*APPEND_ONLY, *triggers.scalars()})


def keep_forever(table: str) -> str:
    """DDL that makes a table append-only by trigger."""
    return f"""
create function keep_{table}() returns trigger language plpgsql as
$$ begin raise exception '{table} is append-only'; end $$
--
create trigger keep_{table} before update or delete on {table} for each row execute function keep_{table}()
--
create trigger keep_{table}_whole before truncate on {table} for each statement execute function keep_{table}()
"""


def run_migrations(metadata: MetaData) -> None:
    """What each service's ``migrations/env.py`` does: upgrade on the connection that ``migrate`` opened."""
    from alembic import context

    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
