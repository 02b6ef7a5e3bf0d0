"""Logs as JSON lines and the figures that every service shows at /metrics."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
MESSAGES = Counter(
    "riskpool_messages_total", "Messages by kind, name and outcome", ["kind", "name", "outcome"], registry=REGISTRY
)
SECONDS = Histogram("riskpool_handling_seconds", "Time from taking a batch to its commit", ["kind"], registry=REGISTRY)
PARKED = Gauge("riskpool_parked_messages", "Messages parked and not yet dealt with", registry=REGISTRY)
OUTBOX = Gauge("riskpool_outbox_unpublished", "Outbox rows not yet on the bus", registry=REGISTRY)

@cache
def counted(kind: str, name: str, outcome: str) -> Counter:
    """One of the counters of MESSAGES: looking it up anew costs more than counting."""
    return MESSAGES.labels(kind, name, outcome)


_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _JsonLines(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "service": self._service,
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{k: v for k, v in record.__dict__.items() if k not in _STANDARD},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)[-4000:]
        return json.dumps(line, ensure_ascii=False, default=str)


def log_as_json(service: str) -> None:
    """Send this process's logs to standard error as JSON lines, at ``RISKPOOL_LOG_LEVEL`` (default INFO)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(service))
    logging.basicConfig(handlers=[handler], level=os.environ.get("RISKPOOL_LOG_LEVEL", "INFO"), force=True)
    for noisy in ("nats", "uvicorn.access", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
