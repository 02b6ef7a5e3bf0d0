"""What pages work out of the events, kept until the next event: pages are opened more often than anything happens."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
MOST = 300


class Kept:
    """Answers by key as of one position; at any other position all of them are forgotten."""

    def __init__(self) -> None:
        self._position, self._known = -1, dict[Hashable, Any]()

    async def of(self, position: int, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """The answer of a key; ``position`` was read before it, so that what is kept is never older."""
        if position != self._position or len(self._known) >= MOST:
            self._position, self._known = position, {}
        if key in self._known:
            known: T = self._known[key]
            return known
        found = await read()
        if position == self._position:
            self._known[key] = found
        return found
