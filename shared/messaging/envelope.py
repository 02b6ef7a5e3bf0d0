"""CloudEvents 1.0 in structured JSON (contract.md section 2): what every message is wrapped in."""

import os
import time as _time
import uuid
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

CONTENT_TYPE = "application/cloudevents+json"
HEADERS = {"content-type": CONTENT_TYPE}


def new_id() -> str:
    """A UUIDv7 (RFC 9562): the first 48 bits are milliseconds, so ids sort by time."""
    value = (_time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


class Envelope(BaseModel):
    """A CloudEvent; unknown attributes are ignored, the ones named here must be right."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1, max_length=200)]
    source: Annotated[str, Field(min_length=1, max_length=200)]
    type: Annotated[str, Field(min_length=1, max_length=200)]
    time: AwareDatetime
    subject: str = ""
    datacontenttype: str = "application/json"
    scheme: str = ""
    correlationid: str = ""
    causationid: str = ""
    schemeversion: str = ""
    traceparent: str | None = None
    data: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The message's own name: ``riskpool.EnterpriseRated.v1`` is ``EnterpriseRated``."""
        parts = self.type.split(".")
        return parts[1] if len(parts) == 3 and parts[0] == "riskpool" else self.type


def type_of(name: str) -> str:
    """The CloudEvents ``type`` of version 1 of a message."""
    return f"riskpool.{name}.v1"
