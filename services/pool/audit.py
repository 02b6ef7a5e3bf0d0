"""The pool's part of the audit: the ledger's accounts, derived from entries alone, against the fund's own figures."""

from collections.abc import Iterable, Mapping

from services.pool.domain.fund import Fund, evolve_fund
from services.pool.ledger import (
    CAPITAL,
    CASH,
    INCOME,
    INSTRUCTED,
    PAID,
    RECEIVED,
    UNALLOCATED,
    WRITTEN_OFF,
    balances,
    entries_of,
)
from shared.contracts.pool import PoolEvent
from shared.money import format_yuan


def audit(events: Iterable[PoolEvent], stored: Fund | None, ledger: Mapping[str, int] | None = None) -> tuple[str, ...]:
    """Every difference between what the events say and what is stored; empty when all agrees (pool.ledger, 二(二)2).

    Folds the events again in order, and derives every account from their entries alone. ``stored`` is the fund's row;
    ``ledger`` are the balances of the ledger's rows in fen, where given.
    """
    fund, seen, found = Fund(), tuple(events), []
    for event in seen:
        fund = evolve_fund(fund, event) or fund
        found += [f"{type(event).__name__} {fund.version}: {line}" for line in _of_event(event, fund)]
    derived = balances(seen)
    found += differences_of("account", derived, accounts_of(fund))
    if ledger is not None:
        found += differences_of("ledger rows", dict(ledger), derived)
    if seen or stored is not None:
        found += _of_state(stored or Fund(), fund)
    return tuple(found)


def accounts_of(fund: Fund) -> dict[str, int]:
    """What each account must stand at in fen, by the fund's own figures; loss and other funds follow from the rest."""
    known = {
        CASH: fund.cash_fen,
        INSTRUCTED: -fund.instructed_fen,
        UNALLOCATED: -fund.unallocated_fen,
        PAID["compensation"]: fund.gross_fen,
        PAID["subsidy"]: fund.subsidies_fen,
        PAID["fee"]: fund.fees_fen,
        RECEIVED["recovery"]: -fund.recovered_fen,
        RECEIVED["clawback"]: -fund.clawed_fen,
        WRITTEN_OFF: -fund.written_off_fen,
        **{f"{CAPITAL}:{source.name}": -source.amount_fen for source in fund.capital},
        **{f"{INCOME}:{year.year:04d}": -year.amount_fen for year in fund.income},
    }
    return {account: amount for account, amount in known.items() if amount}


def differences_of(what: str, found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """Accounts whose balances in fen differ, in words; ``account`` leaves out those that the fund does not carry."""
    derived_only = {"write_off_loss", RECEIVED["other"]} if what == "account" else set()
    accounts = sorted({*found, *expected} - derived_only)
    return [
        f"{what} {account}: {format_yuan(found.get(account, 0))}, expected {format_yuan(expected.get(account, 0))}"
        for account in accounts
        if found.get(account, 0) != expected.get(account, 0)
    ]


def _of_event(event: PoolEvent, fund: Fund) -> list[str]:
    said = event.fund
    pairs = {
        "cash": (said.cash, fund.cash_fen), "instructed": (said.instructed, fund.instructed_fen),
        "balance": (said.balance, fund.available_fen), "gross": (said.compensated_gross, fund.gross_fen),
        "held": (said.held_total, fund.held_fen), "recoverable": (said.recoverable, fund.recoverable_fen),
        "unallocated": (said.unallocated, fund.unallocated_fen), "capital": (said.capital, fund.capital_fen),
    }
    found = [f"{name} {format_yuan(a)}, folded {format_yuan(b)}" for name, (a, b) in pairs.items() if a != b]
    if said.state != fund.state:
        found.append(f"state {said.state}, folded {fund.state}")
    if total := sum(entry.amount for entry in event.entries):
        found.append(f"entries sum to {format_yuan(total)}")
    if event.entries != entries_of(event):
        found.append("entries are not those of this event")
    return found


def _of_state(stored: Fund, folded: Fund) -> list[str]:
    found = []
    for name in Fund.model_fields:
        kept, expected = getattr(stored, name), getattr(folded, name)
        if kept != expected:
            found.append(f"stored {name}: {kept}, folded {expected}")
    return found
