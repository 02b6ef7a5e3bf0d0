"""Failed sign-ins by address: after many of them an address waits, whatever names it tries."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

FAILURES: Final = 30
WINDOW: Final = timedelta(minutes=15)
MOST_ADDRESSES: Final = 10_000


@dataclass
class Throttle:
    """Counts in this process alone; the lock of an account (accounts.locked_until) holds for all replicas."""

    _failed: OrderedDict[str, tuple[datetime, int]] = field(default_factory=OrderedDict)

    def wait(self, address: str, now: datetime) -> timedelta | None:
        """How long an address must still wait, or None."""
        since, count = self._failed.get(address, (now, 0))
        left = since + WINDOW - now
        return left if count >= FAILURES and left > timedelta(0) else None

    def failed(self, address: str, now: datetime) -> None:
        """One more failure; the oldest address is forgotten when there are too many."""
        since, count = self._failed.get(address, (now, 0))
        if now - since >= WINDOW:
            since, count = now, 0
        self._failed[address] = since, count + 1
        self._failed.move_to_end(address)
        if len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)
