"""A database that is away is answered with 503, to be tried again; a fault of ours with 500."""

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import NullPool, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

from services.gateway.api import problems


@pytest.mark.parametrize(("path", "status", "rule"), [("/closed", 503, "unavailable"), ("/wrong", 500, "internal")])
async def test_an_outage_is_told_from_a_fault(path: str, status: int, rule: str) -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/closed")
    async def closed() -> None:
        engine = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none", poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))

    @app.get("/wrong")
    async def wrong() -> None:
        raise ProgrammingError("select", {}, Exception("no such column"))

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.get(path)
    assert (response.status_code, response.json()["rule"]) == (status, rule)
    assert ("retry-after" in response.headers) is (status == 503)
