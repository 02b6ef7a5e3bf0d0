"""The public doors a story goes through: HTTP as an agency, NATS (or HTTP) as a partner."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import uuid4

import httpx
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout

from riskpool.partners.client import BusClient, Connect, PartnerClient, event_bytes

Tokens = Callable[[str], str]
_FIRST_WAIT_S = 10.0
_DOOR_WAIT_S = 60.0
_RECOVERY_WAIT_S = 30.0
_DAYS_WAIT_S = 300.0


class DoorError(Exception):
    """The system did not answer at all; the message says which door."""


@dataclass(frozen=True)
class Answer:
    """What came back: ``outcome`` is accepted, refused, duplicate or unreadable."""

    outcome: str
    rule: str = ""
    detail: str = ""
    body: dict[str, Any] = field(default_factory=dict)


def at_nine(day: date) -> str:
    """Nine in the morning of a business date in Asia/Shanghai (RFC 3339)."""
    return f"{day.isoformat()}T09:00:00+08:00"


class HttpDoor:
    """The gateway's HTTP API, as any organisation that ``tokens`` can speak for."""

    def __init__(self, api_url: str, scheme: str, tokens: Tokens) -> None:
        self.scheme = scheme
        self._tokens = tokens
        self._known: dict[str, str] = {}
        self._patience = _FIRST_WAIT_S
        self.closed_at = 0.0
        self._client = httpx.AsyncClient(base_url=api_url.rstrip("/"), trust_env=False)

    async def close(self) -> None:
        """Drop the connections."""
        await self._client.aclose()

    async def command(self, organisation: str, name: str, fields: dict[str, Any], day: date, key: str) -> Answer:
        """Make a command; the same ``key`` may be sent again."""
        headers = {"Riskpool-Time": at_nine(day), "Idempotency-Key": key}
        return _answer(await self._send("POST", f"/commands/{name}", organisation, headers, fields), key)

    async def partner_event(
        self, organisation: str, name: str, fields: dict[str, Any], day: date, event_id: str
    ) -> Answer:
        """Report a fact without a bus client."""
        headers = {"Riskpool-Time": at_nine(day), "Idempotency-Key": event_id}
        for _ in range(3):
            response = await self._send("POST", f"/partner-events/{name}", organisation, headers, fields)
            if response.status_code != 202:
                return _answer(response, event_id)
        raise DoorError(f"no receipt for {name} of {organisation} (event {event_id})")

    async def begin_day(self, organisation: str, day: date) -> Answer:
        """Announce every business day up to ``day``."""
        headers = {"Riskpool-Time": at_nine(day)}
        body = {"date": day.isoformat()}
        return _answer(await self._send("POST", "/business-day", organisation, headers, body, seconds=_DAYS_WAIT_S), "")

    async def read(self, organisation: str, path: str) -> tuple[int, Any]:
        """Status and JSON of a resource of the scheme."""
        response = await self._send("GET", path, organisation, {}, None)
        return response.status_code, _json(response)

    async def credentials(self, commission: str, institution: str) -> dict[str, Any] | None:
        """New credentials of an institution for the bus, or None when it gets none."""
        body = {"note": "scenario", "days": 1}
        response = await self._send("POST", f"/institutions/{institution}/bus-credentials", commission, {}, body)
        return _json(response) if response.status_code == 201 else None

    async def end_credentials(self, commission: str, institution: str, identifier: str) -> None:
        """End credentials that are no longer used."""
        await self._send("DELETE", f"/institutions/{institution}/bus-credentials/{identifier}", commission, {}, None)

    async def settled(self, organisation: str) -> bool:
        """Whether every consumer has taken what was published."""
        status, progress = await self.read(organisation, "/progress")
        if status != 200 or None in progress.get("outbox", {}).values():
            self.closed_at = time.monotonic()
        return status == 200 and bool(progress.get("settled"))

    def token(self, organisation: str) -> str:
        """The organisation's token, made on first use."""
        if organisation not in self._known:
            self._known[organisation] = self._tokens(organisation)
        return self._known[organisation]

    async def _send(
        self, method: str, path: str, organisation: str, headers: dict[str, str], body: Any, seconds: float = 30.0
    ) -> httpx.Response:
        """One request; a door that was open once is knocked at for a minute, with the same key, until it is again."""
        url = f"/v1/schemes/{self.scheme}{path}"
        headers = {**headers, "Authorization": f"Bearer {self.token(organisation)}", "Accept-Language": "en"}
        deadline = time.monotonic() + self._patience
        while True:
            try:
                response = await self._client.request(method, url, headers=headers, json=body, timeout=seconds)
                found = f"status {response.status_code}"
                if response.status_code not in (429, 502, 503, 504):
                    self._patience = _DOOR_WAIT_S
                    return response
            except httpx.TransportError as error:
                found = repr(error)
            self.closed_at = time.monotonic()
            if self.closed_at > deadline:
                self._patience = 0.0
                raise DoorError(f"{method} {url}: the gateway does not answer: {found}")
            await asyncio.sleep(0.2)


