"""What an audit of one service found: how much it read, and every difference with the row it is in."""

from dataclasses import dataclass, field

MOST_KEPT = 1000


@dataclass
class Findings:
    """``differences`` are in the order of the rows, the first ones in words; ``more`` counts those after them.

    ``decided`` counts events that were decided again, ``seconds`` is the processor's time by what it was used for.
    """

    service: str
    events: int = 0
    things: int = 0
    entries: int = 0
    decided: int = 0
    closes: int = 0
    unsigned: int = 0
    differences: list[str] = field(default_factory=list)
    more: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def differ(self, words: str) -> None:
        """Note a difference."""
        if len(self.differences) < MOST_KEPT:
            self.differences.append(words)
        else:
            self.more += 1

    def event(self, scheme: str, position: int, event_id: str, what: str) -> None:
        """Note a difference in a row of ``outbox``; ``what`` begins with its column, or with ``content``."""
        self.differ(f"outbox {scheme} position {position} event {event_id}: {what}")

    def journal(self, scheme: str, seq: str, what: str) -> None:
        """Note a difference in a row of ``journal``."""
        self.differ(f"journal {scheme} seq {seq}: {what}")

    def spend(self, what: str, seconds: float) -> None:
        """Add to the processor's time spent on something."""
        self.seconds[what] = self.seconds.get(what, 0.0) + seconds

    def add(self, other: "Findings") -> None:
        """Take over what was found in another part of the same service."""
        for name in ("events", "things", "entries", "decided", "closes", "unsigned", "more"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for words in other.differences:
            self.differ(words)
        for what, seconds in other.seconds.items():
            self.spend(what, seconds)

    @property
    def count(self) -> int:
        """How many differences there are."""
        return len(self.differences) + self.more
