"""What a year leaves behind, without the ids that differ from run to run, and what must be true of it."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import asyncpg

from riskpool.audit import audit
from riskpool.scenario.doors import Doors
from riskpool.services import SERVICES
from riskpool.stack import Stack
from tests.faults.business import Business

LISTS = (
    "/ledger/accounts", "/ledger/entries", "/cases", "/loans", "/recoveries", "/disbursements", "/institutions",
    "/departments", "/obligations?as_of=2027-02-01", "/receipts",
)  # fmt: skip
MADE_ANEW = {"id", "event_id", "position", "line"}
Books = dict[str, Counter[str]]


async def books_of(stack: Stack, doors: Doors, business: Business) -> Books:
    """Every page of a scheme as a bag of items, and every answer that the year got."""
    read = doors.http.read
    books: Books = {"answers": Counter(business.said)}
    for path in LISTS:
        books[path], cursor = Counter(), ""
        while cursor is not None:
            mark = "&" if "?" in path else "?"
            status, page = await read("drc", f"{path}{mark}limit=100{f'&cursor={cursor}' if cursor else ''}")
            assert status == 200, (path, status, page)
            books[path].update(_bag(page["items"]))
            cursor = page.get("next_cursor")
    for path in ("/pool", "/quota/high?year=2026", *(f"/cases/{one.uscc}" for one in business.cast)):
        status, page = await read("drc", path)
        assert status == 200, (path, status, page)
        books[path] = Counter(_bag([*page.pop("timeline", []), page]))
    for service in SERVICES:
        query = "select name, count(*) as times from outbox where stream = 'EVENTS' and scheme = $1 group by name"
        made = await as_owner(stack, service, query, doors.http.scheme)
        books[f"events of {service}"] = Counter({row["name"]: row["times"] for row in made})
    return books


def shown_of_cases(books: Books) -> Books:
    """The pages of cases, which the gateway folds from events as they come."""
    return {path: items for path, items in books.items() if path.startswith("/cases")}


def decided(books: Books) -> Books:
    """Everything else: money, loans, receipts, answers, and what every service announced how many times."""
    return {path: items for path, items in books.items() if not path.startswith("/cases")}


def differences(calm: Books, stormy: Books) -> list[str]:
    """Every item that one year has and the other has not."""
    return [
        f"{path}: {sign} {item}"
        for path in sorted(calm.keys() | stormy.keys())
        for sign, more in (
            ("missing", calm.get(path, Counter()) - stormy.get(path, Counter())),
            ("too much", stormy.get(path, Counter()) - calm.get(path, Counter())),
        )
        for item in more.elements()
    ]


async def faults_in_receipts(stack: Stack, scheme: str, sent: Iterable[str]) -> list[str]:
    """Partner events without exactly one receipt where it is decided and where it is read, and receipts of none."""
    given = Counter[str]()
    for service in SERVICES:
        query = "select payload::jsonb #>> '{data,event_id}' from outbox where stream = 'RECEIPTS' and scheme = $1"
        given.update(row[0] for row in await as_owner(stack, service, query, scheme))
    query = "select event_id from receipts where scheme = $1"
    kept = Counter(row[0] for row in await as_owner(stack, "gateway", query, scheme))
    ids = set(sent)
    return [
        f"event {one}: {found[one]} receipts {where}"
        for where, found in (("given", given), ("kept by the gateway", kept))
        for one in sorted(ids | found.keys())
        if found[one] != (1 if one in ids else 0)
    ]


async def parked(stack: Stack, scheme: str) -> Counter[str]:
    """What a scheme's consumers put aside, each message once however often it came."""
    found = Counter[str]()
    for service in SERVICES:
        what = "message_id, subject, split_part(error, ':', 1) as error"
        query = f"select distinct {what} from parked where subject like $1"
        found.update(
            f"{service} {row['subject'].split('.')[-1]} {row['error']}"
            for row in await as_owner(stack, service, query, f"%.{scheme}.%")
        )
    return found


async def unfinished(stack: Stack) -> list[str]:
    """What was never published, and what an audit of every service finds."""
    query = "select name, event_id from outbox where published_at is null"
    left = [f"{name}: {dict(row)} not published" for name in SERVICES for row in await as_owner(stack, name, query)]
    findings = await audit({service: stack.database_url(service) for service in SERVICES})
    return left + [f"{one.service}: {difference}" for one in findings for difference in one.differences]


async def as_owner(stack: Stack, service: str, statement: str, *values: Any) -> list[asyncpg.Record]:
    """Run a statement that no service may."""
    connection = await asyncpg.connect(stack.postgres.url(service).replace("+asyncpg", ""), ssl=False)
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


def _bag(items: list[Any]) -> list[str]:
    return sorted(json.dumps(_without_ids(item), ensure_ascii=False, sort_keys=True) for item in items)


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        # What cannot be read has no business date: its receipt tells the time of the day.
        left_out = MADE_ANEW | {"at"} if value.get("outcome") == "unreadable" else MADE_ANEW
        kept = {key: _without_ids(item) for key, item in value.items() if key not in left_out}
        # A department's flag names its enterprises in the order in which their payouts were heard of.
        return {**kept, "enterprises": sorted(kept["enterprises"])} if "enterprises" in kept else kept
    return [_without_ids(item) for item in value] if isinstance(value, list) else value
