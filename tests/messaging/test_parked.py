"""What a service answers about its parked messages to who may see some schemes only."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import create_async_engine

from shared.messaging.parked import Parked
from shared.messaging.tables import parked
from tests.conftest import Postgres
from tests.messaging.outside import make_database

SUBJECTS = ("events.yanqing.review.LoanCovered", "events.other.review.LoanCovered", "partners.bank-a.nonsense")


class Asker:
    """Asks as the gateway does for the operator of one scheme of two, or as the command line, for all."""

    def __init__(self, service: Parked) -> None:
        self.service = service

    async def ask(self, do: str, **asked: Any) -> dict[str, Any]:
        told = {"do": do, "without": ["other"], "by": "who asks", "reason": "why", **asked}
        return dict(json.loads(await self.service.answer(json.dumps(told).encode(), "parked.review")))

    async def ids(self, **asked: Any) -> dict[str, str]:
        return {one["subject"]: one["id"] for one in (await self.ask("list", **asked))["items"]}


@pytest.fixture
async def asker(postgres: Postgres) -> AsyncIterator[Asker]:
    engine = create_async_engine(await asyncio.to_thread(make_database, postgres))
    row = {"consumer": "events", "stream": "EVENTS", "message_id": "m", "headers": {}, "body": b"x", "error": "e"}
    async with engine.begin() as connection:
        rows = [{**row, "trace": "", "stream_seq": n, "subject": subject} for n, subject in enumerate(SUBJECTS)]
        await connection.execute(parked.insert().values(rows))
    yield Asker(Parked(engine, Client(), lambda consumer: None))
    await engine.dispose()


async def test_what_is_of_another_scheme_is_neither_seen_nor_settled(asker: Asker) -> None:
    everything = await asker.ids(without=[])
    assert set(everything) == set(SUBJECTS) and set(await asker.ids()) == {SUBJECTS[0], SUBJECTS[2]}
    for do in ("look", "show", "replay", "discard"):
        assert await asker.ask(do, id=everything[SUBJECTS[1]]) == {"refused": "unknown"}
    assert await asker.ask("discard_many", consumer="events") == {"discarded": 2, "more": False}
    assert set(await asker.ids(without=[])) == {SUBJECTS[1]}


async def test_one_is_settled_once(asker: Asker) -> None:
    identifier = (await asker.ids())[SUBJECTS[0]]
    assert (await asker.ask("discard", id=identifier))["settled_by"] == "who asks"
    for do in ("discard", "replay"):
        assert await asker.ask(do, id=identifier) == {"refused": "settled"}
    assert await asker.ask("discard", id="0" * 16) == {"refused": "unknown"}
