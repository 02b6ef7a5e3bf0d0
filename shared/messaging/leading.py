"""Work that one replica of all does: who holds a session lock leads, and another takes over when it ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = logging.getLogger("riskpool.leading")
AGAIN_SECONDS = 2.0


async def lead_when_free(engine: AsyncEngine, lock: int, lead: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    """Do ``lead``, which ends only by an error, whenever nobody else holds the lock; it is given the connection.

    It should ask something of the connection now and then, so that it ends when the lock is lost.
    """
    while True:
        try:
            async with engine.connect() as connection:
                holding = await connection.execution_options(isolation_level="AUTOCOMMIT")
                if (await holding.execute(select(func.pg_try_advisory_lock(lock)))).scalar_one():
                    try:
                        await lead(holding)
                    finally:
                        await holding.invalidate()
        except Exception as error:
            log.warning("led work waits", extra={"lock": lock, "error": repr(error)[:300]})
        await asyncio.sleep(AGAIN_SECONDS)
