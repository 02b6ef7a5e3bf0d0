"""Events are folded in the order in which their service recorded them, however they come."""

import logging
from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import events, turns
from shared.messaging.incoming import Incoming
from shared.messaging.tables import inbox, parked

log = logging.getLogger("riskpool.turns")
NEWEST = 100


async def in_turn(connection: AsyncConnection, batch: Sequence[Incoming]) -> list[Incoming]:
    """Of a batch in order, what may be folded now, noted as folded; the rest waits for what was recorded before it.

    What is overdue is not waited for any longer. An event without a turn, of a relay of the first releases, is next.
    """
    found = await connection.execute(select(turns).where(turns.c.scheme.in_({one.scheme for one in batch})))
    known = {(row.scheme, row.source): row.last for row in found}
    again = await _met_before(connection, [one for one in batch if (one.turn or 0) <= known.get(_chain(one), 0)])
    last, ready = dict(known), []
    for one in batch:
        if (one.source, one.id) in again:
            ready.append(one)
            continue
        following = last.get(_chain(one), 0) + 1
        turn = one.turn or following
        if turn > following:
            if not one.overdue:
                continue
            log.error("taken without those before it", extra={"id": one.id, "turn": turn, "awaited": following})
        elif turn < following:
            told = {"id": one.id, "scheme": one.scheme, "source": one.source, "turn": turn, "awaited": following}
            log.error("came after its turn: late, or decided anew by a database that was put back", extra=told)
        again.add((one.source, one.id))
        last[_chain(one)] = max(turn, following - 1)
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


def _chain(one: Incoming) -> tuple[str, str]:
    return one.scheme, one.source


async def _met_before(connection: AsyncConnection, batch: Sequence[Incoming]) -> set[tuple[str, str]]:
    """Those of a batch that were taken or parked before: they come again, and no turn is theirs."""
    ids = [one.id for one in batch]
    if not ids:
        return set()
    taken = select(inbox.c.source, inbox.c.message_id)
    taken = taken.where(inbox.c.consumer == "events", inbox.c.source.in_({one.source for one in batch}))
    met = {(row.source, row.message_id) for row in await connection.execute(taken.where(inbox.c.message_id.in_(ids)))}
    query = select(parked.c.message_id).where(parked.c.consumer == "events", parked.c.message_id.in_(ids))
    lain = set((await connection.execute(query)).scalars())
    return met | {(one.source, one.id) for one in batch if one.turn and one.id in lain}


async def beyond(connection: AsyncConnection, service: str, positions: Mapping[str, int]) -> dict[str, list[str]]:
    """Of each scheme of which a service's events were folded beyond those positions, the newest events' ids."""
    found: dict[str, list[str]] = {}
    for row in (await connection.execute(select(turns).where(turns.c.source == f"/services/{service}"))).all():
        if row.last > positions.get(row.scheme, 0):
            query = select(events.c.id).where(events.c.scheme == row.scheme, events.c.service == service)
            newest = await connection.execute(query.order_by(events.c.position.desc()).limit(NEWEST))
            found[row.scheme] = list(newest.scalars())
    return found