class BusDoor:
    """The bus as partners see it: each with an account of its own, for which the commission issues credentials."""

    def __init__(self, nats_url: str, http: HttpDoor, commission: str, connect: Connect) -> None:
        self._url, self._http, self._commission, self._connect = nats_url, http, commission, connect
        self._partners: dict[str, tuple[BusClient, str]] = {}
        self._letting_in = asyncio.Lock()
        self._patience = _DOOR_WAIT_S
        self.closed_at = 0.0

    async def partner_event(
        self, institution: str, name: str, fields: dict[str, Any], day: date, event_id: str, *, times: int = 1
    ) -> Answer | None:
        """Publish until there is a receipt; None when the institution gets no credentials."""
        partner = await self._partner(institution)
        if partner is None:
            return None
        payload = event_bytes(self._http.scheme, institution, name, fields, at_nine(day), event_id)
        deadline = time.monotonic() + self._patience
        while True:
            try:
                for _ in range(times):
                    await partner.publish(self._http.scheme, name, payload)
                receipt = await partner.receipt(event_id)
                if receipt is not None:
                    self._patience = _DOOR_WAIT_S
                    return _from_receipt(receipt)
            except (NatsError, NatsTimeout):
                await asyncio.sleep(0.2)
            self.closed_at = time.monotonic()
            if self.closed_at > deadline:
                self._patience = 0.0
                raise DoorError(f"no receipt for {name} of {institution} (event {event_id})")

    async def _partner(self, institution: str) -> BusClient | None:
        async with self._letting_in:  # two connections would take each other's receipts
            if institution not in self._partners:
                issued = await self._http.credentials(self._commission, institution)
                if issued is None:
                    return None
                client = await self._connect(self._url, lambda: str(issued["credentials"]))
                self._partners[institution] = client, str(issued["id"])
            return self._partners[institution][0]

    async def close(self) -> None:
        """Give the credentials back."""
        for institution, (client, issued) in self._partners.items():
            await client.close()
            await self._http.end_credentials(self._commission, institution, issued)


class Doors:
    """Both doors of one scheme; a partner without a stream on the bus reports over HTTP."""

    def __init__(self, http: HttpDoor, bus: BusDoor | None) -> None:
        self.http = http
        self._bus = bus

    def waits_until(self, began: float, seconds: float) -> float:
        """How long to wait for an effect: so long, and longer where a door was found closed lately."""
        closed_at = max(self.http.closed_at, self._bus.closed_at if self._bus else 0.0)
        return max(began + seconds, min(closed_at + _RECOVERY_WAIT_S, began + _DOOR_WAIT_S))

    async def report(
        self, institution: str, name: str, fields: dict[str, Any], day: date, *, twice: bool = False
    ) -> Answer:
        """A partner event through the bus, or over HTTP where there is no bus."""
        event_id = str(uuid4())
        if self._bus is not None:
            answer = await self._bus.partner_event(institution, name, fields, day, event_id, times=2 if twice else 1)
            if answer is not None:
                return answer
        answer = await self.http.partner_event(institution, name, fields, day, event_id)
        return await self.http.partner_event(institution, name, fields, day, event_id) if twice else answer

    async def command(
        self, organisation: str, name: str, fields: dict[str, Any], day: date, *, twice: bool = False
    ) -> Answer:
        """A command; twice with one key must answer the same twice."""
        key = str(uuid4())
        answer = await self.http.command(organisation, name, fields, day, key)
        if twice and (again := await self.http.command(organisation, name, fields, day, key)) != answer:
            raise DoorError(f"{name} sent again with its key answered {again}, the first answer was {answer}")
        return answer


@asynccontextmanager
async def open_doors(
    api_url: str,
    nats_url: str | None,
    scheme: str,
    tokens: Tokens,
    commission: str = "drc",
    connect: Connect = PartnerClient.connect,
) -> AsyncIterator[Doors]:
    """The doors of a running system, closed on leaving; ``commission`` lets partners onto the bus."""
    http = HttpDoor(api_url, scheme, tokens)
    bus = BusDoor(nats_url, http, commission, connect) if nats_url is not None else None
    try:
        yield Doors(http, bus)
    finally:
        with contextlib.suppress(DoorError):
            if bus is not None:
                await bus.close()
        await http.close()


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except json.JSONDecodeError:
        return {"detail": response.text[:500]}


def _from_receipt(receipt: dict[str, Any]) -> Answer:
    return Answer(str(receipt.get("outcome", "")), receipt.get("rule") or "", receipt.get("detail") or "", receipt)


def _answer(response: httpx.Response, event_id: str) -> Answer:
    body = _json(response)
    if not isinstance(body, dict):
        body = {"detail": str(body)}
    if "outcome" in body:
        return _from_receipt({"event_id": event_id, **body})
    if response.is_success:
        return Answer("accepted", body=body)
    rule = body.get("rule") or ("malformed" if response.status_code == 422 else f"http.{response.status_code}")
    return Answer("refused", str(rule), str(body.get("detail") or body.get("title") or ""), body)
