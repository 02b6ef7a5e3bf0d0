"""Business days are announced once, in order, with none left out, whoever asks and however often."""

import asyncio
import json
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway import business_days
from services.gateway.business_days import announce_through, current_day, keep_announcing
from shared.clock import Clock, business_date
from shared.messaging.service import Service
from shared.messaging.tables import outbox, schemes
from shared.scheme.loader import load_schemes
from tests.gateway.story import SCHEME, day


@pytest.fixture
async def service(engine: AsyncEngine) -> Service:
    service = Service(name="gateway")
    service.engine, service.schemes, service.clock = engine, load_schemes(), Clock("server")
    async with engine.begin() as connection:
        await connection.execute(insert(schemes).values(scheme=SCHEME, version="v"))
    return service


async def announced(service: Service) -> list[str]:
    """The dates of the events, in the order of the outbox."""
    async with service.engine.connect() as connection:
        payloads = (await connection.execute(select(outbox.c.payload).order_by(outbox.c.id))).scalars()
    envelopes: list[dict[str, Any]] = [json.loads(payload) for payload in payloads]
    assert all(one["time"] == f"{one['data']['date']}T00:00:00+08:00" for one in envelopes)
    return [one["data"]["date"] for one in envelopes]


async def test_the_first_call_announces_that_day_only_and_later_ones_every_day_between(service: Service) -> None:
    assert await announce_through(service, SCHEME, day("2026-02-27")) == [day("2026-02-27")]
    assert await announce_through(service, SCHEME, day("2026-03-02")) == [
        day("2026-02-28"),
        day("2026-03-01"),
        day("2026-03-02"),
    ]
    assert await announced(service) == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]


async def test_a_day_that_has_passed_is_not_announced_again(service: Service) -> None:
    await announce_through(service, SCHEME, day("2026-03-02"))
    assert await announce_through(service, SCHEME, day("2026-03-02")) == []
    assert await announce_through(service, SCHEME, day("2026-02-01")) == []
    assert await announced(service) == ["2026-03-02"]


async def test_many_at_once_announce_each_day_once_and_in_order(service: Service) -> None:
    start = day("2026-01-01")
    await announce_through(service, SCHEME, start)
    await asyncio.gather(*(announce_through(service, SCHEME, start + timedelta(days=20 - n % 3)) for n in range(8)))
    assert await announced(service) == [str(start + timedelta(days=n)) for n in range(21)]


async def test_with_the_servers_clock_the_days_missed_while_down_are_announced(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = business_date(service.clock.now())
    await announce_through(service, SCHEME, today - timedelta(days=3))
    task = asyncio.create_task(keep_announcing(service))
    async with asyncio.timeout(10):
        while await current_day(service, SCHEME) != today:
            await asyncio.sleep(0.02)
    task.cancel()
    assert await announced(service) == [str(today - timedelta(days=n)) for n in (3, 2, 1, 0)]


async def test_announcing_goes_on_after_the_database_was_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(business_days, "RETRY_SECONDS", 0.01)
    engine, service.engine = service.engine, None  # type: ignore[assignment]
    task = asyncio.create_task(keep_announcing(service))
    await asyncio.sleep(0.05)
    service.engine = engine
    async with asyncio.timeout(10):
        while await current_day(service, SCHEME) is None:
            await asyncio.sleep(0.02)
    task.cancel()
    assert [date.fromisoformat(text) for text in await announced(service)] == [business_date(service.clock.now())]
