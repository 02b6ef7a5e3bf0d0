"""One message off the bus, and what may be wrong with it."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from json import JSONEncoder

from nats.aio.msg import Msg
from pydantic import ValidationError

from shared.contracts.base import Message
from shared.messaging.envelope import Envelope, printable
from shared.observability import traces

FAULTS_TOLD = 8
_sorted_json = JSONEncoder(sort_keys=True).encode


class Unreadable(Exception):
    """A message that cannot be understood, or breaks its contract: it is parked with its bytes."""


class OutOfTurn(Exception):
    """An event whose service recorded another of the same scheme before it, which has not come yet: it is held."""


class MismatchedBody(Exception):
    """A message id that was taken before with another body."""


@dataclass(frozen=True)
class Incoming:
    """One message off the bus: ``source`` and ``id`` identify it, ``scheme`` locks it, ``message`` is its content.

    ``turn`` is its place among the scheme's events of its source, from 1; it is ``overdue`` when it has waited for the
    one before it for ten minutes.
    """

    raw: Msg
    source: str
    id: str
    scheme: str
    name: str
    envelope: Envelope | None = None
    message: Message | None = None
    stored: datetime | None = None
    error: str = ""
    institution: str = ""
    turn: int | None = None
    overdue: bool = False

    @property
    def body_sha256(self) -> bytes:
        """What tells two bodies under one id apart: name and data, or all bytes where there is no readable data."""
        return sha256_of(self.name, self.envelope.data) if self.envelope else hashlib.sha256(self.raw.data).digest()

    @property
    def ids(self) -> dict[str, str]:
        """What finds it in logs and traces: its own id, its case and its trace."""
        case, parent = (self.envelope.correlationid, self.envelope.traceparent) if self.envelope else ("", None)
        return {"id": self.id, "correlation_id": case, "trace_id": traces.trace_id(parent)}

    @property
    def label(self) -> str:
        """Its name for the metrics, where a stranger must not invent names."""
        return self.name if self.message is not None else "unknown"


def sha256_of(name: str, data: object) -> bytes:
    """The SHA-256 of a message's name and data, whatever the order of its fields."""
    return hashlib.sha256(_sorted_json([name, data]).encode()).digest()


def body_sha256(name: str, body: bytes) -> bytes:
    """The digest that the inbox will keep of a body, to be known before it is sent."""
    try:
        return sha256_of(name, Envelope.model_validate_json(body).data)
    except ValidationError:
        return hashlib.sha256(body).digest()


def describe(error: ValidationError) -> str:
    """A validation error as fields and messages, without the input's values; the first few, as a receipt is small."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    told = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in faults[:FAULTS_TOLD]]
    more = [f"and {len(faults) - FAULTS_TOLD} more"] if len(faults) > FAULTS_TOLD else []
    return printable("; ".join([*told, *more]), 1000)
