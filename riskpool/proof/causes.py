"""Between databases: what a service has taken of another must be in that one's outbox, as it was taken."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from riskpool.proof.databases import as_of_one_moment
from riskpool.proof.findings import Findings
from shared.messaging.incoming import sha256_of

AT_ONCE = 10_000
_TAKEN = text("""select message_id, body_sha256 from inbox
    where consumer = 'events' and source = :source and message_id > :after order by message_id limit :most""")
_SENT = text("select event_id, name, payload from outbox where event_id = any(cast(:ids as text[]))")
_AGREED = text("select distinct scheme, id, kind, name, valid_from, valid_to from institutions")
_SIGNED = text("""select scheme, d ->> 'institution', d ->> 'kind', d ->> 'name', (d ->> 'valid_from')::date,
        (d ->> 'valid_to')::date
    from (select scheme, payload::jsonb -> 'data' as d from outbox
        where stream = 'EVENTS' and name = 'AgreementSigned') signed""")


async def compare_causes(findings: Sequence[Findings], urls: Mapping[str, str]) -> None:
    """Name every event that a database has taken and its sender's outbox does not have, or not so.

    Without it the sender's database is older; with another body somebody rewrote it, hashes and all. The sender is read
    after the taker, and a cause is committed before its effect: nothing is missed in a running fund.
    """
    for found in findings:
        for source in urls:
            if source != found.service:
                async with as_of_one_moment(urls[found.service]) as taker:
                    await _compare(found, taker, source, urls[source])
        if "review" in urls:
            await _compare_agreements(found, urls)


async def _compare(found: Findings, taker: AsyncConnection, source: str, url: str) -> None:
    after = ""
    while taken := await _taken(taker, source, after):
        async with as_of_one_moment(url) as sender:
            rows = await sender.execute(_SENT, {"ids": list(taken)})
            sent = {row.event_id: sha256_of(row.name, json.loads(row.payload)["data"]) for row in rows}
        for event_id, digest in taken.items():
            if event_id not in sent:
                words = f"taken from {source}, whose outbox does not have it: the database of {source} is older"
                found.differ(f"inbox event {event_id}: {words}")
            elif sent[event_id] != digest:
                found.differ(f"inbox event {event_id}: taken from {source} with another body than its outbox has")
        after = max(taken)


async def _taken(taker: AsyncConnection, source: str, after: str) -> dict[str, bytes]:
    values = {"source": f"/services/{source}", "after": after, "most": AT_ONCE}
    return {row.message_id: bytes(row.body_sha256) for row in await taker.execute(_TAKEN, values)}


async def _compare_agreements(found: Findings, urls: Mapping[str, str]) -> None:
    """Whom a service lets report what must have signed so: review's events say it."""
    async with as_of_one_moment(urls[found.service]) as one:
        agreed = [tuple(row) for row in await one.execute(_AGREED)]
    async with as_of_one_moment(urls["review"]) as review:
        signed = {tuple(row) for row in await review.execute(_SIGNED)}
    for scheme, institution, *_ in sorted(set(agreed) - signed):
        found.differ(f"institutions {scheme} {institution}: no agreement says so")
