"""A service's stored states against the fold of its events."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from riskpool.proof.findings import Findings
from shared.aggregates import Aggregate

Aggregates = tuple[Aggregate[Any], ...]
States = dict[str, dict[tuple[str, str], dict[str, Any]]]
"""By aggregate, then by scheme and key: the documents."""


def states_of(aggregates: Aggregates, folded: dict[tuple[str, str, str], Any]) -> States:
    """The documents that folded states, by aggregate, scheme and key, are stored as."""
    found: States = {aggregate.name: {} for aggregate in aggregates}
    for (name, scheme, key), state in folded.items():
        if state is not None:
            found[name][scheme, key] = state.model_dump(mode="json")
    return found


async def compare_states(
    connection: AsyncConnection, aggregates: Aggregates, again: States, findings: Findings
) -> None:
    """Name every thing that is not stored as the events say, and every one that no event made."""
    for aggregate in aggregates:
        table, made = aggregate.table, again[aggregate.name]
        rows = await connection.execute(select(table.c.scheme, table.c.key, table.c.doc))
        stored: dict[tuple[str, str], dict[str, Any]] = {(row.scheme, row.key): row.doc for row in rows}
        findings.things += len(made)
        for thing in sorted(stored.keys() | made.keys()):
            if stored.get(thing) != made.get(thing):
                words = _difference(stored.get(thing), made.get(thing))
                findings.differ(f"{aggregate.name} {'/'.join(thing)}: {words}")


def _difference(stored: dict[str, Any] | None, again: dict[str, Any] | None) -> str:
    if stored is None or again is None:
        return "not stored" if stored is None else "no event made it"
    fields = [f for f in sorted(stored.keys() | again.keys()) if stored.get(f) != again.get(f)]
    return "; ".join(f"{f} is stored as {stored.get(f)!r}, the events say {again.get(f)!r}" for f in fields)
