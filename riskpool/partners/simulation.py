"""A simulated bank on the real bus: it reads its own view, reports, waits for each receipt, month after month."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any

from riskpool.partners.bank import Bank, Report, View
from riskpool.partners.certify import RECEIPT_SECONDS
from riskpool.partners.client import PartnerClient, event_bytes
from riskpool.partners.others import Others
from riskpool.scenario.doors import DoorError, HttpDoor, at_nine
from shared.calendar import add_months
from shared.clock import Clock, business_date
from shared.messaging.envelope import new_id

SHOWN_SECONDS = 20.0
TRIES = 3
Tell = Callable[[dict[str, Any]], None]


class Simulation:
    """One bank's year: ``tell`` is given every line, ``counts`` says how often each event had each outcome."""

    def __init__(self, client: PartnerClient, http: HttpDoor, bank: Bank, only: frozenset[str], tell: Tell) -> None:
        self.client, self.http, self.bank, self.only, self.tell = client, http, bank, only, tell
        self.counts: Counter[tuple[str, str]] = Counter()
        self.rules: Counter[str] = Counter()

    async def year(self, first: date | None, months: int, every: float, others: Others | None) -> None:
        """Month after month from ``first``, or all of them today; with others before and after the bank."""
        for month in range(months):
            day = add_months(first, month) if first else business_date(Clock.now())
            if others:
                await others.begin(day)
                await others.before(day, month)
            view = await self.view()
            self.tell({
                "day": str(day), "month": month + 1, "of": months, "pushes": len(view.cases), "loans": len(view.loans),
                "recoveries": len(view.recoveries),
            })  # fmt: skip
            await self._report(view, day, every)
            if others:
                await others.after(day)

    async def _report(self, view: View, day: date, every: float) -> None:
        """Everything of one month, then wait until the view shows it."""
        taken: list[Report] = []
        for report in self.bank.month(view, day):
            receipt = await self.report(report, day)
            taken += [report] if receipt.get("outcome") == "accepted" else []
            await asyncio.sleep(every)
        deadline = time.monotonic() + SHOWN_SECONDS
        while taken and time.monotonic() < deadline:
            now = await self.view()
            taken = [one for one in taken if not one.shows(now)]
            await asyncio.sleep(0.1 if taken else 0)

    async def report(self, report: Report, day: date) -> dict[str, Any]:
        """Publish an event, again under its id until there is a receipt; empty when there is none."""
        event_id, receipt = new_id(), None
        event = event_bytes(self.http.scheme, self.bank.institution, report.name, report.fields, at_nine(day), event_id)
        for _ in range(TRIES):
            await self.client.publish(self.http.scheme, report.name, event)
            receipt = await self.client.receipt(event_id, RECEIPT_SECONDS)
            if receipt:
                break
        told = receipt or {}
        outcome, rule = str(told.get("outcome") or "no receipt"), told.get("rule") or ""
        self.counts[report.name, outcome] += 1
        if rule:
            self.rules[rule] += 1
        self.tell({
            "day": str(day), "event": report.name, "about": report.about, "id": event_id, "data": report.fields,
            "outcome": outcome, "rule": rule, "detail": told.get("detail") or "",
        })  # fmt: skip
        return told

    async def view(self) -> View:
        """What the API shows the bank of its own now."""
        pushed = [one for one in await self._rows("/cases?status=pushed") if self.bank.institution in one["pushed_to"]]
        return View(tuple(pushed), tuple(await self._rows("/loans")), tuple(await self._rows("/recoveries")))

    async def _rows(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            status, page = await self.http.read(
                self.bank.institution, f"{path}{'&' if '?' in path else '?'}limit=500{cursor}"
            )
            if status != 200:
                raise DoorError(f"{path}: {page.get('detail') or status}")
            found += [one for one in page["items"] if not self.only or one["uscc"] in self.only]
            if not page.get("next_cursor"):
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def summary(self) -> dict[str, Any]:
        """How often each event had each outcome, and which rules refused."""
        events: dict[str, dict[str, int]] = {}
        for (name, outcome), number in sorted(self.counts.items()):
            events.setdefault(name, {})[outcome] = number
        return {"seed": self.bank.seed, "events": events, "refused_by": dict(sorted(self.rules.items()))}

    @property
    def passed(self) -> bool:
        """Whether every event had a receipt and could be read."""
        return not {"no receipt", "unreadable"} & {outcome for _, outcome in self.counts}
