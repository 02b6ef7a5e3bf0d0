"""One's own account, an organisation's users and tokens: who may change what, and what ends with it."""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.auth import tokens
from services.gateway.tables import actions, sessions
from shared.clock import Clock
from tests.gateway.console import PASSWORD, LateClock, application, browser, person, sign_in, signed_in, text_of

NEW = "A-brand-new-secret-9"


@pytest.fixture
def app(engine: AsyncEngine) -> FastAPI:
    return application(engine)


@pytest.fixture(autouse=True)
def on_time() -> Iterator[None]:
    LateClock.late = timedelta(0)
    yield
    LateClock.late = timedelta(0)


@pytest.fixture
async def admin(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator of bank-a, beside users of bank-a and bank-b."""
    await person(engine, "boss", "bank-a", "officer", "admin")
    await person(engine, "clerk", "bank-a", "officer")
    await person(engine, "stranger", "bank-b", "officer", "admin")
    async with signed_in(app, "boss") as client:
        yield client


# -- sessions ----------------------------------------------------------------------------------------------------


async def works(client: httpx.AsyncClient) -> bool:
    return (await client.get("/account")).status_code == 200


async def test_a_session_ends_when_nothing_is_asked_for_half_an_hour(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    async with signed_in(app, "li") as client:
        for minutes in (29, 58, 87):
            LateClock.late = timedelta(minutes=minutes)
            assert await works(client), f"used at {minutes} minutes"
        LateClock.late = timedelta(minutes=118)
        assert not await works(client)


async def test_a_session_ends_after_twelve_hours_however_much_it_is_used(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    async with signed_in(app, "li") as client:
        for minutes in range(20, 12 * 60, 20):
            LateClock.late = timedelta(minutes=minutes)
            assert await works(client)
        LateClock.late = timedelta(minutes=12 * 60 + 1)
        assert not await works(client)


async def test_a_page_left_open_does_not_keep_its_session_alive(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    async with signed_in(app, "li") as client:
        for minutes in (10, 20, 29):
            LateClock.late = timedelta(minutes=minutes)
            assert (await client.get("/account", headers={"X-Requested-With": "live"})).status_code == 200
        LateClock.late = timedelta(minutes=31)
        assert not await works(client)


async def test_the_time_of_last_use_is_written_at_most_once_a_minute(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    async with signed_in(app, "li") as client, engine.connect() as connection:
        seen = []
        for seconds in (0, 30, 61, 90):
            LateClock.late = timedelta(seconds=seconds)
            assert await works(client)
            seen.append((await connection.execute(select(sessions.c.seen_at))).scalar_one())
            await connection.rollback()
    assert seen[0] == seen[1] < seen[2] == seen[3]


async def test_own_sessions_are_listed_and_ended_and_nobody_elses(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    await person(engine, "wu", "drc", "officer")
    async with signed_in(app, "li") as here, signed_in(app, "li") as there, signed_in(app, "wu") as other:
        page = (await here.get("/account")).text
        listed = re.findall(r'name="session" value="([0-9a-f]{64})"', page)
        assert len(listed) == 1 and "本机" in page, "the other one; this one is marked"
        await other.post("/account/sessions", data={"session": listed[0]})
        assert await works(there), "it is not wu's to end"
        await here.post("/account/sessions", data={"session": listed[0]})
        assert not await works(there) and await works(here) and await works(other)


async def test_all_other_sessions_end_at_once(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    async with signed_in(app, "li") as here, signed_in(app, "li") as one, signed_in(app, "li") as two:
        await here.post("/account/sessions", data={"session": "others"})
        assert await works(here) and not await works(one) and not await works(two)


# -- the password ------------------------------------------------------------------------------------------------


async def change(client: httpx.AsyncClient, old: str, new: str, again: str = "") -> httpx.Response:
    return await client.post("/account/password", data={"old": old, "new": new, "again": again or new})


async def test_a_seeded_password_must_be_changed_before_anything_else(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer", "admin", must_change=True)
    async with browser(app) as client:
        assert (await sign_in(client, "li", next="/users")).headers["location"] == "/account/password"
        for path in ("/account", "/users", "/tokens", "/permissions"):
            assert (await client.get(path)).headers["location"] == "/account/password"
        made = await client.post("/users", data={"login": "x", "name": "x", "roles": "head"})
        assert made.headers["location"] == "/account/password"
        assert (await change(client, PASSWORD, NEW)).headers["location"] == "/"
        assert (await client.get("/users")).status_code == 200
    async with browser(app) as client:
        assert (await sign_in(client, "li")).status_code == 401
        assert (await sign_in(client, "li", NEW)).headers["location"] == "/"


async def test_a_new_password_ends_every_other_session_and_gives_this_one_a_new_cookie(
    app: FastAPI, engine: AsyncEngine
) -> None:
    await person(engine, "li", "drc", "officer")
    async with signed_in(app, "li") as here, signed_in(app, "li") as there:
        before = here.cookies["riskpool"]
        assert (await change(here, PASSWORD, NEW)).status_code == 303
        assert here.cookies["riskpool"] != before
        assert await works(here) and not await works(there)
        here.cookies.set("riskpool", before)
        assert not await works(here)


@pytest.mark.parametrize(
    ("old", "new", "again", "said"),
    [
        (PASSWORD, "short", "short", "至少 12 个字符"),
        (PASSWORD, "password1234", "password1234", "过于常见"),
        (PASSWORD, PASSWORD, PASSWORD, "不能与当前密码相同"),
        (PASSWORD, NEW, NEW + "x", "不一致"),
        ("wrong", NEW, NEW, "当前密码不正确"),
    ],
)
async def test_a_bad_change_says_why_and_changes_nothing(
    app: FastAPI, engine: AsyncEngine, old: str, new: str, again: str, said: str
) -> None:
    await person(engine, "li", "drc", "officer")
    async with signed_in(app, "li") as client:
        answer = await change(client, old, new, again)
        assert answer.status_code in (401, 422) and said in text_of(answer)
        assert NEW not in answer.text
    async with signed_in(app, "li") as client:
        assert await works(client)


async def test_who_found_an_open_browser_cannot_guess_the_password_for_ever(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    async with signed_in(app, "li") as client:
        for _ in range(5):
            await change(client, "wrong", NEW)
        assert (await change(client, PASSWORD, NEW)).status_code == 401


# -- organisations ---------------------------------------------------------------------------------------------------


async def test_a_person_with_two_organisations_chooses_and_comes_back_to_the_last(
    app: FastAPI, engine: AsyncEngine
) -> None:
    await person(engine, "li", "drc", "officer")
    await person(engine, "li", "finance", "head")
    async with signed_in(app, "li") as client:
        assert re.search(r'value="yanqing/drc" required checked', (await client.get("/account")).text)
        before = client.cookies["riskpool"]
        answer = await client.post("/account/membership", data={"membership": "yanqing/finance"})
        assert answer.headers["location"] == "/" and client.cookies["riskpool"] != before
    async with signed_in(app, "li") as client:
        page = (await client.get("/account")).text
        assert re.search(r'value="yanqing/finance" required checked', page)


@pytest.mark.parametrize("chosen", ["yanqing/government", "other/drc", "", "yanqing", "yanqing/finance"])
async def test_nobody_chooses_an_organisation_without_a_role_there(
    app: FastAPI, engine: AsyncEngine, chosen: str
) -> None:
    await person(engine, "li", "drc", "officer")
    await person(engine, "li", "finance")
    async with signed_in(app, "li") as client:
        assert (await client.post("/account/membership", data={"membership": chosen})).status_code == 403


# -- users -------------------------------------------------------------------------------------------------------


def once(answer: httpx.Response) -> str:
    found = re.search(r'class="once">([^<]+)<', answer.text)
    assert found, answer.text
    return found[1]


async def test_an_admin_adds_a_user_whose_password_is_shown_once(app: FastAPI, admin: httpx.AsyncClient) -> None:
    made = await admin.post("/users", data={"login": "New.Clerk", "name": "新员工", "roles": ["officer", "head"]})
    password = once(made)
    assert made.headers["cache-control"] == "no-store"
    assert password not in (await admin.get("/users")).text
    async with browser(app) as client:
        assert (await sign_in(client, "new.clerk", password)).headers["location"] == "/account/password"
        await change(client, password, NEW)
        page = text_of(await client.get("/account"))
        assert "新员工" in page and "bank-a" in page


async def test_an_admin_sees_own_users_only(admin: httpx.AsyncClient) -> None:
    page = (await admin.get("/users")).text
    assert "clerk" in page and "stranger" not in page


@pytest.mark.parametrize("what", ["roles", "password", "disabled"])
async def test_an_admin_cannot_touch_another_organisations_users(
    app: FastAPI, admin: httpx.AsyncClient, what: str
) -> None:
    answer = await admin.post(f"/users/stranger/{what}", data={"roles": "auditor", "disabled": "true"})
    assert answer.status_code == 404
    async with signed_in(app, "stranger") as client:
        assert (await client.get("/users")).status_code == 200


async def test_a_login_that_another_organisation_uses_is_not_taken_over(app: FastAPI, admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/users", data={"login": "stranger", "name": "x", "roles": "officer"})
    assert answer.status_code == 409 and "已被使用" in answer.text
    async with signed_in(app, "stranger") as client:
        assert 'name="membership"' not in (await client.get("/account")).text


@pytest.mark.parametrize("path", ["/users", "/tokens"])
async def test_only_admins_keep_users_and_tokens(app: FastAPI, engine: AsyncEngine, path: str) -> None:
    await person(engine, "clerk", "bank-a", "officer", "head", "auditor")
    async with signed_in(app, "clerk") as client:
        assert (await client.get(path)).status_code == 403
        answer = await client.post(path, data={"login": "x", "name": "x", "roles": "admin", "note": "x", "days": "30"})
        assert answer.status_code == 403
        assert (await client.post("/users/clerk/roles", data={"roles": "admin"})).status_code == 403


async def test_a_disabled_user_is_out_at_once_and_may_come_back(app: FastAPI, admin: httpx.AsyncClient) -> None:
    async with signed_in(app, "clerk") as client:
        await admin.post("/users/clerk/disabled", data={"disabled": "true"})
        assert not await works(client)
        assert (await sign_in(client, "clerk")).status_code == 401
        await admin.post("/users/clerk/disabled", data={"disabled": "false"})
        assert (await sign_in(client, "clerk")).status_code == 303


async def test_changed_roles_count_from_the_next_page(app: FastAPI, admin: httpx.AsyncClient) -> None:
    async with signed_in(app, "clerk") as client:
        assert (await client.get("/users")).status_code == 403
        await admin.post("/users/clerk/roles", data={"roles": ["officer", "admin"]})
        assert (await client.get("/users")).status_code == 200


async def test_a_reset_password_ends_sessions_and_must_be_changed(app: FastAPI, admin: httpx.AsyncClient) -> None:
    async with signed_in(app, "clerk") as client:
        password = once(await admin.post("/users/clerk/password"))
        assert not await works(client)
        assert (await sign_in(client, "clerk")).status_code == 401
        assert (await sign_in(client, "clerk", password)).headers["location"] == "/account/password"


async def test_who_works_for_two_organisations_loses_only_this_one(
    app: FastAPI, engine: AsyncEngine, admin: httpx.AsyncClient
) -> None:
    await person(engine, "stranger", "bank-a", "officer")
    assert (await admin.post("/users/stranger/password")).status_code == 403
    assert (await admin.post("/users/stranger/disabled", data={"disabled": "true"})).status_code == 303
    assert "stranger" not in (await admin.get("/users")).text
    async with signed_in(app, "stranger") as client:
        assert await works(client)


async def test_nobody_shuts_the_door_behind_themselves(admin: httpx.AsyncClient) -> None:
    assert (await admin.post("/users/boss/disabled", data={"disabled": "true"})).status_code == 422
    for roles in ("officer", ["officer", "head", "admin"]):
        assert (await admin.post("/users/boss/roles", data={"roles": roles})).status_code == 422
    assert (await admin.get("/users")).status_code == 200


async def test_changes_of_users_are_recorded(engine: AsyncEngine, admin: httpx.AsyncClient) -> None:
    await admin.post("/users", data={"login": "new", "name": "新", "roles": "officer"})
    await admin.post("/users/new/roles", data={"roles": "head"})
    await admin.post("/users/new/password")
    await admin.post("/users/new/disabled", data={"disabled": "true"})
    async with engine.connect() as connection:
        query = select(actions.c.action, actions.c.about, actions.c.organisation).order_by(actions.c.id)
        rows = (await connection.execute(query.where(actions.c.action != "sign-in"))).all()
    assert rows == [(f"users.{what}", "new", "bank-a") for what in ("add", "roles", "password", "disable")]


# -- tokens ------------------------------------------------------------------------------------------------------


async def test_an_admin_makes_a_token_that_is_shown_once_and_revokes_it(
    engine: AsyncEngine, admin: httpx.AsyncClient
) -> None:
    token = once(await admin.post("/tokens", data={"note": "核心系统", "days": "90"}))
    page = (await admin.get("/tokens")).text
    assert token not in page and "核心系统" in page
    async with engine.connect() as connection:
        assert await tokens.holder_of(connection, token, Clock.now()) == tokens.Holder("yanqing", "bank-a")
        assert await tokens.holder_of(connection, token, Clock.now() + timedelta(days=91)) is None
        identifier = re.search(r"/tokens/([0-9a-f]+)/revoked", page)
        assert identifier and (await admin.post(identifier[0])).status_code == 303
        assert await tokens.holder_of(connection, token, Clock.now()) is None


async def test_another_organisations_tokens_are_neither_seen_nor_revoked(
    engine: AsyncEngine, admin: httpx.AsyncClient
) -> None:
    async with engine.begin() as connection:
        identifier, token = await tokens.create(connection, "yanqing", "bank-b", "theirs")
    assert "theirs" not in (await admin.get("/tokens")).text
    assert (await admin.post(f"/tokens/{identifier}/revoked")).status_code == 404
    async with engine.connect() as connection:
        assert await tokens.holder_of(connection, token, Clock.now()) is not None


@pytest.mark.parametrize("wrong", [{"note": "", "days": "30"}, {"note": "x", "days": "99999"}, {"note": "x" * 201}])
async def test_a_token_has_a_purpose_and_an_end(admin: httpx.AsyncClient, wrong: dict[str, str]) -> None:
    assert (await admin.post("/tokens", data=wrong)).status_code == 422
