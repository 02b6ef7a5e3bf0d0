"""`riskpool partner certify`: a partner's own way in, tried with good, bad, repeated and late events."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from nats.errors import Error as NatsError

from riskpool.partners.client import PartnerClient
from riskpool.token import fail
from shared.clock import SHANGHAI, Clock
from shared.messaging.envelope import new_id, type_of

RECEIPT_SECONDS = 15.0
SILENCE_SECONDS = 2.0
CONNECT_SECONDS = 10.0
# An event of each kind of institution that is well-formed whatever the scheme holds: no rule or some rule refuses it.
PLAIN: dict[str, tuple[str, dict[str, str]]] = {
    "bank": ("LoanRepaid", {"loan_no": "CERTIFY", "principal": "1.00"}),
    "lender": ("LoanRepaid", {"loan_no": "CERTIFY", "principal": "1.00"}),
    "guarantor": ("RecoveryCollected", {"loan_no": "CERTIFY", "amount": "1.00"}),
    "insurer": ("FinancingDeclined", {"uscc": "91110119MA01ABC17J", "reason": "certification"}),
    "custodian": ("TransferSettled", {"disbursement_id": "CERTIFY", "bank_ref": "CERTIFY"}),
}
DATES = {"LoanRepaid": "repaid_on", "RecoveryCollected": "collected_on", "TransferSettled": "settled_on"}


@dataclass(frozen=True)
class Check:
    """One thing that was tried: what was expected, and what came."""

    what: str
    expected: str
    found: str

    @property
    def passed(self) -> bool:
        """Whether what came is among what was expected."""
        return self.found in self.expected.split(" or ")


class Certification:
    """The checks, one after the other, on one connection."""

    def __init__(self, client: PartnerClient, scheme: str, institution: str, kind: str, now: datetime) -> None:
        self.client, self.scheme, self.institution, self.now = client, scheme, institution, now
        self.name, data = PLAIN[kind]
        day = DATES.get(self.name)
        self.data: dict[str, Any] = {**data, **({day: str(now.date())} if day else {})}

    async def run(self, tell: Callable[[Check], None]) -> bool:
        """Try everything; whether all of it passed."""
        first, first_field = self.event(), next(iter(self.data))
        decided = "accepted or refused"
        steps: list[tuple[str, str, Callable[[], Awaitable[str]]]] = [
            ("a good event is answered", decided, lambda: self.outcome(first)),
            ("the same again is not answered twice", "no second receipt", lambda: self.again(first)),
            ("the same id with other data is not taken", "no second receipt", lambda: self.other_data(first)),
            ("an event of a month ago is answered", decided, lambda: self.outcome(self.event(days=-30))),
            ("a number where a text belongs", "unreadable", lambda: self.outcome(self.event(changed={first_field: 1}))),
            ("a missing field", "unreadable", lambda: self.outcome(self.event(without=first_field))),
            ("a field that nobody knows is ignored", decided, lambda: self.outcome(self.event(changed={"x": "y"}))),
            ("another institution's name", "refused", lambda: self.outcome(self.event(source="/partners/nobody"))),
            ("an event that nobody knows", "unreadable", lambda: self.outcome(self.event(), name="NobodyKnowsThis")),
            ("no CloudEvent", "unreadable", self.no_event),
            ("another scheme", "not let through", self.another_scheme),
        ]
        while await self.client.next_receipt(SILENCE_SECONDS / 4):
            """Receipts of earlier events are fetched first."""
        passed = True
        for what, expected, step in steps:
            check = Check(what, expected, await step())
            tell(check)
            passed = passed and check.passed
        return passed

    def event(
        self, *, days: int = 0, without: str = "", changed: dict[str, Any] | None = None, source: str = ""
    ) -> dict[str, Any]:
        """A well-formed event with a new id, but for what is asked for."""
        data = {key: value for key, value in {**self.data, **(changed or {})}.items() if key != without}
        return {
            "specversion": "1.0", "id": new_id(), "source": source or f"/partners/{self.institution}",
            "type": type_of(self.name), "time": (self.now + timedelta(days=days)).isoformat(), "scheme": self.scheme,
            "data": data,
        }  # fmt: skip

    async def outcome(self, event: dict[str, Any], name: str = "", seconds: float = RECEIPT_SECONDS) -> str:
        """What an event's receipt says."""
        await self.client.publish(self.scheme, name or self.name, json.dumps(event).encode())
        receipt = await self.client.receipt(event["id"], seconds)
        return str(receipt["outcome"]) if receipt else "no receipt"

    async def again(self, event: dict[str, Any]) -> str:
        """Whether a repeated event gets another receipt."""
        await self.client.publish(self.scheme, self.name, json.dumps(event).encode())
        return await self.silence()

    async def other_data(self, event: dict[str, Any]) -> str:
        """Whether another content under a used id gets another receipt."""
        return await self.again({**event, "data": {**event["data"], "x": "changed"}})

    async def silence(self) -> str:
        """Whether any receipt comes that was not asked for."""
        return "a receipt" if await self.client.next_receipt(SILENCE_SECONDS) else "no second receipt"

    async def no_event(self) -> str:
        """What becomes of bytes that are no event: the receipt names their place in the stream."""
        await self.client.publish(self.scheme, self.name, b"this is no event")
        receipt = await self.client.next_receipt(RECEIPT_SECONDS)
        return str(receipt["outcome"]) if receipt else "no receipt"

    async def another_scheme(self) -> str:
        """Whether the credentials reach into another scheme."""
        try:
            await self.client.publish("another-scheme", self.name, json.dumps(self.event()).encode())
        except (NatsError, TimeoutError):
            return "not let through"
        return "stored"


def certify(
    institution: Annotated[str, typer.Argument(help="Your institution's id, such as bank-a.")],
    kind: Annotated[str, typer.Option(help=f"What it is: {', '.join(PLAIN)}.")] = "bank",
    credentials: Annotated[Path, typer.Option(help="Your .creds file.")] = Path("partner.creds"),
    url: Annotated[str, typer.Option(help="The bus.")] = "nats://127.0.0.1:4222",
    scheme: Annotated[str, typer.Option(help="The scheme, best one for tests: events are kept.")] = "yanqing",
) -> None:
    """Try your way in with good, bad, repeated and late events, and print what passed. Exit 0 when all did."""
    if kind not in PLAIN:
        fail(f"{kind!r} is no kind of institution: {', '.join(PLAIN)}")
    if not credentials.is_file():
        fail(f"there is no file {credentials}: the commission gives you one (docs/partners.md)")

    def tell(check: Check) -> None:
        print(f"{'passed' if check.passed else 'FAILED'}  {check.what}: {check.found}"
              f"{'' if check.passed else f', expected {check.expected}'}", flush=True)  # fmt: skip

    async def run() -> bool:
        client = await asyncio.wait_for(PartnerClient.connect(url, credentials.read_text), CONNECT_SECONDS)
        try:
            return await Certification(client, scheme, institution, kind, Clock.now().astimezone(SHANGHAI)).run(tell)
        finally:
            await client.close()

    try:
        passed = asyncio.run(run())
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        fail(f"no way in at {url}: {error or 'no answer'}; are the address and the credentials right?")
    raise typer.Exit(0 if passed else 1)
