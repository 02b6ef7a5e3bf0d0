"""Fifty people clicking through the console of ten thousand cases, and the same clicks on a plain page beside it."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx
from sqlalchemy import NullPool, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from riskpool.bench.many_cases import BANKS, BEFORE_PANEL, DEPARTMENTS, LIVES, SCHEME, bank_of, fill, stages, uscc_of
from riskpool.bench.plain import plain_server
from riskpool.bench.workload import DAY, FINANCE
from riskpool.scenario.doors import HttpDoor
from riskpool.scenario.runner import READER
from riskpool.stack import Stack
from riskpool.supervisor import StackError

PASSWORD = "grey-otter-71-counts-trains"
THINK_SECONDS = (2.0, 8.0)
PATIENCE_S = 30.0
PAGES = ("/", "/cases", "/cases/{uscc}", "/pool", "/claims", "/recoveries")
OF_A_BANK = tuple(page for page in PAGES if page != "/pool")
# Fifty people: who they work for, and how many of them.
STAFF = {READER: 16, FINANCE: 6, "government": 4, **dict.fromkeys(DEPARTMENTS, 2), **dict.fromkeys(BANKS, 7)}
PLAIN_ROW_BYTES = 130


@dataclass(frozen=True)
class Person:
    """Somebody signed in, the pages and the cases that are theirs, and their next clicks by chance."""

    client: httpx.AsyncClient
    pages: Sequence[str]
    lives: Sequence[int]
    chance: random.Random


class Console:
    """The gateway of a running stack, filled, with people signed in; and the plain page."""

    def __init__(self, people: list[Person], plain: httpx.AsyncClient, door: HttpDoor, copies: int) -> None:
        self._people, self._plain, self._door, self._copies = people, plain, door, copies
        self._numbers = itertools.count(1)
        self._page_bytes = 30_000
        self.by_page: dict[str, list[float]] = {}

    async def clicked(self, seconds: float) -> list[float]:
        """Milliseconds of every page that everybody opened, from the request sent to the last byte read."""
        sizes: list[int] = []

        async def click(person: Person) -> float:
            page = person.chance.choice(person.pages)
            uscc = uscc_of(person.chance.choice(person.lives), person.chance.randint(1, self._copies))
            taken, size = await _timed(person.client, page.format(uscc=uscc))
            sizes.append(size)
            self.by_page.setdefault(page, []).append(taken)
            return taken

        taken = await self._everybody(click, seconds)
        self._page_bytes = sum(sizes) // len(sizes)
        return taken

    async def plain(self, seconds: float) -> list[float]:
        """The same people and pauses at the plain page, which is as large as the console's were on average."""
        rows = max(self._page_bytes // PLAIN_ROW_BYTES, 1)

        async def click(_: Person) -> float:
            return (await _timed(self._plain, f"/?rows={rows}"))[0]

        return await self._everybody(click, seconds)

    async def _everybody(self, click: Callable[[Person], Awaitable[float]], seconds: float) -> list[float]:
        taken: list[float] = []

        async def sit(person: Person) -> None:
            await asyncio.sleep(person.chance.uniform(0, THINK_SECONDS[1]))
            while time.perf_counter() < begun + seconds:
                taken.append(await click(person))
                await asyncio.sleep(person.chance.uniform(*THINK_SECONDS))

        begun = time.perf_counter()
        await asyncio.gather(*(sit(person) for person in self._people))
        return taken

    async def live(self, events: int) -> list[float]:
        """Milliseconds from a command being sent, through its service and the bus, until an open page is told of it."""

        async def change() -> None:
            key = f"live-{next(self._numbers)}"
            fields = {"source": "policy_fund", "amount": "0.01", "bank_ref": key}
            answer = await self._door.command(FINANCE, "InjectCapital", fields, DAY, key)
            if answer.outcome != "accepted":
                raise StackError(f"A command of the benchmark was {answer.outcome}: {answer.rule} {answer.detail}")

        return await _news(self._people[0].client, change, events)

    async def plain_live(self, events: int) -> list[float]:
        """The same from a POST that wakes a plain stream."""

        async def change() -> None:
            (await self._plain.post("/tell")).raise_for_status()

        return await _news(self._plain, change, events)


@contextlib.asynccontextmanager
async def open_console(stack: Stack, door: HttpDoor, cases: int, say: Callable[[str], None]) -> AsyncIterator[Console]:
    """Fill the gateway, make fifty accounts, sign everybody in, and start the plain page."""
    for bank in BANKS:
        agreement = {"institution": bank, "kind": "bank", "name": bank, "valid_from": "2026-01-01",
                     "valid_to": "2036-12-31", "products": ["bank"]}  # fmt: skip
        await door.command(READER, "SignAgreement", agreement, DAY, f"agreement-{bank}")
    staff = [(f"bench-{place:02d}", one) for place, one in enumerate(one for one in STAFF for _ in range(STAFF[one]))]
    engine = create_async_engine(stack.database_url("gateway"), poolclass=NullPool)
    try:
        await fill(engine, cases, say)
        await _make_accounts(engine, staff)
        await _vacuum(stack)
    finally:
        await engine.dispose()
    say("signing fifty people in")
    async with contextlib.AsyncExitStack() as resources:
        people = [await _sign_in(resources, stack.api_url, login, one) for login, one in staff]
        url = await resources.enter_async_context(plain_server())
        plain = await resources.enter_async_context(_client(url))
        yield Console(people, plain, door, cases // LIVES)


async def _vacuum(stack: Stack) -> None:
    """What the server does by itself within a minute: count the new rows, and tidy indexes that were filled at once."""
    owner = create_async_engine(stack.postgres.url("gateway"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    async with owner.connect() as connection:
        await connection.execute(text("vacuum analyze"))
    await owner.dispose()


async def _make_accounts(engine: AsyncEngine, staff: Sequence[tuple[str, str]]) -> None:
    from services.gateway.auth.passwords import hash_of
    from services.gateway.tables import accounts, memberships

    kept = await hash_of(PASSWORD)
    people = [{"id": login, "login": login, "name": login, "password_hash": kept} for login, _ in staff]
    as_what = {"scheme": SCHEME, "roles": ["officer", "head"]}
    work = [{**as_what, "account": login, "organisation": one} for login, one in staff]
    async with engine.begin() as connection:
        await connection.execute(insert(accounts), people)
        await connection.execute(insert(memberships), work)


async def _sign_in(resources: contextlib.AsyncExitStack, url: str, login: str, organisation: str) -> Person:
    client = await resources.enter_async_context(_client(url))
    answer = await client.post("/sign-in", data={"login": login, "password": PASSWORD})
    if answer.status_code != 303:
        raise StackError(f"{login} could not sign in: {answer.status_code} {answer.text[:200]}")
    if organisation not in BANKS:
        return Person(client, PAGES, range(LIVES), random.Random(login))
    on_panel = [life for life, stage in enumerate(stages()) if stage not in BEFORE_PANEL]
    own = [life for life in on_panel if bank_of(life) == organisation]
    return Person(client, OF_A_BANK, own, random.Random(login))


def _client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE_S, headers={"Origin": url})


async def _timed(client: httpx.AsyncClient, path: str) -> tuple[float, int]:
    begun = time.perf_counter()
    answer = await client.get(path)
    taken = (time.perf_counter() - begun) * 1000
    if answer.status_code != 200:
        raise StackError(f"{path} answered {answer.status_code}: {answer.text[:2000]}")
    return taken, len(answer.content)


async def _news(client: httpx.AsyncClient, change: Callable[[], Awaitable[None]], events: int) -> list[float]:
    """Milliseconds from each change being asked for to the news of it on an open stream."""
    taken: list[float] = []
    async with client.stream("GET", "/live", timeout=PATIENCE_S) as stream:
        heard: asyncio.Queue[float] = asyncio.Queue()

        async def listen() -> None:
            async for line in stream.aiter_lines():
                if line.startswith("event: news"):
                    heard.put_nowait(time.perf_counter())

        listening = asyncio.create_task(listen())
        try:
            await asyncio.sleep(0.5)
            for number in range(events + 1):
                begun = time.perf_counter()
                await change()
                at = await asyncio.wait_for(heard.get(), PATIENCE_S)
                await asyncio.sleep(random.uniform(0.15, 0.25))
                while not heard.empty():
                    heard.get_nowait()
                if number:
                    taken.append((at - begun) * 1000)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    return taken
