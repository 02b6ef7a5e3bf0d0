"""Commands over request and reply: the first answer to a key stands for ever; another body under it is refused."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from shared.contracts.base import Command
from shared.contracts.registry import COMMANDS
from shared.decisions import Decision, Refusal
from shared.messaging.envelope import Envelope
from shared.messaging.incoming import describe
from shared.messaging.unit_of_work import UnitOfWork

STATUS = {"permission": 403, "unknown": 404, "malformed": 422}
Answer = dict[str, Any]


def refused(unit: UnitOfWork, refusal: Refusal) -> Answer:
    """A refusal as it travels to the gateway, which puts it into words."""
    body = {
        "rule": refusal.rule,
        "reason": refusal.reason,
        "figures": refusal.figures,
        "findings": [f.model_dump(mode="json") for f in refusal.findings],
        "clause": unit.scheme.clause(refusal.rule),
        "scheme_version": unit.scheme.version,
    }
    return {"status": STATUS.get(refusal.rule, 409), "body": body}


async def answer_of(unit: UnitOfWork, decision: Decision) -> Answer:
    """Record what follows and say so."""
    recorded = await unit.record(decision.events)
    if isinstance(decision, Refusal):
        return refused(unit, decision)
    return {"status": 200, "body": {"accepted": True, "events": recorded, "result": decision.result}}


def mismatch(key: str) -> Answer:
    """The answer to a key that was used before with another body."""
    figures = {"key": key}
    body = {"rule": "idempotency.mismatch", "reason": "", "figures": figures, "findings": [], "clause": ""}
    return {"status": 409, "body": body}


def body_sha256(envelope: Envelope) -> bytes:
    """The hash of a command's name and data."""
    return hashlib.sha256(json.dumps([envelope.name, envelope.data], sort_keys=True).encode()).digest()


def parse_command(envelope: Envelope) -> Command | Refusal:
    """The command of an envelope, or why it cannot be read."""
    kind: Mapping[str, type[Command]] = COMMANDS
    if envelope.name not in kind:
        return Refusal("malformed", figures={"problem": f"unknown command {envelope.name}"})
    try:
        return kind[envelope.name].model_validate_json(json.dumps(envelope.data))
    except ValidationError as error:
        return Refusal("malformed", figures={"problem": describe(error)})
