"""Signing in with a name and a password: what is let in, what is locked out, and what nobody can learn from it."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.auth import passwords
from services.gateway.auth.throttle import MOST_ADDRESSES, Throttle
from services.gateway.auth.tokens import sha256_of
from services.gateway.tables import accounts, actions, sessions
from tests.gateway.console import HOST, PASSWORD, LateClock, application, browser, person, sign_in, signed_in, text_of


@pytest.fixture
def app(engine: AsyncEngine) -> FastAPI:
    return application(engine)


@pytest.fixture(autouse=True)
def on_time() -> Iterator[None]:
    LateClock.late = timedelta(0)
    yield
    LateClock.late = timedelta(0)


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(app) as client:
        yield client


async def test_a_person_signs_in_and_comes_to_the_page_that_was_asked_for(
    visitor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await person(engine, "li", "drc", "officer")
    asked = await visitor.get("/account?tab=1")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=/account%3Ftab%3D1")
    answer = await sign_in(visitor, " Li ", next="/account?tab=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?tab=1")
    assert (await visitor.get("/account")).status_code == 200


async def test_only_the_hash_of_the_cookie_is_kept_and_scripts_do_not_see_it(
    visitor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await person(engine, "li", "drc", "officer")
    cookie = (await sign_in(visitor, "li")).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
    async with engine.connect() as connection:
        kept = (await connection.execute(select(sessions))).one()
    assert bytes(kept.sha256) == sha256_of(visitor.cookies["riskpool"])
    assert visitor.cookies["riskpool"] not in str(kept)


async def test_over_https_the_cookie_is_bound_to_this_host(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    async with browser(app) as client:
        client.base_url = httpx.URL("https://console.test")
        cookie = (await sign_in(client, "li")).headers["set-cookie"]
    assert cookie.startswith("__Host-riskpool=") and "Secure" in cookie
    assert "Path=/" in cookie and "Domain" not in cookie


async def test_a_cookie_planted_before_the_sign_in_is_worth_nothing(
    visitor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await person(engine, "li", "drc", "officer")
    visitor.cookies.set("riskpool", "planted")
    await sign_in(visitor, "li")
    async with engine.connect() as connection:
        kept = (await connection.execute(select(sessions.c.sha256))).scalars().all()
    assert sha256_of("planted") not in [bytes(one) for one in kept]


async def test_every_refusal_looks_the_same_and_costs_the_same_work(
    visitor: httpx.AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await person(engine, "li", "drc", "officer")
    gone = await person(engine, "gone", "drc", "officer")
    async with engine.begin() as connection:
        await connection.execute(accounts.update().where(accounts.c.id == gone).values(disabled_at=LateClock().now()))
    verified: list[str] = []
    verify = passwords._verify

    def watched(password: str, kept: str) -> bool:
        verified.append(kept.split("$")[3])
        return verify(password, kept)

    monkeypatch.setattr(passwords, "_verify", watched)
    said = set()
    for login, password in (("li", "wrong"), ("nobody", "wrong"), ("gone", PASSWORD), ("gone", "wrong")):
        answer = await sign_in(visitor, login, password)
        assert answer.status_code == 401 and "set-cookie" not in answer.headers
        said.add(text_of(answer))
    assert len(said) == 1
    assert len(verified) == 4 and len(set(verified)) == 1, "one hash of the same cost each time"


async def test_five_failures_lock_an_account_and_more_of_them_for_longer(
    visitor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await person(engine, "li", "drc", "officer")
    for _ in range(5):
        assert (await sign_in(visitor, "li", "wrong")).status_code == 401
    assert (await sign_in(visitor, "li")).status_code == 401, "locked, though the password is right"
    LateClock.late = timedelta(minutes=16)
    assert (await sign_in(visitor, "li", "wrong")).status_code == 401
    LateClock.late = timedelta(minutes=32)
    assert (await sign_in(visitor, "li")).status_code == 401, "the second lock lasts thirty minutes"
    LateClock.late = timedelta(minutes=47)
    assert (await sign_in(visitor, "li")).status_code == 303
    async with engine.connect() as connection:
        assert (await connection.execute(select(accounts.c.failures, accounts.c.locked_until))).one() == (0, None)


async def test_guesses_while_locked_do_not_lock_for_longer(visitor: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    for _ in range(9):
        await sign_in(visitor, "li", "wrong")
    LateClock.late = timedelta(minutes=16)
    assert (await sign_in(visitor, "li")).status_code == 303


async def test_an_address_that_fails_often_waits_whatever_names_it_tries(
    visitor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await person(engine, "li", "drc", "officer")
    for number in range(30):
        assert (await sign_in(visitor, f"guess-{number}", "wrong")).status_code == 401
    refused = await sign_in(visitor, "li")
    assert refused.status_code == 429 and "15 分钟后再试" in refused.text
    LateClock.late = timedelta(minutes=16)
    assert (await sign_in(visitor, "li")).status_code == 303


async def test_sign_ins_are_recorded_but_never_what_was_typed_for_an_unknown_name(
    visitor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    account = await person(engine, "li", "finance", "officer")
    await sign_in(visitor, "li", "wrong")
    await sign_in(visitor, PASSWORD, "li")
    await sign_in(visitor, "li")
    async with engine.connect() as connection:
        query = select(actions.c.account, actions.c.organisation, actions.c.about, actions.c.outcome)
        rows = (await connection.execute(query.order_by(actions.c.id))).all()
    assert rows == [
        (account, "finance", "li", "refused"),
        (None, "", "", "refused"),
        (account, "finance", "li", "accepted"),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "http://evil.test"},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Referer": "http://evil.test/console.test"},
        {},
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/account/password", "/users"])
async def test_a_form_sent_from_elsewhere_is_turned_away(app: FastAPI, headers: dict[str, str], path: str) -> None:
    async with browser(app) as client:
        del client.headers["Sec-Fetch-Site"]
        answer = await client.post(path, data={"login": "li", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403 and "不是从本系统页面发出" in answer.text


@pytest.mark.parametrize("headers", [{"Origin": HOST}, {"Referer": f"{HOST}/sign-in"}, {"Sec-Fetch-Site": "none"}])
async def test_a_form_of_our_own_page_is_taken_by_old_browsers_too(
    app: FastAPI, engine: AsyncEngine, headers: dict[str, str]
) -> None:
    await person(engine, "li", "drc", "officer")
    async with browser(app) as client:
        del client.headers["Sec-Fetch-Site"]
        answer = await client.post("/sign-in", data={"login": "li", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 303


@pytest.mark.parametrize("back", ["//evil.test", "https://evil.test/", "/\\evil.test", "javascript:alert(1)", "/\r\nb"])
async def test_the_way_back_never_leads_elsewhere(visitor: httpx.AsyncClient, engine: AsyncEngine, back: str) -> None:
    await person(engine, "li", "drc", "officer")
    assert (await sign_in(visitor, "li", next=back)).headers["location"] == "/"


async def test_a_person_without_a_role_anywhere_is_told_so(visitor: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc")
    answer = await sign_in(visitor, "li")
    assert answer.status_code == 403 and "未在任何单位任职" in answer.text


async def test_signing_out_ends_the_session(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "officer")
    async with signed_in(app, "li") as client:
        cookie = client.cookies["riskpool"]
        assert (await client.post("/sign-out")).headers["location"] == "/sign-in"
        assert "riskpool" not in client.cookies
        client.cookies.set("riskpool", cookie)
        assert (await client.get("/account")).status_code == 303


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("short-1", "short"),
        ("x" * 201, "long"),
        ("zhangsan-1234", "login"),
        ("password12345", "common"),
        ("123456789012", "common"),
        ("aaaaaaaaaaaa", "common"),
        ("Riskpool-2026!", "common"),
        ("Correct-horse-7", None),
        ("山高水长天青月明风清云淡", None),
    ],
)
def test_what_may_be_chosen_as_a_password(password: str, fault: str | None) -> None:
    assert passwords.fault_of(password, "zhangsan") == fault


def test_made_passwords_may_be_chosen_and_differ() -> None:
    made = {passwords.made() for _ in range(50)}
    assert len(made) == 50 and not any(passwords.fault_of(one, "drc") for one in made)


def test_counting_addresses_needs_no_more_memory_than_it_was_given() -> None:
    throttle, now = Throttle(), LateClock().now()
    for number in range(MOST_ADDRESSES + 10):
        throttle.failed(f"2001:db8::{number:x}", now)
    assert len(throttle._failed) == MOST_ADDRESSES
    assert throttle.wait("2001:db8::1", now) is None
