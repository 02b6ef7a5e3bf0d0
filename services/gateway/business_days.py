"""Business days: announced once a scheme, in order, none left out; the only source of time-driven decisions."""

import asyncio
import logging
from dataclasses import replace
from datetime import date, datetime, time, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import business_days
from shared.clock import SHANGHAI, business_date
from shared.contracts.gateway import BusinessDayStarted
from shared.messaging.service import Service

log = logging.getLogger("riskpool.gateway")
DAY = timedelta(days=1)
LONGEST_STEP_DAYS = 4000
AT_ONCE = 50
CHECK_SECONDS = 30.0
RETRY_SECONDS = 1.0


def midnight(day: date) -> datetime:
    """The first moment of a business day."""
    return datetime.combine(day, time.min, SHANGHAI)


async def newest_day(connection: AsyncConnection, scheme: str) -> date | None:
    """The scheme's current business day, or None before the first."""
    query = select(func.max(business_days.c.date)).where(business_days.c.scheme == scheme)
    found: date | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def current_day(service: Service, scheme: str) -> date | None:
    """The scheme's current business day as committed."""
    async with service.engine.connect() as connection:
        return await newest_day(connection, scheme)


async def announce_through(service: Service, scheme: str, day: date) -> list[date]:
    """Announce every day after the current one up to ``day``, some in one transaction; the first call only ``day``."""
    announced: list[date] = []
    last = await current_day(service, scheme)
    while last is None or last < day:
        following = last + DAY if last else day
        days = [following + DAY * more for more in range(min((day - following).days + 1, AT_ONCE))]
        async with service.unit(scheme, midnight(following)) as unit:
            found = await newest_day(unit.transaction.connection, scheme)
            if found == last:
                rows = [{"scheme": scheme, "date": one} for one in days]
                await unit.transaction.connection.execute(insert(business_days), rows)
                for one in days:
                    await replace(unit, now=midnight(one)).record((BusinessDayStarted(date=one),))
                announced += days
                found = days[-1]
        last = found
    return announced


async def keep_announcing(service: Service) -> None:
    """With the server's clock: announce days missed while down, then each new day as it begins in Asia/Shanghai."""
    while True:
        pause = min(CHECK_SECONDS, _seconds_to_midnight(service.clock.now()))
        try:
            today = business_date(service.clock.now())
            for scheme in sorted(service.schemes):
                await announce_through(service, scheme, today)
        except Exception as error:
            log.warning("business day not announced yet", extra={"error": repr(error)[:300]})
            pause = RETRY_SECONDS
        await asyncio.sleep(pause)


def _seconds_to_midnight(now: datetime) -> float:
    return max((midnight(business_date(now) + DAY) - now).total_seconds(), 0.0) + 0.05
