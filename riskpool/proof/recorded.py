"""An event read from its payload: the envelope's fields that an audit compares, and the event itself."""

import json
import re
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, create_model

from shared.contracts.base import Event
from shared.contracts.pool import PoolEvent
from shared.contracts.registry import EVENTS
from shared.messaging.envelope import type_of

E = TypeVar("E", bound=Event)
_TYPE = re.compile(rb'"type":"riskpool\.([A-Za-z]+)\.v1"')
_DATA = b'"data":'


class Recorded(BaseModel, Generic[E]):
    """A CloudEvent of one of our services."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    source: str
    type: str
    time: AwareDatetime
    scheme: str = ""
    causationid: str = ""
    schemeversion: str = ""
    data: E

    @property
    def name(self) -> str:
        """The event's own name."""
        return type(self.data).__name__


def read(service: str, payload: bytes) -> Recorded[Event]:
    """The event of a payload; ValueError says what is wrong with it.

    What an event of the fund says of figures and entries is left as it stands: deciding it again gives both, and to
    compare them as text is ten times as fast as to read them.
    """
    found = _TYPE.search(payload)
    name = found[1].decode() if found else ""
    if (service, name) not in EVENTS:
        raise ValueError(f"no event of {service} is called {name!r}")
    return _model(EVENTS[service, name], True).model_validate_json(payload)


def read_whole(recorded: Recorded[Event], payload: bytes) -> Event:
    """The same event with all that ``read`` left as it stood; ValueError."""
    _, service = recorded.source.rsplit("/", 1)
    return _model(EVENTS[service, recorded.name], False).model_validate_json(payload).data


@cache
def _model(kind: type[Event], in_part: bool) -> type[Recorded[Event]]:
    if in_part and issubclass(kind, PoolEvent):
        as_it_stands: dict[str, Any] = {"fund": (Any, None), "entries": (Any, ())}
        kind = create_model(kind.__name__, __base__=kind, **as_it_stands)
    model: type[Recorded[Event]] = Recorded.__class_getitem__(kind)  # type: ignore[assignment]
    return model


def wrong_column(service: str, scheme: str, recorded: Recorded[Event], columns: tuple[str, str, str] | None) -> str:
    """The first column that does not agree with the payload, in words; empty when all do."""
    name = recorded.name
    expected = (recorded.id, name, f"events.{scheme}.{service}.{name}")
    for column, stored, said in zip(("event_id", "name", "subject"), columns or expected, expected, strict=True):
        if stored != said:
            return f"{column}: is {stored!r}, the payload says {said!r}"
    if recorded.scheme != scheme:
        return f"scheme: is {scheme!r}, the payload says {recorded.scheme!r}"
    if (recorded.source, recorded.type) != (f"/services/{service}", type_of(name)):
        return f"content: {recorded.source} {recorded.type} is no event of {service}"
    return ""


def is_same(again: Event, recorded: Recorded[Event], payload: bytes) -> bool:
    """Whether an event that was made again is the recorded one to the byte."""
    data = payload.find(_DATA) + len(_DATA)
    return type(again).__name__ == recorded.name and payload.startswith(again.json_data().encode(), data)


def difference(again: Event, recorded: Recorded[Event], payload: bytes) -> str:
    """The first field in which an event that was made again differs from the recorded one; empty when none does.

    A field that the contract has gained since is not in an old event, and is not missed there.
    """
    if type(again).__name__ != recorded.name:
        return f"the rules give {type(again).__name__}"
    return _first(json.loads(payload)["data"], again.model_dump(mode="json"), "")


def _first(said: Any, made: Any, where: str) -> str:
    """The first place where what was said is not what is made, walking through objects and lists."""
    if isinstance(said, dict) and isinstance(made, dict):
        for name, value in said.items():
            if name not in made:
                return f"{where}{name} is {value!r}, the rules give nothing"
            if found := _first(value, made[name], f"{where}{name}."):
                return found
        return ""
    if isinstance(said, list) and isinstance(made, list) and len(said) == len(made):
        pairs = enumerate(zip(said, made, strict=True))
        return next((found for n, (s, m) in pairs if (found := _first(s, m, f"{where}{n}."))), "")
    return "" if said == made else f"{where.removesuffix('.')} is {said!r}, the rules give {made!r}"
