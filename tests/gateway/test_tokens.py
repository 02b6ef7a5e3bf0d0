"""Tokens stand for an organisation in one scheme until they are revoked or expire; only their hash is kept."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typer.testing import CliRunner

from riskpool.token import app
from services.gateway.auth import tokens
from services.gateway.tables import tokens as table
from shared.clock import Clock

NOW = Clock.now()


async def test_a_token_stands_for_its_organisation_and_is_not_kept(connection: AsyncConnection) -> None:
    _, token = await tokens.create(connection, "yanqing", "drc", "console")
    assert await tokens.holder_of(connection, token, NOW) == tokens.Holder("yanqing", "drc")
    assert await tokens.holder_of(connection, token[:-1], NOW) is None
    row = (await connection.execute(select(table))).one()
    assert token not in str(row) and bytes(row.sha256) == tokens.sha256_of(token)


async def test_a_revoked_token_stands_for_nobody(connection: AsyncConnection) -> None:
    identifier, token = await tokens.create(connection, "yanqing", "drc")
    assert await tokens.revoke(connection, identifier, NOW)
    assert await tokens.holder_of(connection, token, NOW) is None
    assert not await tokens.revoke(connection, identifier, NOW)


async def test_a_token_ends_on_time(connection: AsyncConnection) -> None:
    _, token = await tokens.create(connection, "yanqing", "drc", expires_at=NOW)
    assert await tokens.holder_of(connection, token, NOW - timedelta(seconds=1)) is not None
    assert await tokens.holder_of(connection, token, NOW) is None


@pytest.fixture
def database(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", engine.url.render_as_string(hide_password=False))


async def run(*arguments: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.usefixtures("database")
async def test_the_command_makes_lists_and_revokes(connection: AsyncConnection) -> None:
    code, token = await run("create", "bank-a", "--note", "core system", "--days", "30")
    assert code == 0
    assert await tokens.holder_of(connection, token.strip(), NOW) == tokens.Holder("yanqing", "bank-a")
    _, listed = await run("list")
    identifier, scheme, organisation, state, _, note = listed.strip().split("\t")
    assert (scheme, organisation, state, note) == ("yanqing", "bank-a", "valid", "core system")
    assert (await run("revoke", identifier))[0] == 0
    assert "\trevoked\t" in (await run("list", "--scheme", "yanqing"))[1]
    assert (await run("list", "--scheme", "other"))[1] == ""
    code, said = await run("revoke", identifier)
    assert code == 1 and "no valid token" in said


async def test_without_a_stack_the_command_says_how_to_start_one(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RISKPOOL_DATABASE_URL", raising=False)
    code, said = await run("create", "drc", "--data", str(tmp_path))
    assert code == 1 and "riskpool up" in said


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("organisation", ["a b", "../drc", "-x", "", "a.b", "a*"])
async def test_a_name_that_no_organisation_can_have_gets_no_token(organisation: str) -> None:
    code, _ = await run("create", "--", organisation)
    assert code != 0
