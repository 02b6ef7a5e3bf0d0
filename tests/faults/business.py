"""A random year of business, drawn from a seed and done through the public doors: the same seed, the same year."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import date, timedelta
from random import Random
from typing import Any

from riskpool.scenario.doors import Answer, Doors
from riskpool.scenario.text import fill, plain
from shared.contracts.registry import COMMANDS
from tests.faults.cast import DEFAULTS, Enterprise, money

AT_ONCE = 4
SETTLE_SECONDS = 120.0
Reached = Callable[[int], Awaitable[None]]


async def undisturbed(_action: int) -> None:
    """Nothing happens before an action."""


class Business:
    """What agencies and partners do; ``said`` keeps every answer, ``reached`` is awaited before the nth action."""

    def __init__(self, doors: Doors, seed: int, cast: list[Enterprise], reached: Reached = undisturbed) -> None:
        self.doors, self.seed, self.cast, self.reached = doors, seed, cast, reached
        self.day = date(2026, 1, 5)
        self.actions = 0
        self.said: list[str] = []
        self.accepted: Counter[str] = Counter()
        self._transfers: Counter[str] = Counter()

    async def act(self, by: str, name: str, **given: Any) -> Answer:
        """One command or partner event; what was answered is kept, whatever it was."""
        number, self.actions = self.actions, self.actions + 1
        await self.reached(number)
        fields = plain({**fill(DEFAULTS.get(name, {}), {**given, "on": self.day}, name), **given})
        send = self.doors.command if name in COMMANDS else self.doors.report
        answer = await send(by, name, fields, self.day)
        about = next((str(given[k]) for k in ("loan_no", "uscc", "policy_no", "institution") if k in given), "")
        self.said.append(f"{self.day} {by} {name} {about}: {answer.outcome} {answer.rule}")
        self.accepted[name] += answer.outcome == "accepted"
        return answer

    async def on(self, day: date) -> None:
        """The next business day, after everything of the day before has arrived."""
        await self.settled()
        self.day = day
        answer = await self.doors.http.begin_day("drc", day)
        assert answer.outcome == "accepted", answer
        await self.settled()

    async def settled(self) -> None:
        """Wait until every consumer has taken what was published."""
        deadline, pause = time.monotonic() + SETTLE_SECONDS, 0.01
        while not await self.doors.http.settled("drc"):
            assert time.monotonic() < deadline, f"not settled: {await self.doors.http.read('drc', '/progress')}"
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    async def at_once(self, errands: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Errands of different enterprises side by side."""
        some = asyncio.Semaphore(AT_ONCE)

        async def one(errand: Coroutine[Any, Any, None]) -> None:
            async with some:
                await errand

        async with asyncio.TaskGroup() as group:
            for errand in errands:
                group.create_task(one(errand))

    async def rows(self, path: str) -> list[dict[str, Any]]:
        """All items of a list."""
        status, page = await self.doors.http.read("drc", f"{path}{'&' if '?' in path else '?'}limit=500")
        assert status == 200 and page.get("next_cursor") is None, (path, status, page)
        return list(page["items"])

    async def custodian_sits_down(self) -> None:
        """Every instructed transfer is settled, or now and then returned; again until there is none.

        One after another, in an order without ids: what a transfer decides may depend on those before it.
        """
        while True:
            await self.settled()
            due = await self.rows("/disbursements?status=instructed")
            if not due:
                return
            for row in sorted(due, key=lambda row: (row["kind"], _about(row))):
                place = f"{row['kind']}-{_about(row)}"
                self._transfers[place] += 1
                ref = f"T-{place}-{self._transfers[place]}"
                comes_back = row["kind"] == "compensation" and Random(f"{self.seed}:{ref}").random() < 0.25
                what = {"reason": "账号有误"} if comes_back else {"bank_ref": ref}
                name = "TransferReturned" if comes_back else "TransferSettled"
                await self.act("custodian", name, disbursement_id=row["id"], **what)

    # -- the year --------------------------------------------------------------------------------------------------

    async def year(self) -> None:
        """From the first agreement to the statement after the year's end."""
        await self.open_fund()
        await self.choose()
        await self.lend()
        await self.repay()
        early, late = [e for e in self.claimants() if e.early], [e for e in self.claimants() if not e.early]
        await self.claim(early, date(2026, 6, 1))
        await self.pay(early, "2026H1", date(2026, 7, 1))
        await self.recover()
        await self.claim(late, date(2026, 9, 14))
        await self.write_off()
        await self.on(date(2026, 12, 31))
        income = money(Random(f"{self.seed}:income").randint(10_000_00, 600_000_00))
        await self.act("custodian", "IncomeCredited", amount=income, period="2026", bank_ref="I-1")
        await self.pay(late, "2026H2", date(2027, 1, 4))
        await self.close_year()

    def claimants(self) -> list[Enterprise]:
        return [one for one in self.cast if one.claims]

    async def open_fund(self) -> None:
        await self.on(self.day)
        every = ["bank", "guarantee", "insurance"]
        for who, kind, more in (
            ("custodian", "custodian", {"fee_rate": "0.18"}),
            ("bank-a", "bank", {"products": every}),
            ("bank-b", "bank", {"products": every}),
            ("guarantor-a", "guarantor", {"products": ["guarantee"], "guarantor_shares": {"bank-a": "0.80"}}),
            ("insurer-a", "insurer", {"products": ["insurance"]}),
        ):
            await self.act("drc", "SignAgreement", institution=who, kind=kind, **more)
        for number, source in enumerate(("policy_fund", "inclusive_award"), 1):
            await self.act("finance", "InjectCapital", source=source, amount="15000000.00", bank_ref=f"CAP-{number}")

    async def choose(self) -> None:
        """Referral, screening, rating; a few leave on the way."""
        await self.on(date(2026, 1, 12))
        await self.at_once(self.refer(one) for one in self.cast)
        await self.on(date(2026, 1, 14))
        await self.at_once(self.screen(one) for one in self.cast)
        await self.on(date(2026, 1, 16))
        await self.at_once(self.rate(one) for one in self.cast if one.fate not in ("withdrawn", "refused"))
        await self.on(date(2026, 1, 19))
        for one in (one for one in self.cast if one.grade == "high"):
            await self.act("government", "ConsentHighRisk", uscc=one.uscc, decision="consent", document_no="延政函1号")

    async def refer(self, one: Enterprise) -> None:
        await self.act(one.recommender, "ReferEnterprise", uscc=one.uscc, need=money(one.principal_fen))
        if one.random.random() < 0.3:
            await self.act(one.recommender, "ReferEnterprise", uscc=one.uscc, need=money(one.principal_fen))
        if one.fate == "withdrawn":
            await self.act(one.recommender, "WithdrawReferral", uscc=one.uscc, reason="企业不再需要")

    async def screen(self, one: Enterprise) -> None:
        if one.fate != "withdrawn" and one.random.random() < 0.3:
            await self.act("drc", "ScreenReferral", uscc=one.uscc, decision="return", reason="补充材料")
            await self.act(one.recommender, "AmendReferral", uscc=one.uscc, project="生产线扩建二期")
        decision = {"decision": "refuse", "reason": "项目不具体"} if one.fate == "refused" else {"decision": "admit"}
        await self.act("drc", "ScreenReferral", uscc=one.uscc, **decision)

    async def rate(self, one: Enterprise) -> None:
        await self.act("drc", "OpenRatingRound", uscc=one.uscc, seats=one.seats)
        other, odd = one.random.choice(("low", "medium")), one.random.choice(one.seats)
        for seat in one.random.sample(one.seats, len(one.seats)):
            await self.act(seat, "CastVote", uscc=one.uscc, grade=other if seat == odd else one.grade)
        if one.fate == "vetoed":
            await self.act("drc", "VetoEnterprise", uscc=one.uscc, reason="涉诉")

    async def lend(self) -> None:
        await self.on(date(2026, 1, 20))
        lent = [one for one in self.cast if one.fate not in ("withdrawn", "refused", "vetoed")]
        await self.at_once(self.push(one) for one in lent)
        await self.on(date(2026, 1, 26))
        await self.at_once(self.disburse(one) for one in lent)
        await self.on(date(2026, 2, 2))
        await self.at_once(self.insure(one) for one in lent if one.product == "insurance")
        await self.on(date(2026, 2, 3))
        for one in (one for one in lent if one.product == "insurance"):
            await self.act("drc", "ApproveSubsidy", policy_no=f"P-{one.loan_no}", decision="approve")
            await self.settled()  # each instruction tells the fund's balance before it
        await self.custodian_sits_down()

    async def push(self, one: Enterprise) -> None:
        await self.act("drc", "PushFinancing", uscc=one.uscc, product=one.product, institutions=one.pushed)

    async def disburse(self, one: Enterprise) -> None:
        """Lent, or declined by all: then rated, pushed and declined once more."""
        if one.fate == "declined":
            for last in (False, True):
                for institution in one.pushed:
                    await self.act(institution, "FinancingDeclined", uscc=one.uscc, reason="抵押不足")
                if not last:
                    await self.rate(one)
                    await self.push(one)
            return
        loan: dict[str, Any] = {"uscc": one.uscc, "loan_no": one.loan_no, "product": one.product, **one.backed_by}
        if one.random.random() < 0.3:
            await self.act(one.lender, "LoanDisbursed", principal=money(one.principal_fen + 1), **loan)
        await self.act(one.lender, "LoanDisbursed", principal=money(one.principal_fen), **loan)

    async def insure(self, one: Enterprise) -> None:
        premium = money(one.random.randint(1_000_00, 90_000_01))
        await self.act(
            "insurer-a", "PremiumPaid",
            uscc=one.uscc, loan_no=one.loan_no, policy_no=f"P-{one.loan_no}", premium=premium,
        )  # fmt: skip

    async def repay(self) -> None:
        for day in (date(2026, 3, 2), date(2026, 5, 6)):
            await self.on(day)
            await self.at_once(self.repay_some(one) for one in self.cast if one.outstanding_fen)
        await self.act("bank-a", "LoanRepaid", loan_no="nowhere", principal="1.00")
        await self.act("bank-a", "LoanRepaid", loan_no="nowhere", principal="a lot")

    async def repay_some(self, one: Enterprise) -> None:
        part = one.random.randint(1, one.outstanding_fen // 5)
        if one.fate == "repaid" and self.day.month == 5:
            part = one.outstanding_fen
        answer = await self.act(one.lender, "LoanRepaid", loan_no=one.loan_no, principal=money(part))
        one.outstanding_fen -= part if answer.outcome == "accepted" else 0
        if one.random.random() < 0.3:
            bad = one.random.random() < 0.3
            await self.act(one.recommender, "RecordTracking", uscc=one.uscc, note="走访", anomaly=bad)

    async def claim(self, claimants: list[Enterprise], day: date) -> None:
        """One claim a day: the day on which a claim is accepted decides the order of payout."""
        for one in claimants:
            await self.on(day)
            theirs = [r for r in await self.rows("/recoveries") if one.claimant in (r["payee"], r["lender"])]
            numbers = sorted(row["loan_no"] for row in theirs)
            statements = [{"loan_no": number, "as_of": day.isoformat(), "text": "正在执行"} for number in numbers]
            left = money(one.outstanding_fen)
            await self.act(
                one.claimant, "LoanDefaulted",
                loan_no=one.loan_no, outstanding_principal=left, recovery_statements=statements,
            )  # fmt: skip
            day += timedelta(days=1)

    async def pay(self, claimants: list[Enterprise], half: str, day: date) -> None:
        """A half-year's batch from its opening to the bank; what came back is instructed by a second notice."""
        await self.on(day)
        await self.act("drc", "OpenClaimBatch", half=half)
        await self.at_once(self.verify(one) for one in claimants)
        await self.act("drc", "SubmitClaimBatch", half=half)
        await self.on(day + timedelta(days=2))
        document = f"延政函〔{half}〕号"
        await self.act("government", "ConsentClaimBatch", half=half, decision="consent", document_no=document)
        for number in (1, 2):
            await self.on(day + timedelta(days=2 + number))
            await self.act("drc", "IssuePayoutNotice", notice_no=f"代偿〔{half}〕{number}号", reason="重新拨付")
            await self.custodian_sits_down()

    async def verify(self, one: Enterprise) -> None:
        if one.random.random() < 0.3:
            less = money(one.outstanding_fen - one.random.randint(1, 1000_00))
            await self.act("drc", "SetVerifiedPrincipal", loan_no=one.loan_no, amount=less, reason="核减")
        for seat in one.random.sample(one.seats, len(one.seats)):
            await self.act(seat, "VerifyClaim", loan_no=one.loan_no, opinion="approve")

    async def recover(self) -> None:
        """Recoveries side by side; remittances one after another, for each may let held payouts go on."""
        for day in (date(2026, 8, 3), date(2026, 8, 17)):
            await self.on(day)
            paid = {row["loan_no"] for row in await self.rows("/recoveries")}
            await self.at_once(self.collect(one) for one in self.claimants() if one.loan_no in paid)
        await self.on(date(2026, 9, 1))
        for row in sorted(await self.rows("/recoveries"), key=lambda row: str(row["loan_no"])):
            due = fen(row["pool_share"]) - fen(row["remitted"])
            if due > 0:
                no, ref = row["loan_no"], f"R-{row['loan_no']}"
                await self.act("custodian", "FundsReceived", loan_no=no, amount=money(due), bank_ref=ref)
                await self.custodian_sits_down()

    async def collect(self, one: Enterprise) -> None:
        for _ in range(one.random.randint(1, 2)):
            amount = money(one.random.randint(1, one.outstanding_fen // 3))
            await self.act(one.claimant, "RecoveryCollected", loan_no=one.loan_no, amount=amount)

    async def write_off(self) -> None:
        await self.on(date(2026, 11, 3))
        for one in (one for one in self.claimants() if one.fate == "written_off"):
            await self.write_off_one(one)
            await self.settled()  # each booking tells the fund's figures after it

    async def write_off_one(self, one: Enterprise) -> None:
        ruling = {"ruling_no": f"（2026）京0119执{one.loan_no}号", "ruled_on": "2026-11-02"}
        await self.act(one.claimant, "WriteOffProposed", loan_no=one.loan_no, ground="execution_suspended", **ruling)
        await self.act(one.claimant, "WriteOffProposed", loan_no=one.loan_no, ground="execution_terminated", **ruling)
        for unit in one.random.sample(["drc", "finance"], 2):
            await self.act(unit, "ApproveWriteOff", loan_no=one.loan_no, decision="approve")

    async def close_year(self) -> None:
        await self.on(date(2027, 1, 11))
        await self.act("custodian", "FileReport", kind="custodian_half_year", period="2026H2", document="半年报告")
        for unit in ("drc", "finance"):
            await self.act(unit, "ApproveFee", year=2026, rate="0.18")
        await self.custodian_sits_down()
        await self.on(date(2027, 1, 12))
        _, pool = await self.doors.http.read("drc", "/pool")
        for balance in (pool["cash"], "1.00"):
            await self.act("custodian", "StatementIssued", as_of="2027-01-11", balance=balance)
        await self.settled()


def fen(yuan: str) -> int:
    """Whole fen of a text of yuan with two decimals."""
    return int(yuan.replace(".", ""))


def _about(row: dict[str, Any]) -> str:
    return str(row["loan_no"] or row["policy_no"] or row["year"])
