"""What requests carry besides their path: a raw body within its limit, an idempotency key, a business time."""

import json
import re
import uuid
from collections.abc import Sequence
from datetime import date, datetime

from fastapi import Request

from services.gateway.api.problems import Problem, malformed_field
from services.gateway.business_days import LONGEST_STEP_DAYS, current_day, midnight
from shared.clock import SHANGHAI, business_date
from shared.messaging.service import Service
from shared.scheme.loader import Scheme

LARGEST_BODY_BYTES = 1_000_000
JSON = ("application/json",)
CLOUDEVENT = ("application/json", "application/cloudevents+json")
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,200}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


async def read_body(request: Request, types: Sequence[str]) -> bytes:
    """The body as it came; Problem 415 for another media type, 413 above the limit (also when sent in chunks)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in types:
        raise Problem(415, "media_type", figures={"types": ", ".join(types)})
    announced = request.headers.get("content-length", "")
    size, chunks = 0, list[bytes]()
    if announced.isdecimal() and int(announced[:12]) > LARGEST_BODY_BYTES:
        raise _too_large()
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> Problem:
    return Problem(413, "too_large", figures={"limit": "1 MB"}, headers={"Connection": "close"})


def is_plain_json(body: bytes) -> bool:
    """Whether the standard library can carry the body further: it refuses numbers of thousands of digits."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def idempotency_key(request: Request) -> str:
    """The caller's key, or a new one: 1 to 200 printable characters, else Problem 422."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return str(uuid.uuid4())
    if not _PRINTABLE.fullmatch(key) or not key.strip():
        raise malformed_field("Idempotency-Key", "must be 1 to 200 printable ASCII characters")
    return key


async def business_moment(service: Service, scheme: Scheme, request: Request) -> datetime:
    """When the request counts: now, or with the ``message`` clock what ``Riskpool-Time`` says."""
    told = request.headers.get("riskpool-time")
    if service.clock.mode == "server":
        if told is not None:
            raise Problem(422, "clock", scheme=scheme)
        return service.clock.now()
    day = await current_day(service, scheme.id)
    if told is None:
        now = service.clock.now()
        return now if day is None or day <= business_date(now) else datetime.combine(day, now.timetz())
    moment = parse_moment(told)
    check_step(day, business_date(moment))
    return moment


def parse_moment(text: str, field: str = "Riskpool-Time") -> datetime:
    """A moment with offset, or the beginning of a day in Asia/Shanghai; Problem 422 for anything else."""
    try:
        moment = midnight(date.fromisoformat(text)) if _DAY.fullmatch(text) else datetime.fromisoformat(text)
        if moment.tzinfo is None or not 2000 <= moment.year < 2200:
            raise ValueError
        return moment.astimezone(SHANGHAI)
    except ValueError:
        message = "must be a date (2026-03-02) or a time with offset (2026-03-02T09:30:00+08:00) from 2000 to 2199"
        raise malformed_field(field, message) from None


def check_step(current: date | None, wanted: date) -> None:
    """Problem 422 for a step so long that it can only be a slip of the pen."""
    if current is not None and (wanted - current).days > LONGEST_STEP_DAYS:
        raise malformed_field("date", f"is more than {LONGEST_STEP_DAYS} days after the current business day {current}")
