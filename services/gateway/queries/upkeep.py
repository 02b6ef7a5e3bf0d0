"""The last backup and the last audit, and when the next one is overdue."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import upkeep
from services.gateway.views import View

OLDEST = {"backup": timedelta(hours=26), "audit": timedelta(days=8)}


class UpkeepView(View):
    """The last backup or audit; ``ok`` is null when none was ever made."""

    kind: str
    at: datetime | None = None
    ok: bool | None = None
    told: str = ""


async def last_of_each(connection: AsyncConnection) -> list[UpkeepView]:
    """Every kind, also of what was never made."""
    query = select(upkeep).distinct(upkeep.c.kind).order_by(upkeep.c.kind, upkeep.c.at.desc())
    made = {row.kind: UpkeepView.model_validate(row._asdict()) for row in await connection.execute(query)}
    return [made.get(kind) or UpkeepView(kind=kind) for kind in OLDEST]
