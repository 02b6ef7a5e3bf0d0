"""What enterprises are called, for lists that name them by code."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import cases


async def names_of(connection: AsyncConnection, scheme: str, codes: Iterable[str | None]) -> dict[str, str]:
    """Names by unified social credit code, of those that are known."""
    wanted = sorted({code for code in codes if code})
    if not wanted:
        return {}
    query = select(cases.c.uscc, cases.c.name).where(cases.c.scheme == scheme, cases.c.uscc.in_(wanted))
    return {row.uscc: row.name for row in await connection.execute(query)}
