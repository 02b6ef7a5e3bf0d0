"""Who belongs together: controllers and holdings, direct and through others (eligible.once)."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from shared.contracts.commands import Application


@dataclass(frozen=True)
class Firm:
    """An enterprise as its referral describes it: ``holders`` maps a holder's code or identity number to its share."""

    code: str
    controller: str
    holders: Mapping[str, Decimal]


def identity(number: str) -> str:
    """A credit code or identity number as it is compared: ``11022919850505005x`` and ``…X`` are one person."""
    return number.strip().upper()


def firm_of(uscc: str, application: Application) -> Firm:
    """The enterprise's controller and direct holders; a holder listed twice holds the sum."""
    holders: dict[str, Decimal] = {}
    for holder in application.shareholders:
        number = identity(holder.uscc or holder.id or "")
        if number:
            holders[number] = holders.get(number, Decimal(0)) + holder.share
    return Firm(identity(uscc), identity(application.actual_controller.id), holders)


def parties_of(uscc: str, application: Application) -> tuple[str, ...]:
    """Every code and identity number that may tie this enterprise to another one."""
    firm = firm_of(uscc, application)
    return tuple(sorted({firm.code, firm.controller, *firm.holders}))


def holdings(holder: str, firms: Mapping[str, Firm], threshold: Decimal) -> frozenset[str]:
    """The enterprises in which ``holder`` has the threshold or more, directly or indirectly.

    A holding at or above the threshold passes through in full: what such an enterprise holds is the holder's own.
    """
    held: frozenset[str] = frozenset()
    while True:
        through = held | {holder}
        grown = frozenset(
            code for code, firm in firms.items()
            if code != holder and sum(share for who, share in firm.holders.items() if who in through) >= threshold
        )
        if grown == held:
            return held
        held = grown


def affiliates(subject: Firm, others: Mapping[str, Firm], threshold: Decimal) -> dict[str, str]:
    """The affiliates of ``subject`` by code, and what makes each one (eligible.once, 二(一)).

    ``same_controller``, ``holding`` (either way) or ``common_holder``.
    """
    firms = {**others, subject.code: subject}
    reach = {party: holdings(party, firms, threshold) for party in _parties(firms)}
    links: dict[str, str] = {}
    for code, firm in others.items():
        if code == subject.code:
            continue
        if firm.controller == subject.controller:
            links[code] = "same_controller"
        elif code in reach[subject.code] or subject.code in reach[code]:
            links[code] = "holding"
        elif any(code in held and subject.code in held for held in reach.values()):
            links[code] = "common_holder"
    return links


def _parties(firms: Mapping[str, Firm]) -> set[str]:
    return set(firms) | {holder for firm in firms.values() for holder in firm.holders}
