"""Receipts: exactly one answer for every partner event (contract.md section 3)."""

from datetime import datetime
from json.encoder import encode_basestring as text
from typing import Literal

from shared.contracts.base import Shape
from shared.messaging.envelope import event_json, new_id
from shared.messaging.unit_of_work import RECEIPTS, Announcement, Transaction

Outcome = Literal["accepted", "refused", "duplicate", "unreadable"]


class Receipt(Shape):
    """What became of one partner event; ``rule`` and ``detail`` say why it was not accepted."""

    event_id: str
    outcome: Outcome
    rule: str | None = None
    detail: str | None = None
    at: datetime


def announce_receipt(
    transaction: Transaction,
    institution: str,
    scheme: str,
    event_name: str,
    event_id: str,
    outcome: Outcome,
    time: str,
    rule: str | None = None,
    detail: str | None = None,
    traceparent: str | None = None,
    body_sha256: bytes = b"",
) -> None:
    """Put the receipt of an event into the outbox, for that institution only; ``time`` is its moment in ISO 8601.

    ``body_sha256`` says which of two bodies under one id it answers; the envelope carries it for the gateway.
    """
    of, receipt_id = text(event_id), new_id()
    why = f', "rule": {text(rule)}' if rule is not None else ""
    told = f', "detail": {text(detail)}' if detail is not None else ""
    data = f'{{"event_id": {of}, "outcome": "{outcome}"{why}{told}, "at": "{time}"}}'
    others = {"subject": event_id, "scheme": scheme, "causationid": event_id, "traceparent": traceparent}
    payload = event_json(
        transaction.service, receipt_id, "Receipt", time, data, **others, bodysha256=body_sha256.hex()
    )
    subject = f"receipts.{institution}.{scheme}.{event_name}"
    transaction.announcements.append(Announcement(receipt_id, scheme, RECEIPTS, subject, "Receipt", payload))
