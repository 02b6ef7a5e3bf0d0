"""From bytes off the bus to a message of the contract; whatever is wrong becomes a sentence, never an exception."""

import json

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from shared.contracts.base import Message
from shared.contracts.registry import EVENTS, PARTNER_EVENTS
from shared.messaging.envelope import Envelope
from shared.messaging.intake import Incoming, describe


def read_event(raw: Msg) -> Incoming:
    """One of our services' events, from ``events.<scheme>.<service>.<Name>``."""
    _, scheme, service, name = raw.subject.split(".", 3)
    place = f"/services/{service}"
    try:
        envelope = Envelope.model_validate_json(raw.data)
        message = EVENTS[service, name].model_validate_json(json.dumps(envelope.data))
    except (ValidationError, KeyError) as error:
        problem = describe(error) if isinstance(error, ValidationError) else f"unknown event {error}"
        return Incoming(raw, place, _fallback_id(raw), scheme, name, stored=raw.metadata.timestamp, error=problem)
    return Incoming(raw, place, envelope.id, scheme, name, envelope, message, raw.metadata.timestamp)


def read_partner_event(raw: Msg) -> Incoming:
    """A partner's event, from ``partners.<institution>.<scheme>.<Name>``: who sent it is said by the subject alone."""
    parts = raw.subject.split(".", 3)
    _, institution, scheme, name = [*parts, "", ""][:4]
    place = f"/partners/{institution}"
    envelope, message, problem = _parse(raw, scheme, name)
    return Incoming(
        raw, place, envelope.id if envelope else _fallback_id(raw), scheme, name, envelope, message,
        raw.metadata.timestamp, problem, institution,
    )


def _parse(raw: Msg, scheme: str, name: str) -> tuple[Envelope | None, Message | None, str]:
    kind = PARTNER_EVENTS.get(name)
    try:
        envelope = Envelope.model_validate_json(raw.data)
    except (ValidationError, RecursionError) as error:
        return None, None, f"not a CloudEvent: {describe(error) if isinstance(error, ValidationError) else error}"
    if kind is None:
        return envelope, None, f"unknown event {name!r}"
    if envelope.name != name:
        return envelope, None, f"type {envelope.type!r} does not belong to subject {name!r}"
    if envelope.scheme not in ("", scheme):
        return envelope, None, f"scheme {envelope.scheme!r} is not the subject's {scheme!r}"
    try:
        message: BaseModel = kind.model_validate_json(json.dumps(envelope.data))
    except (ValidationError, ValueError) as error:
        return envelope, None, describe(error) if isinstance(error, ValidationError) else str(error)
    assert isinstance(message, Message)
    return envelope, message, ""


class _IdOnly(BaseModel):
    id: str


def _fallback_id(raw: Msg) -> str:
    """The id of an unreadable message: its own where that can be read, else the header's, else its place in the stream."""
    try:
        return _IdOnly.model_validate_json(raw.data).id[:200].replace("\x00", "") or f"{raw.metadata.stream}:{raw.metadata.sequence.stream}"
    except ValidationError:
        header = (raw.headers or {}).get("Nats-Msg-Id", "")
        return header[:200] or f"{raw.metadata.stream}:{raw.metadata.sequence.stream}"
