"""Where a command finds the pool's database: a running stack's, or the one that the environment names."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from riskpool.place import find_running
from riskpool.supervisor import StackError
from riskpool.token import fail
from shared.database import address_in

T = TypeVar("T")
Data = Annotated[Path, typer.Option(help="Data directory of the running stack, unless RISKPOOL_DATABASE_URL is set.")]
SchemeId = Annotated[str, typer.Option("--scheme", help="The scheme whose fund it is.")]
DEFAULT_DATA = Path(".riskpool")


def in_pool(data: Path, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """Do something with the pool's database; in words and with exit 1 when it cannot be reached."""

    async def done(url: str) -> T:
        engine = create_async_engine(url)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        url = address_in("RISKPOOL_DATABASE_URL") or str(find_running(data)["databases"]["pool"])
        return asyncio.run(done(url))
    except StackError as error:
        fail(str(error))
    except (OSError, SQLAlchemyError) as error:
        fail(f"the pool's database cannot be read or written: {error}")
