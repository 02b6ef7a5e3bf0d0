"""Events are folded in the order in which their service recorded them, however they come."""

import logging
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import turns
from shared.messaging.incoming import Incoming

log = logging.getLogger("riskpool.turns")


async def in_turn(connection: AsyncConnection, batch: Sequence[Incoming]) -> list[Incoming]:
    """Of a batch in order, what may be folded now, noted as folded; the rest waits for what was recorded before it.

    What is overdue is not waited for any longer. An event without a turn, of a relay of the first releases, is next.
    """
    found = await connection.execute(select(turns).where(turns.c.scheme.in_({one.scheme for one in batch})))
    known = {(row.scheme, row.source): row.last for row in found}
    last, ready = dict(known), []
    for one in batch:
        place = one.scheme, one.source
        following = last.get(place, 0) + 1
        turn = one.turn or following
        if turn > following:
            if not one.overdue:
                continue
            log.error("taken without those before it", extra={"id": one.id, "turn": turn, "awaited": following})
        last[place] = max(turn, following - 1)
        ready.append(one)
    changed = [
        {"scheme": scheme, "source": source, "last": turn}
        for (scheme, source), turn in last.items()
        if known.get((scheme, source)) != turn
    ]
    if changed:
        write = insert(turns)
        change = write.on_conflict_do_update(index_elements=["scheme", "source"], set_={"last": write.excluded.last})
        await connection.execute(change, changed)
    return ready
