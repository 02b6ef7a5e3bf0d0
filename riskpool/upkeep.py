"""Where the console learns of backups and audits: a row in the gateway's database for each."""

import asyncio
import sys

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.gateway.tables import upkeep
from shared.clock import Clock


def note(gateway: str, kind: str, ok: bool, told: str) -> None:
    """Keep that a ``backup`` or an ``audit`` was made, and how it ended; where that cannot be kept it is only said."""
    try:
        asyncio.run(_write(gateway, {"kind": kind, "at": Clock.now(), "ok": ok, "told": told}))
    except (SQLAlchemyError, OSError) as error:
        print(f"控制台不会显示这次操作。 The console will not show this: {error}", file=sys.stderr)


async def _write(url: str, row: dict[str, object]) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(upkeep.insert().values(row))
    finally:
        await engine.dispose()
