"""A fund's whole history decided in memory: every state from nothing, and what a transaction would write of it."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pool.journal import JournalRows
from services.pool.ledger import CASH, effective_on
from services.pool.store import AGGREGATES, APPROVAL
from shared.aggregates import Aggregate
from shared.contracts.base import Event, Shape
from shared.contracts.pool import PoolEvent
from shared.messaging.chain import Head
from shared.messaging.statement import Part
from shared.messaging.unit_of_work import Place, Transaction

S = TypeVar("S", bound=Shape)


class Memory(Transaction):
    """A transaction that never reads: what no event of the history made is not there."""

    def __init__(self, scheme: str) -> None:
        nowhere: AsyncConnection = None  # type: ignore[assignment]
        super().__init__(nowhere, "pool", AGGREGATES, JournalRows, heads={scheme: Head()})
        self.scheme = scheme
        self._approvals: dict[str, None] = {}
        self._cash: dict[date, int] = {}

    async def _fetch(self, aggregate: Aggregate[S], places: Sequence[Place]) -> None:
        self.states.update(dict.fromkeys(places))

    async def select(self, scheme: str, aggregate: Aggregate[S], where: Iterable[ColumnElement[bool]]) -> list[S]:
        """Approvals that wait: the only things that the pool asks for by more than their key."""
        if aggregate.name != APPROVAL.name:
            raise NotImplementedError(aggregate.name)
        found = [self.states[APPROVAL.name, scheme, half] for half in sorted(self._approvals)]
        return [approval for approval in found if approval.waiting]

    async def evolve(self, scheme: str, event: Event) -> None:
        """Change every thing that the event changes."""
        await super().evolve(scheme, event)
        self._approvals.update(dict.fromkeys(APPROVAL.keys(event)))
        day = effective_on(event)
        if isinstance(event, PoolEvent) and day is not None:
            for entry in event.entries:
                if entry.account == CASH:
                    self._cash[day] = self._cash.get(day, 0) + entry.amount

    def cash_at_end_of(self, day: date) -> int:
        """The ledger's cash in fen at the end of a day, by effective dates."""
        return sum(fen for moved, fen in self._cash.items() if moved <= day)

    def take(self) -> list[Part]:
        """Events and journal decided since the last time, as parts of a statement, and their roll-ups; no states."""
        changed, self.changed = self.changed, {}
        parts = self.parts([self.scheme])
        self.changed = changed
        return [part for part in parts if part.name != "fence"]

    def finished(self) -> dict[Aggregate[Any], list[tuple[Any, ...]]]:
        """Every state as the history leaves it: scheme, key, version and document, by its kind."""
        found: dict[Aggregate[Any], list[tuple[Any, ...]]] = {}
        for place, aggregate in self.changed.items():
            row = (place[1], place[2], 1, self.states[place].model_dump_json())
            found.setdefault(aggregate, []).append(row)
        return found
