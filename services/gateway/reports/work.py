"""Making the reports asked for: one at a time over all gateways, begun again when a gateway ended meanwhile."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.documents.files import Files
from services.gateway.reports.asked import Asked
from services.gateway.reports.making import make, scheme_of
from services.gateway.reports.period import parse_period
from services.gateway.reports.report import Unreconciled
from services.gateway.tables import report_jobs
from shared.messaging.leading import lead_when_free
from shared.messaging.service import Service
from shared.scheme.loader import Scheme

log = logging.getLogger("riskpool.gateway")
LOOK_SECONDS = 0.5
_LOCK = 0x7265706F727473  # "reports": who holds it makes them


async def keep_making(service: Service, files: Files | None = None) -> None:
    """Make what is asked for as long as the gateway runs."""
    room = files or Files.from_environment()
    await lead_when_free(service.engine, _LOCK, lambda holding: _as_leader(service, holding, room))


async def _as_leader(service: Service, holding: AsyncConnection, room: Files) -> None:
    left = update(report_jobs).where(report_jobs.c.state == "running").values(state="queued", progress=0)
    await holding.execute(left)
    while True:
        if not await make_next(service, holding, room):
            await asyncio.sleep(LOOK_SECONDS)


async def make_next(service: Service, connection: AsyncConnection, room: Files) -> bool:
    """Make the report asked for first; False when none waits."""
    table = report_jobs
    oldest = select(table).where(table.c.state == "queued").order_by(table.c.requested_at, table.c.id).limit(1)
    job = (await connection.execute(oldest)).one_or_none()
    if job is None:
        return False

    async def tell(**values: Any) -> None:
        await connection.execute(update(table).where(table.c.id == job.id).values(**values))

    async def told(percent: int) -> None:
        await tell(progress=percent)

    await tell(state="running")
    try:
        async with service.engine.connect() as reading:
            made = await make(reading, await asked_of(service.schemes, reading, job), job.format, told)
        await tell(state="done", progress=100, sha256=await room.keep_bytes(made.content), name=made.name)
    except Unreconciled as error:
        log.error("a report does not tie to the ledger", extra={"report": job.id, "error": str(error)})
        await tell(state="failed", error="unreconciled")
    except Exception:
        log.exception("a report could not be made", extra={"report": job.id})
        await tell(state="failed", error="internal")
    return True


async def asked_of(schemes: Mapping[str, Scheme], connection: AsyncConnection, job: Row[Any]) -> Asked:
    """What a recorded report is to be made of, with the scheme of its day."""
    scheme = await scheme_of(connection, schemes[job.scheme], job.scheme_version)
    return Asked(job.kind, parse_period(job.period), job.organisation, job.language, scheme, job.ends_at)
