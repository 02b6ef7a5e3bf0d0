"""Who did what when: rows of ``actions``, written in the transaction of what was done."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.callers import Caller
from services.gateway.tables import actions


async def keep(
    connection: AsyncConnection,
    caller: Caller,
    now: datetime,
    action: str,
    about: str,
    outcome: str = "accepted",
    *,
    rule: str | None = None,
    caused: Sequence[str] = (),
) -> None:
    """A person or system did something for its organisation, or was refused by a rule; ``caused`` are events' ids."""
    row = {"scheme": caller.scheme.id, "organisation": caller.organisation, "account": caller.account}
    values = {"at": now, "action": action, "about": about[:200], "outcome": outcome, "rule": rule}
    await connection.execute(insert(actions).values(**row, **values, events=list(caused)))
