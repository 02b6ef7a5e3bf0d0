"""What the gateway writes besides its projections: the contents that institutions reported over HTTP."""

import hashlib
import json
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import submissions
from shared.messaging.tables import receipts

Standing = Literal["new", "known", "other"]


async def keep_submission(
    connection: AsyncConnection, scheme: str, institution: str, event_id: str, name: str, data: Any
) -> bool:
    """Keep what an event id stands for; False when it stood for another content before (idempotency.mismatch)."""
    digest = _digest(name, data)
    row = {"scheme": scheme, "institution": institution, "event_id": event_id}
    await connection.execute(insert(submissions).values(**row, body_sha256=digest).on_conflict_do_nothing())
    query = select(submissions.c.body_sha256).where(*(submissions.c[name] == value for name, value in row.items()))
    return bytes((await connection.execute(query)).scalar_one()) == digest


async def keep_rows(
    connection: AsyncConnection, scheme: str, institution: str, upload: str, name: str, rows: dict[str, Any]
) -> dict[str, Standing]:
    """Keep what the ids of an upload's rows stand for.

    "new" was first reported by this upload, before a kill too; "known" some other way; "other" had another content.
    """
    of = {"scheme": scheme, "institution": institution}
    answered = select(receipts.c.event_id).where(
        *(receipts.c[key] == value for key, value in of.items()), receipts.c.event_id.in_(rows)
    )
    before = set((await connection.execute(answered)).scalars())
    values = [
        {
            **of, "event_id": event_id, "body_sha256": _digest(name, rows[event_id]),
            "upload": None if event_id in before else upload,
        }
        for event_id in sorted(rows)  # in one order, so that two uploads never wait for each other
    ]  # fmt: skip
    await connection.execute(insert(submissions).values(values).on_conflict_do_nothing())
    query = select(submissions.c.event_id, submissions.c.body_sha256, submissions.c.upload).where(
        *(submissions.c[key] == value for key, value in of.items()), submissions.c.event_id.in_(rows)
    )
    found: dict[str, Standing] = {}
    for row in await connection.execute(query):
        same = bytes(row.body_sha256) == _digest(name, rows[row.event_id])
        found[row.event_id] = "other" if not same else "new" if row.upload == upload else "known"
    return found


def _digest(name: str, data: Any) -> bytes:
    return hashlib.sha256(json.dumps([name, data], sort_keys=True).encode()).digest()
