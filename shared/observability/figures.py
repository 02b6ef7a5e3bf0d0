"""The figures that every service counts while it works; what a database knows is read on a scrape (scrape.py)."""

from collections import Counter as Tally
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)

MESSAGES = Counter(
    "riskpool_messages_total",
    "Messages done with, by kind, name and outcome; a repeated one had no second effect",
    ["kind", "name", "outcome"],
    registry=REGISTRY,
)
HANDLING = Histogram(
    "riskpool_handling_seconds",
    "Time from taking a batch off the bus until it is committed and acknowledged",
    ["kind"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
COMMAND_SECONDS = Histogram(
    "riskpool_command_seconds",
    "Time from a command's arrival at the service that decides it to its answer",
    ["name"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
COMMANDS_FAILED = Counter(
    "riskpool_commands_failed_total", "Commands answered with 5xx: a failure of ours, not a refusal", registry=REGISTRY
)
REDELIVERED = Counter(
    "riskpool_redelivered_messages_total",
    "Messages that the bus delivered again: not acknowledged in time, or given back",
    ["stream"],
    registry=REGISTRY,
)
LAG = Gauge(
    "riskpool_consumer_lag_messages",
    "Messages of a stream that this service has not yet taken, as of its last look (every few seconds)",
    ["stream"],
    registry=REGISTRY,
)


@cache
def _counter(kind: str, name: str, outcome: str) -> Counter:
    """One of the counters of MESSAGES: looking it up anew costs more than counting."""
    return MESSAGES.labels(kind, name, outcome)


def count(kind: str, done: "Tally[tuple[str, str]]") -> None:
    """Count a batch of messages of a kind by ``(name, outcome)``."""
    for (name, outcome), number in done.items():
        _counter(kind, name, outcome).inc(number)
