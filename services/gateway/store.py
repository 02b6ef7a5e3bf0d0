"""What the gateway writes besides its projections: the contents that institutions reported over HTTP."""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import submissions
from shared.messaging.tables import receipts

Standing = Literal["new", "known", "other"]


async def keep_submission(
    connection: AsyncConnection, scheme: str, institution: str, event_id: str, digest: bytes
) -> bool:
    """Keep what an event id stands for; False when it stood for another content before (idempotency.mismatch)."""
    standing = await keep_rows(connection, scheme, institution, None, {event_id: digest})
    return standing[event_id] != "other"


async def keep_rows(
    connection: AsyncConnection, scheme: str, institution: str, upload: str | None, digests: Mapping[str, bytes]
) -> dict[str, Standing]:
    """Keep what event ids stand for, by the digests of their contents.

    "new" was first reported by this upload, before a kill too; "known" some other way; "other" had another content.
    A receipt tells more than what was kept here: its id may have come over the bus.
    """
    of = {"scheme": scheme, "institution": institution}
    query = select(receipts.c.event_id, receipts.c.body_sha256).where(*_among(receipts, of, digests))
    answered = {row.event_id: row.body_sha256 for row in await connection.execute(query)}
    values = [
        {**of, "event_id": event_id, "body_sha256": digest, "upload": None if event_id in answered else upload}
        for event_id, digest in sorted(digests.items())  # in one order, so that two uploads never wait for each other
        if is_answer_to(answered.get(event_id), digest)
    ]
    if values:
        await connection.execute(insert(submissions).values(values).on_conflict_do_nothing())
    table = submissions.c
    query = select(table.event_id, table.body_sha256, table.upload).where(*_among(submissions, of, digests))
    found: dict[str, Standing] = dict.fromkeys(digests, "other")
    for row in await connection.execute(query):
        if is_answer_to(answered.get(row.event_id) or row.body_sha256, digests[row.event_id]):
            found[row.event_id] = "new" if row.upload == upload else "known"
    return found


def is_answer_to(told: bytes | None, digest: bytes) -> bool:
    """Whether a receipt answers a content; one of an earlier release does not tell, and is taken for its answer."""
    return told is None or bytes(told) == digest


def _among(table: Table, of: Mapping[str, str], ids: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    return [*(table.c[key] == value for key, value in of.items()), table.c.event_id.in_(ids)]
