"""Everybody else of a simulated year on a test scheme: agencies refer, rate, push and verify, the custodian pays."""

import asyncio
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from riskpool.scenario.codes import synthetic_uscc
from riskpool.scenario.doors import Answer, HttpDoor
from riskpool.scenario.story import Step, story_of
from shared.calendar import half_of
from shared.contracts.registry import COMMANDS
from shared.messaging.envelope import new_id
from shared.money import format_yuan, parse_yuan

SETTLE_SECONDS = 20.0
COMMISSION, RECOMMENDER = "drc", "scitech"
LENDING = Path(__file__).parents[1] / "scenarios" / "parts" / "lending.yaml"
Tell = Callable[[Step, Answer], None]
Row = dict[str, Any]


class Others:
    """The agencies and the custodian, over HTTP; the same seed brings the same enterprises."""

    def __init__(self, http: HttpDoor, institution: str, seed: int, enterprises: int, tell: Tell) -> None:
        self.http, self.institution, self.tell = http, institution, tell
        self.cast = Random(f"{seed}:enterprises").sample(range(1_000_000), enterprises)
        self.random = Random(f"{seed}:others")

    async def begin(self, day: date) -> None:
        """The business day begins, with every day before it."""
        answer = await self.http.begin_day(COMMISSION, day)
        self.tell(Step(0, "", day, COMMISSION, "BusinessDayStarted"), answer)
        await self.settled()

    async def settled(self) -> None:
        """Wait until every service has taken what was published, for a while at most."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while not await self.http.settled(COMMISSION) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def before(self, day: date, month: int) -> None:
        """What comes before the bank's month: its claims are verified and paid, one more enterprise is pushed to it."""
        claimed = [one for one in await self.rows("/loans?status=claimed") if self._is_due(one, day)]
        for half in sorted({_half(one) for one in claimed}):
            await self._pay(half, [one for one in claimed if _half(one) == half], day)
        await self.pay(day)
        if month < len(self.cast):
            uscc, grade = synthetic_uscc(self.cast[month]), self.random.choice(("low", "medium"))
            need = format_yuan(self.random.randint(20, 450) * 1_000_000)
            case = {"uscc": uscc, "by": RECOMMENDER, "bank": self.institution, "grade": grade, "need": need}
            pushed = {"uscc": uscc, "product": "bank", "institutions": [self.institution]}
            await self.play(day, {"play": "rate", "with": case}, _step(COMMISSION, "PushFinancing", pushed))

    async def after(self, day: date) -> None:
        """What follows the bank's month: its shares of recoveries reach the pool, its write-offs are approved."""
        await self.settled()
        for row in await self.rows("/recoveries"):
            if self.institution not in (row["payee"], row["lender"]):
                continue
            due_fen = parse_yuan(row["pool_share"]) - parse_yuan(row["remitted"])
            if due_fen > 0:
                money = {"loan_no": row["loan_no"], "amount": format_yuan(due_fen), "bank_ref": f"R-{new_id()}"}
                await self.play(day, _step("custodian", "FundsReceived", money))
            if row["status"] == "write_off_requested":
                both = {"loan_no": row["loan_no"], "decision": "approve"}
                await self.play(day, *(_step(unit, "ApproveWriteOff", both) for unit in (COMMISSION, "finance")))

    async def pay(self, day: date) -> None:
        """The custodian confirms every instructed transfer."""
        for row in await self.rows("/disbursements?status=instructed"):
            transfer = {"disbursement_id": row["id"], "bank_ref": f"T-{row['id']}"}
            await self.play(day, _step("custodian", "TransferSettled", transfer))

    async def play(self, day: date, *steps: Row) -> None:
        """Steps as a story writes them, one after the other; each answer is told."""
        dated = [{"on": day, **one} for one in steps]
        story = story_of({"scheme": self.http.scheme, "use": LENDING.name, "steps": dated}, LENDING)
        for step in story.steps:
            send = self.http.command if step.do in COMMANDS else self.http.partner_event
            self.tell(step, await send(step.by, step.do, step.fields, day, new_id()))
            await self.settled()

    async def rows(self, path: str) -> list[Row]:
        """The first 500 of a list as the commission reads it."""
        _, page = await self.http.read(COMMISSION, f"{path}{'&' if '?' in path else '?'}limit=500")
        return list(page.get("items", []))

    def _is_due(self, loan: Row, day: date) -> bool:
        """Claims of this bank whose half-year is over (batch.half_year)."""
        return loan["lender"] == self.institution and _half(loan) < half_of(day)

    async def _pay(self, half: str, claimed: list[Row], day: date) -> None:
        """A half-year's batch, all of it approved, and the notice that releases it (batch.vote, pool.notice)."""
        claims = [{"loan_no": one["loan_no"], "by": one["recommender"], "bank": self.institution} for one in claimed]
        await self.play(day, {"play": "pay-batch", "with": {"half": half, "claims": claims}})


def _half(loan: Row) -> str:
    return half_of(date.fromisoformat(loan["claim"]["accepted_on"]))


def _step(by: str, do: str, fields: Row) -> Row:
    return {"by": by, "do": do, "with": fields}
