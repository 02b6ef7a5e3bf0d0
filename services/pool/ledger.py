"""Accounts and balanced postings: what each event of the fund writes into the double-entry ledger (pool.ledger)."""

from collections.abc import Iterable
from datetime import date

from shared.contracts.base import Event, made
from shared.contracts.pool import (
    CapitalInjected,
    CompensationInstructed,
    CompensationSettled,
    DisbursementReturned,
    Entry,
    FeeInstructed,
    FeeSettled,
    FundsBooked,
    IncomeBooked,
    PayoutItem,
    PoolEvent,
    SubsidyInstructed,
    SubsidySettled,
    WriteOffBooked,
)

CASH = "cash"
INSTRUCTED = "instructed"
UNALLOCATED = "unallocated"
CAPITAL = "capital"
INCOME = "income"
WRITTEN_OFF = "written_off"
WRITE_OFF_LOSS = "write_off_loss"
PAID = {"compensation": "compensation", "subsidy": "subsidy", "fee": "fee"}
RECEIVED = {"recovery": "recovered", "clawback": "clawed_back", "other": "other_funds"}
OF_A_PARTY = frozenset({PAID["compensation"], RECEIVED["recovery"], RECEIVED["clawback"], WRITTEN_OFF})
"""Accounts that are also kept by institution and department."""


def entries_of(event: PoolEvent) -> tuple[Entry, ...]:
    """The balanced posting of an event, from its own facts alone; empty where no money moves (pool.ledger, 二(二)2)."""
    match event:
        case FundsBooked():
            return _received(event)
        case CompensationInstructed():
            return _posting((PAID["compensation"], event.amount), (INSTRUCTED, -event.amount))
        case SubsidyInstructed():
            return _posting((PAID["subsidy"], event.amount), (INSTRUCTED, -event.amount))
        case FeeInstructed():
            return _posting((PAID["fee"], event.amount), (INSTRUCTED, -event.amount))
        case CompensationSettled() | SubsidySettled() | FeeSettled():
            return _posting((INSTRUCTED, event.amount), (CASH, -event.amount))
        case DisbursementReturned():
            return _posting((INSTRUCTED, event.amount), (PAID[event.kind], -event.amount))
        case CapitalInjected():
            return _posting((CASH, event.amount), (f"{CAPITAL}:{event.source}", -event.amount))
        case IncomeBooked():
            return _posting((CASH, event.amount), (f"{INCOME}:{event.period[:4]}", -event.amount))
        case WriteOffBooked():
            return _posting((WRITE_OFF_LOSS, event.amount), (WRITTEN_OFF, -event.amount))
    return ()


def _received(event: FundsBooked) -> tuple[Entry, ...]:
    return _posting(
        (CASH, event.amount),
        (RECEIVED[event.purpose], -event.applied),
        (UNALLOCATED, event.applied - event.amount),
        (WRITTEN_OFF, event.reinstated),
        (WRITE_OFF_LOSS, -event.reinstated),
    )


def _posting(*lines: tuple[str, int]) -> tuple[Entry, ...]:
    if sum([amount for _, amount in lines]):
        raise AssertionError(f"a posting must sum to zero: {lines}")
    return tuple([made(Entry, account=account, amount=amount) for account, amount in lines if amount])


def effective_on(event: Event) -> date | None:
    """The date that an event's entries count from: the custodian's own date of a transfer, else the business date."""
    match event:
        case FundsBooked():
            return event.received_on
        case CompensationSettled() | SubsidySettled() | FeeSettled():
            return event.settled_on or event.on
        case PoolEvent():
            return event.on
    return None


def party_of(event: Event) -> tuple[str, str] | None:
    """Whose compensation an event's entries are about, where they are: the institution paid, the department it is from.

    From the event alone: the loan's payee and its recommender.
    """
    match event:
        case CompensationInstructed(item=PayoutItem() as item):
            return item.payee, item.recommender
        case DisbursementReturned(kind="compensation", item=PayoutItem() as item):
            return item.payee, item.recommender
        case FundsBooked() | WriteOffBooked() if event.payee:
            return event.payee, event.recommender
    return None


def balances(events: Iterable[PoolEvent]) -> dict[str, int]:
    """Every account's balance in fen, derived from entries alone (pool.ledger)."""
    totals: dict[str, int] = {}
    for event in events:
        for entry in event.entries:
            totals[entry.account] = totals.get(entry.account, 0) + entry.amount
    return {account: amount for account, amount in sorted(totals.items()) if amount}
