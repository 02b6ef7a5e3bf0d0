"""Messages that came before their turn are held, unacked, until those before them are there."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

from nats.aio.msg import Msg

from shared.messaging.incoming import Incoming

OVERDUE_SECONDS = 600.0  # longer than a bus or a service is away; what is missing so long will not come
AGAIN_SECONDS = 0.2
Place = tuple[str, str]


@dataclass
class Held:
    """What one consumer holds. The server delivers it again after a while; that delivery then replaces the held one."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _held: dict[Place, Incoming] = field(default_factory=dict)
    _since: dict[Place, float] = field(default_factory=dict)
    _again: asyncio.Task[None] | None = None

    def with_held(self, batch: Sequence[Incoming]) -> list[Incoming]:
        """A batch with what was held, the messages of each source and scheme in their order; some may be overdue."""
        again, late = {(one.source, one.id) for one in batch}, monotonic() - OVERDUE_SECONDS
        together = [*(one for place, one in self._held.items() if place not in again), *batch]
        self._held = {}
        queues: defaultdict[Place, list[Incoming]] = defaultdict(list)
        for one in together:
            overdue = self._since.get((one.source, one.id), late) < late
            queues[one.source, one.scheme].append(replace(one, overdue=True) if overdue else one)
        ordered = {place: iter(sorted(queue, key=lambda one: one.turn or 0)) for place, queue in queues.items()}
        return [next(ordered[one.source, one.scheme]) for one in together]

    def hold(self, one: Incoming) -> None:
        """Keep a message until the next batch."""
        self._held[one.source, one.id] = one
        self._since.setdefault((one.source, one.id), monotonic())

    def forget(self, one: Incoming) -> None:
        """A message was taken."""
        self._since.pop((one.source, one.id), None)

    def end(self) -> None:
        """Hold nothing any more: another replica takes what the server delivers again."""
        if self._again:
            self._again.cancel()
        self._held, self._since, self._again = {}, {}, None

    def later(self, take: Callable[[Sequence[Msg]], Awaitable[None]]) -> None:
        """Try what is held again soon, though nothing comes: another replica may have taken what was awaited."""

        async def again() -> None:
            await asyncio.sleep(AGAIN_SECONDS)
            self._again = None
            await take(())

        if self._held and self._again is None:
            self._again = asyncio.create_task(again(), name="held")
