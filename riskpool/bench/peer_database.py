"""A scratch database for one peer, beside the services' own, and how a program of libpq finds it."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
from sqlalchemy import URL, make_url


@contextlib.asynccontextmanager
async def scratch_database(owner_url: str, name: str) -> AsyncIterator[URL]:
    """A fresh, empty database ``riskpool_bench_<name>``, dropped on leaving."""
    database = f"riskpool_bench_{name}"
    url = make_url(owner_url)
    await execute(url, f"drop database if exists {database} with (force)", f"create database {database}")
    try:
        yield url.set(database=database)
    finally:
        await execute(url, f"drop database {database} with (force)")


async def execute(url: URL, *statements: str) -> None:
    """Statements one by one, each committed by itself."""
    async with _connection(url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def integers(url: URL, query: str) -> tuple[int, ...]:
    """The first row of a query for whole numbers."""
    async with _connection(url) as connection:
        row = await connection.fetchrow(query)
    assert row is not None
    return tuple(map(int, row))


def libpq(url: URL) -> dict[str, str]:
    """The environment variables by which pgbench, psycopg and node-postgres find a database."""
    return {
        "PGHOST": str(url.host), "PGPORT": str(url.port), "PGUSER": str(url.username), "PGPASSWORD": str(url.password),
        "PGDATABASE": str(url.database),
    }  # fmt: skip


@contextlib.asynccontextmanager
async def _connection(url: URL) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(address, ssl=False)
    try:
        yield connection
    finally:
        await connection.close()
