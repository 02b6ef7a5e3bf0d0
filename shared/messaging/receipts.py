"""Receipts: exactly one answer for every partner event (contract.md section 3)."""

from datetime import datetime
from json import JSONEncoder
from typing import Literal

from shared.contracts.base import Shape
from shared.messaging.envelope import event_json, new_id
from shared.messaging.unit_of_work import RECEIPTS, Announcement, Transaction

_JSON = JSONEncoder(ensure_ascii=False).encode
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
    receipt: Receipt,
    traceparent: str | None = None,
) -> None:
    """Put a receipt into the outbox, for that institution only."""
    event_id = new_id()
    time = receipt.at.isoformat()
    data = _JSON({key: value for key, value in {**receipt.__dict__, "at": time}.items() if value is not None})
    of = {"subject": receipt.event_id, "scheme": scheme, "causationid": receipt.event_id}
    of["traceparent"] = traceparent or ""
    payload = event_json(transaction.service, event_id, "Receipt", time, data, **of)
    subject = f"receipts.{institution}.{scheme}.{event_name}"
    transaction.announcements.append(Announcement(event_id, scheme, RECEIPTS, subject, "Receipt", payload))
