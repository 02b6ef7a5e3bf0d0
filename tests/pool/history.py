"""A random history of a fund: messages in the order of their days, each made from what the ones before left behind."""

import random
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from services.pool import handlers
from shared.contracts.commands import ApproveFee, InjectCapital, IssuePayoutNotice
from shared.contracts.partners import FundsReceived, IncomeCredited, TransferReturned, TransferSettled
from shared.contracts.pool import CompensationInstructed, FeeInstructed, SubsidyInstructed
from shared.contracts.recovery import WriteOffApproved
from shared.contracts.review import CompensationApproved, SubsidyApproved
from shared.decisions import Decision
from tests.pool.world import item

Do = Callable[[Any, Any, date], Awaitable[Decision]]
START = date(2025, 2, 3)
INSTRUCTED = CompensationInstructed | SubsidyInstructed | FeeInstructed
PAYEES, DEPARTMENTS = ("bank-a", "bank-b", "guarantor-a"), ("scitech", "commerce", "culture")


class History:
    """Messages at random; ``do`` takes each, and what follows from it decides what can come next."""

    def __init__(self, do: Do, seed: int) -> None:
        self.do, self.random = do, random.Random(seed)
        self.today, self.count = START, 0
        self.waiting: list[str] = []
        self.open: dict[str, date] = {}
        self.paid: list[str] = []

    async def play(self, steps: int) -> None:
        """So many messages after the capital."""
        for source in ("policy_fund", "inclusive_award"):
            await self._send(handlers.inject_capital, InjectCapital(source=source, amount=10**9, bank_ref=source))
        kinds = (self._approval, self._notice, self._settled, self._settled, self._returned, self._funds, self._funds,
                 self._income, self._subsidy, self._fee, self._write_off)  # fmt: skip
        for _ in range(steps):
            self.today += timedelta(days=self.random.choice((0, 0, 1, 2, 5)))
            await self.random.choice(kinds)()

    async def _send(self, handler: Any, message: Any) -> None:
        decision = await self.do(handler, message, self.today)
        for event in decision.events:
            if isinstance(event, INSTRUCTED):
                self.open[event.disbursement_id] = self.today
            if isinstance(event, CompensationInstructed):
                self.paid.append(event.loan_no)

    def _next(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count}"

    def _past(self, first: date = START) -> date:
        return min(self.today, first + timedelta(days=self.random.randint(0, max(0, (self.today - first).days))))

    async def _approval(self) -> None:
        amounts = [self.random.randint(1, 30_000_000) for _ in range(self.random.randint(1, 4))]
        items = tuple(
            item(self._next("L"), fen, payee=self.random.choice(PAYEES), recommender=self.random.choice(DEPARTMENTS))
            for fen in amounts
        )
        approved = CompensationApproved(half="2025H1", consented_on=self.today, document_no="1", items=items)
        await self._send(handlers.record_approval, approved)

    async def _notice(self) -> None:
        await self._send(handlers.issue_payout_notice, IssuePayoutNotice(notice_no=self._next("N"), reason="needed"))

    async def _settled(self) -> None:
        if self.open:
            number = self.random.choice(sorted(self.open))
            day = self._past(self.open.pop(number))
            settled = TransferSettled(disbursement_id=number, bank_ref=self._next("B"), settled_on=day)
            await self._send(handlers.settle_transfer, settled)

    async def _returned(self) -> None:
        if self.open and self.random.random() < 0.5:
            number = self.random.choice(sorted(self.open))
            del self.open[number]
            await self._send(handlers.take_back_transfer, TransferReturned(disbursement_id=number, reason="closed"))

    async def _funds(self) -> None:
        purpose: Any = self.random.choice(("recovery", "recovery", "clawback", "other"))
        loan_no = self.random.choice(self.paid) if self.paid and purpose != "other" else "nobody"
        received = FundsReceived(
            purpose=purpose, loan_no=loan_no, amount=self.random.randint(1, 20_000_000), bank_ref=self._next("R"),
            received_on=self._past(),
        )  # fmt: skip
        await self._send(handlers.book_funds, received)

    async def _income(self) -> None:
        amount = self.random.randint(-10_000_000, 50_000_000)
        credited = IncomeCredited(amount=amount, period=str(self.today.year), bank_ref=self._next("I"))
        await self._send(handlers.book_income, credited)

    async def _subsidy(self) -> None:
        approved = SubsidyApproved(
            uscc="U", loan_no=self._next("L"), policy_no=self._next("P"), amount=self.random.randint(1, 900_000),
            approved_on=self.today,
        )  # fmt: skip
        await self._send(handlers.pay_subsidy, approved)

    async def _fee(self) -> None:
        await self._send(handlers.approve_fee, ApproveFee(year=self.today.year - 1, rate=Decimal("0.05")))

    async def _write_off(self) -> None:
        if self.paid:
            loan_no, amount = self.random.choice(self.paid), self.random.randint(1, 20_000_000)
            await self._send(handlers.book_write_off, WriteOffApproved(uscc="U", loan_no=loan_no, amount=amount))
