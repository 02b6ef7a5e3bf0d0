"""What enterprises are called, for lists that name them by code."""

from collections.abc import Iterable

from sqlalchemy import ARRAY, Text, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.tables import cases

_CODES = bindparam("codes", type_=ARRAY(Text))
_NAMES = select(cases.c.uscc, cases.c.name).where(
    cases.c.scheme == bindparam("of_scheme"), cases.c.uscc == any_(_CODES)
)


async def names_of(connection: AsyncConnection, scheme: str, codes: Iterable[str | None]) -> dict[str, str]:
    """Names by unified social credit code, of those that are known."""
    wanted = sorted({code for code in codes if code})
    if not wanted:
        return {}
    found = await connection.execute(_NAMES, {"of_scheme": scheme, "codes": wanted})
    return {row.uscc: row.name for row in found}
