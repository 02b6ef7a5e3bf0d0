"""The journal: each event's posting as rows of a debit, a credit and an amount, chained so that none can be changed."""

from datetime import date, datetime

from services.pool.ledger import OF_A_PARTY, effective_on, party_of
from services.pool.posting import journal_sha256, pairs
from shared.contracts.base import Event
from shared.contracts.pool import PoolEvent
from shared.messaging.chain import Head
from shared.messaging.statement import Part

_JOURNAL = """insert into journal
    (scheme, seq, event_id, debit, credit, amount_fen, effective_on, recorded_at, sha256)
    select * from unnest({}::text[], {}::bigint[], {}::text[], {}::text[], {}::text[], {}::bigint[], {}::date[],
                         {}::timestamptz[], {}::bytea[])"""
_DAYS = """insert into account_days (scheme, account, day, debit_fen, credit_fen)
    select * from unnest({}::text[], {}::text[], {}::date[], {}::bigint[], {}::bigint[])
    on conflict (scheme, account, day) do update set
        debit_fen = account_days.debit_fen + excluded.debit_fen,
        credit_fen = account_days.credit_fen + excluded.credit_fen"""
_PARTIES = """insert into party_days (scheme, day, institution, department, account, debit_fen, credit_fen)
    select * from unnest({}::text[], {}::date[], {}::text[], {}::text[], {}::text[], {}::bigint[], {}::bigint[])
    on conflict (scheme, day, institution, department, account) do update set
        debit_fen = party_days.debit_fen + excluded.debit_fen,
        credit_fen = party_days.credit_fen + excluded.credit_fen"""


class JournalRows:
    """What one statement writes into the journal and its two roll-ups, which are added up before they are sent."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, str, str, str, int, date, datetime, bytes]] = []
        self._days: dict[tuple[str, str, date], list[int]] = {}
        self._parties: dict[tuple[str, date, str, str, str], list[int]] = {}

    def add(self, scheme: str, head: Head, event_id: str, event: Event, at: datetime) -> None:
        """The rows of one event, in the order of the scheme's events."""
        if not isinstance(event, PoolEvent) or not event.entries:
            return
        day = effective_on(event)
        assert day is not None
        party = party_of(event)
        for debit, credit, amount in pairs(event.entries):
            seq = head.rows = head.rows + 1
            digest = head.rows_sha256 = journal_sha256(head.rows_sha256, seq, event_id, debit, credit, amount, day, at)
            self._rows.append((scheme, seq, event_id, debit, credit, amount, day, at, digest))
            self._days.setdefault((scheme, debit, day), [0, 0])[0] += amount
            self._days.setdefault((scheme, credit, day), [0, 0])[1] += amount
            if party and debit in OF_A_PARTY:
                self._parties.setdefault((scheme, day, *party, debit), [0, 0])[0] += amount
            if party and credit in OF_A_PARTY:
                self._parties.setdefault((scheme, day, *party, credit), [0, 0])[1] += amount

    def parts(self) -> list[Part]:
        """The statement's parts; days in the order of their key, so that two writers never wait for each other."""
        if not self._rows:
            return []
        days = [(*place, *moved) for place, moved in sorted(self._days.items())]
        parties = [(*place, *moved) for place, moved in sorted(self._parties.items())]
        return [
            Part("journal", _JOURNAL, self._rows),
            Part("account_days", _DAYS, days),
            Part("party_days", _PARTIES, parties),
        ]
