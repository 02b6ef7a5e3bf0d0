"""Who did what when: rows of ``actions``, written in the transaction of what was done."""

from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.callers import Caller
from services.gateway.tables import actions


async def keep(connection: AsyncConnection, caller: Caller, now: datetime, action: str, about: str) -> None:
    """A person changed something of the organisation's own: users, tokens, a password."""
    row = {"scheme": caller.scheme.id, "organisation": caller.organisation, "account": caller.account}
    values = {"at": now, "action": action, "about": about[:200], "outcome": "accepted"}
    await connection.execute(insert(actions).values(**row, **values))
