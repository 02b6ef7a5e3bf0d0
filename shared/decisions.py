"""What a rule answers: events that follow, or a named refusal; an exception is a bug or broken infrastructure."""

from dataclasses import dataclass, field

from shared.contracts.base import Event, Finding


@dataclass(frozen=True)
class Accepted:
    """The events that follow, in order. ``duplicate`` marks a fact that was already known (no events)."""

    events: tuple[Event, ...] = ()
    result: dict[str, object] = field(default_factory=dict)
    duplicate: bool = False


@dataclass(frozen=True)
class Refusal:
    """A named refusal: ``rule`` is its id, ``reason`` picks the sentence, ``figures`` fill it.

    ``permission`` answers 403, ``unknown`` 404, every other rule 409. ``events`` are announced all the same.
    """

    rule: str
    reason: str = ""
    figures: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    events: tuple[Event, ...] = ()


Decision = Accepted | Refusal
