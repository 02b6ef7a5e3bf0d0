"""The pages about persons on a database of their own, and browsers that use them as people do: by their forms."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.api import problems
from services.gateway.api.events import Feed
from services.gateway.api.shutdown import Closing
from services.gateway.auth import people
from services.gateway.auth.own_pages import OwnPages
from services.gateway.console import account
from services.gateway.console.build import presenter
from services.gateway.console.shell import Shell
from shared.clock import Clock
from shared.messaging.service import Service
from shared.scheme.loader import load_scheme

HOST = "http://console.test"
PASSWORD = "Correct-horse-7"


class LateClock(Clock):
    """A clock that a test may put forward."""

    late = timedelta(0)

    def now(self) -> Any:  # type: ignore[override]
        """The moment that the test stands at."""
        return Clock.now() + LateClock.late


def application(engine: AsyncEngine) -> FastAPI:
    """The real pages, refusals and checks around one database."""
    service = Service(name="gateway")
    service.clock, service.engine = LateClock(), engine
    service.schemes = {"yanqing": load_scheme("yanqing")}
    app = FastAPI()
    shell = Shell(service, Feed(service, Closing()))
    problems.install(app, presenter(shell))
    app.include_router(account.routes(shell))
    app.add_middleware(OwnPages, present=presenter(shell))
    return app


def browser(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    """A browser with cookies of its own, standing on our pages."""
    sent = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "User-Agent": "Test browser", **headers}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST, headers=sent)


@asynccontextmanager
async def signed_in(app: FastAPI, login: str, password: str = PASSWORD) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in which a person has signed in."""
    async with browser(app) as client:
        answer = await sign_in(client, login, password)
        assert answer.status_code == 303, answer.text
        yield client


async def sign_in(client: httpx.AsyncClient, login: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    """Fill in the form and send it."""
    assert 'action="/sign-in"' in (await client.get("/sign-in")).text
    return await client.post("/sign-in", data={"login": login, "password": password, **more})


async def person(
    engine: AsyncEngine, login: str, organisation: str, *roles: str, must_change: bool = False, scheme: str = "yanqing"
) -> str:
    """An account with a role in an organisation; its id."""
    async with engine.begin() as connection:
        found = await people.account_of(connection, login)
        made = found.id if found else await people.add(connection, login, login, PASSWORD, must_change=must_change)
        assert made is not None
        await people.set_roles(connection, made, scheme, organisation, roles)
    return str(made)


def text_of(answer: httpx.Response) -> str:
    """What a person reads of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))
