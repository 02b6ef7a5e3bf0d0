"""Between databases: what a service has taken of another must be in that one's outbox."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from riskpool.proof.databases import as_of_one_moment
from riskpool.proof.findings import Findings

AT_ONCE = 10_000
_TAKEN = text("""select message_id from inbox where consumer = 'events' and source = :source and message_id > :after
    order by message_id limit :most""")
_UNKNOWN = text("""select id from unnest(cast(:ids as text[])) taken(id)
    where not exists (select 1 from outbox where event_id = taken.id) order by id""")


async def compare_causes(findings: Sequence[Findings], urls: Mapping[str, str]) -> None:
    """Name every event that a database has taken and its sender's outbox does not have: that database is older.

    The sender is read after the taker, and a cause is committed before its effect: nothing is missed in a running fund.
    """
    for found in findings:
        for source in urls:
            if source != found.service:
                async with as_of_one_moment(urls[found.service]) as taker:
                    await _compare(found, taker, source, urls[source])


async def _compare(found: Findings, taker: AsyncConnection, source: str, url: str) -> None:
    after = ""
    while ids := await _taken(taker, source, after):
        async with as_of_one_moment(url) as sender:
            for (event_id,) in await sender.execute(_UNKNOWN, {"ids": ids}):
                words = f"taken from {source}, whose outbox does not have it: the database of {source} is older"
                found.differ(f"inbox event {event_id}: {words}")
        after = ids[-1]


async def _taken(taker: AsyncConnection, source: str, after: str) -> list[str]:
    values = {"source": f"/services/{source}", "after": after, "most": AT_ONCE}
    return list((await taker.execute(_TAKEN, values)).scalars())
