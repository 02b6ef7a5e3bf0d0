"""What the migrations make is what the tables say, and the services' roles may not rewrite history."""

import ast
import asyncio
import importlib
import re
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from riskpool.services import SERVICES
from shared.database import ROOT, migrate
from shared.messaging import tables as core


@pytest.fixture(scope="module", params=SERVICES)
def migrated(request: pytest.FixtureRequest, postgres: Any) -> tuple[str, str, str]:
    """(service, its migrated database as its owner, the same as its role)."""
    role = f"role_{request.param}"
    postgres.role(role)
    owner_url = postgres.database()
    migrate(request.param, owner_url, role)
    database = owner_url.rsplit("/", 1)[1]
    return request.param, owner_url, postgres.url(database, role)


def differences(connection: Connection, service: str) -> list[Any]:
    """What Alembic would still change."""
    rooms = [f"services.{service}.tables", *(["services.gateway.projections.tables"] if service == "gateway" else [])]
    own = [importlib.import_module(room) for room in rooms][-1].metadata
    both: Any = [own, core.metadata]
    return list(compare_metadata(MigrationContext.configure(connection), both))


async def on(url: str, work: Any) -> Any:
    """Run something on one connection."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def test_migrations_make_exactly_the_tables(migrated: tuple[str, str, str]) -> None:
    service, owner_url, _ = migrated
    found = asyncio.run(on(owner_url, lambda connection: differences(connection, service)))
    assert [d for d in found if d[0] not in ("remove_table",) or d[1].name != "alembic_version"] == []


def test_an_older_version_leaves_a_newer_database_as_it_is(postgres: Any) -> None:
    url = postgres.database()
    postgres.role("role_pool")
    migrate("pool", url, "role_pool")
    name = url.rsplit("/", 1)[1]
    postgres.sql(name, "update alembic_version set version_num = '9999'")
    with pytest.raises(RuntimeError, match="of a newer version than this program"):
        migrate("pool", url, "role_pool")
    assert postgres.sql(name, "select version_num from alembic_version") == "9999"


@pytest.mark.parametrize(
    "statement", ["delete from outbox", "truncate inbox", "drop table outbox", "delete from answers"]
)
def test_a_service_may_not_rewrite_history(statement: str, migrated: tuple[str, str, str]) -> None:
    _, _, role_url = migrated
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        asyncio.run(on(role_url, lambda connection: connection.execute(text(statement))))


def test_a_migration_adds_or_says_that_it_takes_away() -> None:
    before = {"pool/migrations/versions/0002_journal.py", "pool/migrations/versions/0004_party_days.py"}
    taking = re.compile(r"drop_(table|column)|drop (table|column)|rename|alter_column", re.IGNORECASE)
    for file in (ROOT / "services").glob("*/migrations/versions/*.py"):
        text = file.read_text()
        if taking.search(text) and not any(str(file).endswith(one) for one in before):
            assert "contract" in (ast.get_docstring(ast.parse(text)) or ""), file


@pytest.mark.parametrize("change", ["payload = '[]'", "position = 2", "sha256 = 'x'", "recorded_at = now()"])
def test_not_even_the_owner_changes_an_announced_event(change: str, migrated: tuple[str, str, str]) -> None:
    _, owner_url, _ = migrated

    def rewrite(connection: Connection) -> None:
        columns = "event_id, scheme, stream, subject, name, payload, recorded_at, position, sha256"
        row = "'e', 's', 'EVENTS', 'x', 'n', '{}', '2026-01-05', 1, ''"
        connection.execute(text(f"insert into outbox ({columns}) values ({row})"))
        connection.execute(text("update outbox set published_at = now()"))
        connection.execute(text(f"update outbox set {change}"))

    with pytest.raises(DBAPIError, match="append-only"):
        asyncio.run(on(owner_url, rewrite))
