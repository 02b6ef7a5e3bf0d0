"""From bytes off the bus to a message of the contract; whatever is wrong becomes a sentence, never an exception."""

import json
import re
from collections.abc import Callable

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from shared.contracts.base import Message
from shared.contracts.registry import EVENTS, PARTNER_EVENTS
from shared.messaging.envelope import TURN, Envelope, printable, type_of
from shared.messaging.incoming import Incoming, describe

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read_event(raw: Msg) -> Incoming:
    """One of our services' events, from ``events.<scheme>.<service>.<Name>``."""
    _, scheme, service, name = raw.subject.split(".", 3)
    place, told = f"/services/{service}", (raw.headers or {}).get(TURN, "")
    turn = int(told) if told.isdecimal() else None
    try:
        envelope = Envelope.model_validate_json(raw.data)
        message = EVENTS[service, name].model_validate_json(json.dumps(envelope.data))
    except Exception as error:
        problem = f"unknown event {error}" if isinstance(error, KeyError) else _told(error)
        stored = raw.metadata.timestamp
        return Incoming(raw, place, _fallback_id(raw), scheme, name, stored=stored, error=problem, turn=turn)
    return Incoming(raw, place, envelope.id, scheme, name, envelope, message, raw.metadata.timestamp, turn=turn)


def read_partner_event(raw: Msg, is_ours: Callable[[str], bool] = lambda name: True) -> Incoming:
    """A partner's event, from ``partners.<institution>.<scheme>.<Name>``: who sent it is said by the subject alone.

    Of one that another service answers for only its id is read: under it nothing else is taken.
    """
    parts = raw.subject.split(".", 3)
    _, institution, *rest = [*parts, "", ""][:4]
    scheme, name = (token if _TOKEN.fullmatch(token) else "" for token in rest)
    place = "/".join(("/partners", institution, scheme))
    if not is_ours(name):
        return Incoming(raw, place, _fallback_id(raw), scheme, name)
    envelope, message, problem = _parse(raw, scheme, name)
    return Incoming(
        raw,
        place,
        envelope.id if envelope else _fallback_id(raw),
        scheme,
        name,
        envelope,
        message,
        raw.metadata.timestamp,
        problem,
        institution,
    )


def _parse(raw: Msg, scheme: str, name: str) -> tuple[Envelope | None, Message | None, str]:
    kind = PARTNER_EVENTS.get(name)
    try:
        envelope = Envelope.model_validate_json(raw.data)
        data = json.dumps(envelope.data)
    except Exception as error:
        return None, None, f"not a CloudEvent: {_told(error)}"
    if kind is None:
        return envelope, None, f"unknown event {printable(raw.subject, 200)!r}"
    if envelope.type != type_of(name):
        return envelope, None, f"type {envelope.type!r} does not belong to subject {name!r}"
    if envelope.scheme not in ("", scheme):
        return envelope, None, f"scheme {envelope.scheme!r} is not the subject's {scheme!r}"
    try:
        message: BaseModel = kind.model_validate_json(data)
    except Exception as error:
        return envelope, None, _told(error)
    assert isinstance(message, Message)
    return envelope, message, ""


def _told(error: Exception) -> str:
    return describe(error) if isinstance(error, ValidationError) else printable(f"{type(error).__name__}: {error}", 500)


def _fallback_id(raw: Msg) -> str:
    """The id of a message that is not read: its own where that can be told, else the header's, else its place."""
    try:
        value = json.loads(raw.data)
    except (ValueError, RecursionError):
        value = None
    told = value.get("id") if isinstance(value, dict) else None
    for found in (told, (raw.headers or {}).get("Nats-Msg-Id")):
        if isinstance(found, str) and 0 < len(found) <= 200 and printable(found, 200) == found:
            return found
    return f"{raw.metadata.stream}:{raw.metadata.sequence.stream}"
