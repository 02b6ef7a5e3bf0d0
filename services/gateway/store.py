"""What the gateway writes besides its projections: the contents that institutions reported over HTTP."""

import hashlib
import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import submissions


async def keep_submission(
    connection: AsyncConnection, scheme: str, institution: str, event_id: str, name: str, data: Any
) -> bool:
    """Keep what an event id stands for; False when it stood for another content before (idempotency.mismatch)."""
    digest = hashlib.sha256(json.dumps([name, data], sort_keys=True).encode()).digest()
    row = {"scheme": scheme, "institution": institution, "event_id": event_id}
    await connection.execute(insert(submissions).values(**row, body_sha256=digest).on_conflict_do_nothing())
    query = select(submissions.c.body_sha256).where(*(submissions.c[name] == value for name, value in row.items()))
    return bytes((await connection.execute(query)).scalar_one()) == digest
