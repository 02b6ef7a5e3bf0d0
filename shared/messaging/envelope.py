"""CloudEvents 1.0 in structured JSON (contract.md section 2): what every message is wrapped in."""

import os
import random
import re
import time as _time
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

CONTENT_TYPE = "application/cloudevents+json"
HEADERS = {"content-type": CONTENT_TYPE}
TURN = "Riskpool-Turn"
"""The header that says which of its service's events of the scheme an event is, from 1."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_Attribute = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Needed = Annotated[_Attribute, Field(min_length=1)]
_LOW = (1 << 62) - 1
_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """A UUIDv7 (RFC 9562): the first 48 bits are milliseconds, so ids sort by time."""
    bits = _random.getrandbits(74)
    text = f"{_time.time_ns() // 1_000_000 << 80 | 7 << 76 | bits >> 62 << 64 | 2 << 62 | bits & _LOW:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def event_json(service: str, event_id: str, name: str, time: str, data: str, **others: str | None) -> str:
    """A CloudEvent of a service as JSON text: ``data`` is JSON already, what is empty is left out.

    A business number may hold a tab or a line's end; an attribute may not, and nobody could read the event.
    """
    told = ""
    for key, value in others.items():
        if value:
            told += f',"{key}":{encode_basestring(value if value.isprintable() else printable(value, 200))}'
    return (
        f'{{"specversion":"1.0","id":"{event_id}","source":"/services/{service}","type":"{type_of(name)}",'
        f'"time":"{time}","datacontenttype":"application/json"{told},"data":{data}}}'
    )


def printable(text: str, most: int) -> str:
    """Text of a stranger as every database, log and terminal can hold it, cut to a length."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text[:most])


class Envelope(BaseModel):
    """A CloudEvent; unknown attributes are ignored, the ones named here must be right."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"]
    id: _Needed
    source: _Needed
    type: _Needed
    time: Annotated[AwareDatetime, Field(ge=datetime(1900, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC))]
    subject: _Attribute = ""
    datacontenttype: _Attribute = "application/json"
    scheme: _Attribute = ""
    correlationid: _Attribute = ""
    causationid: _Attribute = ""
    schemeversion: _Attribute = ""
    traceparent: _Attribute | None = None
    bodysha256: _Attribute = ""
    data: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The message's own name: ``riskpool.EnterpriseRated.v1`` is ``EnterpriseRated``."""
        parts = self.type.split(".")
        return parts[1] if len(parts) == 3 and parts[0] == "riskpool" else self.type


def type_of(name: str) -> str:
    """The CloudEvents ``type`` of version 1 of a message."""
    return f"riskpool.{name}.v1"
