"""Every message of the contract by name, found in the modules themselves."""

import inspect
from types import ModuleType
from typing import TypeVar

from shared.contracts import commands, gateway, partners, pool, recovery, referral, review
from shared.contracts.base import Command, Event, Message, PartnerEvent

SERVICES = ("referral", "review", "pool", "recovery")


M = TypeVar("M", bound=Message)


def _own(kind: type[M], module: ModuleType) -> list[type[M]]:
    """The message classes a module defines: those of ``kind`` that no class of the module specialises."""
    classes = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__]
    found = [c for c in classes if issubclass(c, kind)]
    return [c for c in found if not any(c in other.__bases__ for other in found)]


COMMANDS: dict[str, type[Command]] = {c.__name__: c for c in _own(Command, commands)}
PARTNER_EVENTS: dict[str, type[PartnerEvent]] = {c.__name__: c for c in _own(PartnerEvent, partners)}
EVENTS: dict[tuple[str, str], type[Event]] = {
    (c.service, c.__name__): c for module in (referral, review, pool, recovery, gateway) for c in _own(Event, module)
}
