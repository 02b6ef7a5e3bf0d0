"""The books of one service as its database holds them, read as of one moment."""

import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from riskpool.proof.chains import Events, Journal
from riskpool.proof.findings import Findings
from riskpool.proof.scheme import HeadRow, SchemeCheck
from riskpool.proof.states import Aggregates, compare_states, states_of
from riskpool.proof.versions import VersionRow, check_versions
from shared.contracts.base import Event

AT_ONCE = 1000
WINDOW = {"yield_per": AT_ONCE}
_MOMENT = "(extract(epoch from recorded_at) * 1000000)::bigint"
EVENTS = text(f"""select scheme, position || ' ' || {_MOMENT} || ' ' as prefix, sha256, payload, event_id, name, subject
    from outbox where stream = 'EVENTS' order by scheme collate "C", id""")
JOURNAL = text(f"""select scheme, concat_ws(chr(9), seq, event_id, debit, credit, amount_fen,
        to_char(effective_on, 'YYYY-MM-DD'), {_MOMENT}) as content, sha256
    from journal order by scheme collate "C", seq""")
VERSIONS = text("""select scheme, version, content::text as content from scheme_versions
    order by scheme collate "C", first_used, version""")
HEADS = text("select scheme, version, position, sha256, rows, rows_sha256 from schemes")
DAYS = text("select scheme, account, day, debit_fen, credit_fen from account_days")
PARTIES = text("select scheme, day, institution, department, account, debit_fen, credit_fen from party_days")


@asynccontextmanager
async def as_of_one_moment(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that sees the database as it was when it first read."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            yield await connection.execution_options(isolation_level="REPEATABLE READ")
    finally:
        await engine.dispose()


class Reader:
    """Rows of a query that is ordered by scheme, given out scheme by scheme."""

    def __init__(self, rows: AsyncIterator[Any]) -> None:
        self._rows = rows
        self._next: Any = None

    async def begin(self) -> "Reader":
        """Read the first row."""
        self._next = await anext(self._rows, None)
        return self

    @property
    def scheme(self) -> str | None:
        """The scheme of the next row; None at the end."""
        return self._next.scheme if self._next is not None else None

    async def take(self, scheme: str, most: int) -> list[Any]:
        """The next rows, at most so many, as long as they are of this scheme."""
        taken: list[Any] = []
        while len(taken) < most and self.scheme == scheme:
            taken.append(self._next)
            self._next = await anext(self._rows, None)
        return taken


async def reader(connection: AsyncConnection, query: TextClause) -> Reader:
    """A reader of a query's rows."""
    return await Reader(aiter(await connection.stream(query, execution_options=WINDOW))).begin()


def events_of(rows: Sequence[Any]) -> Events:
    """Rows of ``outbox`` as a part of a chain."""
    return Events(
        [row.prefix.encode() for row in rows],
        [row.payload.encode() for row in rows],
        b"".join([row.sha256 for row in rows]),
        [(row.event_id, row.name, row.subject) for row in rows],
    )


def journal_of(rows: Sequence[Any]) -> Journal:
    """Rows of ``journal`` as a part of a chain."""
    contents = [row.content.encode().replace(b"\t", b"\0") for row in rows]
    return Journal(contents, b"".join([row.sha256 for row in rows]))


async def versions_of(connection: AsyncConnection) -> list[VersionRow]:
    """The kept scheme versions, in the order of their first use."""
    rows = await connection.execute(VERSIONS)
    return [VersionRow(row.scheme, row.version, json.loads(row.content)) for row in rows]


async def heads_of(connection: AsyncConnection) -> dict[str, HeadRow]:
    """Where each scheme stands."""
    return {
        row.scheme: HeadRow(row.version, row.position, bytes(row.sha256), row.rows, bytes(row.rows_sha256))
        for row in await connection.execute(HEADS)
    }


async def audit_database(service: str, aggregates: Aggregates, url: str, keys: Collection[str] = ()) -> Findings:
    """Compare everything that a service's database holds with its events, from the first.

    ``keys`` are the public keys, in hexadecimal, that closes may be signed with.
    """
    findings = Findings(service)
    async with as_of_one_moment(url) as connection:
        versions = check_versions(await versions_of(connection), findings)
        heads = await heads_of(connection)
        events = await reader(connection, EVENTS)
        journal = await reader(connection, JOURNAL) if service == "pool" else None
        folded: dict[tuple[str, str, str], Any] = {}
        moved: dict[tuple[Any, ...], list[int]] = {}
        of_parties: dict[tuple[Any, ...], list[int]] = {}

        def fold(scheme: str, event: Event) -> None:
            for aggregate in aggregates:
                for key in aggregate.keys(event):
                    place = (aggregate.name, scheme, key)
                    folded[place] = aggregate.evolve(folded.get(place), event)

        while (scheme := _first(events, journal, heads)) is not None:
            check = SchemeCheck(findings, scheme, versions, keys, fold=None if journal else fold)
            while rows := await events.take(scheme, AT_ONCE):
                expected = check.events(events_of(rows))
                written = await journal.take(scheme, len(expected)) if journal else []
                check.journal(expected, journal_of(written))
            while journal and (left := await journal.take(scheme, AT_ONCE)):
                check.journal([], journal_of(left))
            check.finish(heads.pop(scheme, None))
            if check.pool:
                moved |= {(scheme, *place): fen for place, fen in check.pool.again.days.items()}
                of_parties |= {(scheme, *place): fen for place, fen in check.pool.again.parties.items()}
                folded |= {(kind, scheme, key): state for (kind, key), state in check.pool.again.states.items()}
        if journal is not None:
            await _compare_rollup(connection, "account_days", DAYS, moved, findings)
            await _compare_rollup(connection, "party_days", PARTIES, of_parties, findings)
        await compare_states(connection, aggregates, states_of(aggregates, folded), findings)
    return findings


def _first(events: Reader, journal: Reader | None, heads: dict[str, HeadRow]) -> str | None:
    """The next scheme that any of the tables has."""
    names = [events.scheme, journal.scheme if journal else None, min(heads, default=None)]
    return min((name for name in names if name is not None), default=None)


async def _compare_rollup(
    connection: AsyncConnection,
    table: str,
    query: TextClause,
    moved: dict[tuple[Any, ...], list[int]],
    findings: Findings,
) -> None:
    """A roll-up is what the events add up to, row by row."""
    kept = {tuple(row[:-2]): list(row[-2:]) for row in await connection.execute(query)}
    for place in sorted(kept.keys() | moved.keys()):
        if kept.get(place) != moved.get(place):
            said = f"is {kept.get(place)}, the events say {moved.get(place)} (debit and credit in fen)"
            findings.differ(f"{table} {' '.join(map(str, place))}: debit_fen, credit_fen: {said}")
