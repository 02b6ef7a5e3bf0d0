"""`riskpool user`: people added, given a new password and disabled from the command line, as an operator does."""

import asyncio
from dataclasses import replace

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from riskpool.user import app as command
from services.gateway.auth.first_accounts import seed
from services.gateway.tables import accounts, memberships
from shared.scheme.loader import load_scheme
from tests.gateway.console import application, browser, sign_in, signed_in


@pytest.fixture
def app(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    return application(engine)


async def run(*arguments: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, command, list(arguments))
    return result.exit_code, result.output.strip()


async def test_a_person_is_added_reset_and_disabled(app: FastAPI) -> None:
    code, said = await run("add", "Wang", "--organisation", "bank-a", "--role", "officer", "--role", "admin")
    assert code == 0
    async with browser(app) as client:
        assert (await sign_in(client, "wang", said.split()[-1])).headers["location"] == "/account/password"
        assert (await run("list"))[1] == "wang\tyanqing\tbank-a\tofficer,admin\tinitial\twang"
        new = (await run("reset", "wang"))[1].split()[-1]
        assert (await client.get("/account/password")).status_code == 303, "the session ended with the old password"
        assert (await sign_in(client, "wang", new)).status_code == 303
        assert (await run("disable", "wang"))[0] == 0
        assert (await client.get("/account/password")).status_code == 303
        assert (await sign_in(client, "wang", new)).status_code == 401
        assert (await run("disable", "--enable", "wang"))[0] == 0
        assert (await sign_in(client, "wang", new)).status_code == 303


async def test_a_known_person_gets_a_membership_and_keeps_the_password(app: FastAPI) -> None:
    _, said = await run("add", "li", "--organisation", "drc", "--role", "officer")
    code, more = await run("add", "li", "--organisation", "finance", "--role", "head")
    assert code == 0 and "password" not in more and "now also: head of finance" in more
    async with browser(app) as client:
        assert (await sign_in(client, "li", said.split()[-1])).status_code == 303


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "li", "--organisation", "drc", "--role", "king"),
        ("add", "l i", "--organisation", "drc", "--role", "head"),
        ("add", "li", "--organisation", "../drc", "--role", "head"),
        ("add", "li", "--organisation", "drc"),
        ("reset", "nobody"),
        ("disable", "nobody"),
    ],
)
@pytest.mark.usefixtures("app")
async def test_what_cannot_be_is_said_and_nothing_changes(engine: AsyncEngine, arguments: tuple[str, ...]) -> None:
    assert (await run(*arguments))[0] != 0
    async with engine.connect() as connection:
        assert (await connection.execute(select(accounts))).all() == []


async def test_the_first_start_makes_one_account_of_every_organisation_and_only_once(
    app: FastAPI, engine: AsyncEngine
) -> None:
    scheme = load_scheme("yanqing")
    async with engine.begin() as connection:
        password = await seed(connection, [scheme], {"yanqing": ["bank-a", "custodian", "bank-a"]})
        assert password is not None
        assert await seed(connection, [scheme], {}) is None, "there are accounts already"
        query = select(accounts.c.login, accounts.c.must_change, memberships.c.organisation, memberships.c.roles)
        query = query.join(memberships, memberships.c.account == accounts.c.id)
        made = {row.login: row for row in await connection.execute(query)}
    extra = {"drc-officer", "finance-officer", "auditor", "operator"}
    assert set(made) == {*scheme.organisations, "bank-a", "custodian", *extra}
    assert all(row.must_change for row in made.values())
    assert made["drc"].roles == ["officer", "head", "admin"] and made["auditor"].roles == ["auditor"]
    assert (made["auditor"].organisation, made["operator"].organisation) == ("drc", "operator")
    async with signed_in(app, "bank-a", password) as client:
        assert (await client.get("/users")).headers["location"] == "/account/password"


async def test_logins_of_a_second_scheme_carry_its_name(engine: AsyncEngine) -> None:
    first = load_scheme("yanqing")
    second = replace(first, id="other")
    async with engine.begin() as connection:
        await seed(connection, [first, second], {"other": ["bank-a"]})
        query = select(memberships.c.scheme, accounts.c.login).join(accounts, accounts.c.id == memberships.c.account)
        found = {(row.scheme, row.login) for row in await connection.execute(query)}
    assert {("yanqing", "drc"), ("other", "drc@other"), ("other", "bank-a@other")} <= found
    assert ("yanqing", "bank-a") not in found
