"""The fund: what it holds, what it owes and in which order; folded from the pool's own events."""

from typing import Literal

from services.pool.domain.queue import QueueItem, queue_after
from shared.contracts.base import Event, Rate, Shape, made
from shared.contracts.pool import (
    CapitalInjected,
    CompensationHeld,
    CompensationInstructed,
    CompensationSettled,
    DisbursementReturned,
    FeeApproval,
    FeeHeld,
    FeeInstructed,
    FeeReleased,
    FeeSettled,
    FundsBooked,
    IncomeBooked,
    PayoutNoticeIssued,
    PoolEvent,
    PoolPaused,
    PoolResumed,
    SubsidyHeld,
    SubsidyInstructed,
    SubsidyReleased,
    SubsidySettled,
    WriteOffBooked,
)

FUND_KEY = "fund"


class Source(Shape):
    """What came in of one source of capital."""

    name: str
    amount_fen: int


class IncomeYear(Shape):
    """The realised income of one calendar year, and the custodian that reported it last."""

    year: int
    amount_fen: int
    custodian: str


class ApprovedFee(Shape):
    """One unit's approval of a year's fee."""

    year: int
    rate: Rate
    by: str


class Notice(Shape):
    """A payout notice of a calendar year."""

    year: int
    notice_no: str


class Fund(Shape):
    """The fund in fen. ``base_fen`` is where the counter counts from since the last restart (pool.pause).

    ``shortfall_fen`` is what a loss took beyond the available balance (pool.income).
    """

    version: int = 0
    state: Literal["active", "paused"] = "active"
    capital: tuple[Source, ...] = ()
    cash_fen: int = 0
    instructed_fen: int = 0
    unallocated_fen: int = 0
    shortfall_fen: int = 0
    gross_fen: int = 0
    recovered_fen: int = 0
    clawed_fen: int = 0
    written_off_fen: int = 0
    subsidies_fen: int = 0
    fees_fen: int = 0
    base_fen: int = 0
    counter_fen: int = 0
    counter_limit_fen: int | None = None
    pause_line_fen: int = 0
    income: tuple[IncomeYear, ...] = ()
    queue: tuple[QueueItem, ...] = ()
    notices: tuple[Notice, ...] = ()
    fee_approvals: tuple[ApprovedFee, ...] = ()
    fee_years: tuple[int, ...] = ()
    last_disbursement: int = 0

    @property
    def available_fen(self) -> int:
        """What may be paid out: cash - instructed - unallocated, zero while a loss is not made good (pool.balance)."""
        return self.cash_fen - self.instructed_fen - self.unallocated_fen + self.shortfall_fen

    @property
    def net_fen(self) -> int:
        """Gross compensation - recoveries - clawbacks."""
        return self.gross_fen - self.recovered_fen - self.clawed_fen

    @property
    def recoverable_fen(self) -> int:
        """What may still come back: net outstanding - written off, never below zero."""
        return max(0, self.net_fen - self.written_off_fen)

    @property
    def rebased_fen(self) -> int:
        """The base that a restart would set: the counter becomes net outstanding, never below zero (pool.resume)."""
        return min(self.gross_fen, self.recovered_fen + self.clawed_fen)

    @property
    def capital_fen(self) -> int:
        """Capital paid in so far."""
        return sum([source.amount_fen for source in self.capital])

    @property
    def income_fen(self) -> int:
        """Income of all years, losses deducted."""
        return sum([year.amount_fen for year in self.income])

    @property
    def held_fen(self) -> int:
        """All that waits in the queue."""
        return sum([queued.remaining_fen for queued in self.queue])

    def source_fen(self, name: str) -> int:
        """Capital paid in so far by one source."""
        return sum(source.amount_fen for source in self.capital if source.name == name)

    def income_of(self, year: int) -> IncomeYear:
        """The realised income of a calendar year."""
        found = [one for one in self.income if one.year == year]
        return found[0] if found else made(IncomeYear, year=year, amount_fen=0, custodian="")


def fund_keys(event: Event) -> tuple[str, ...]:
    """Every event of the fund changes the one fund of its scheme."""
    return (FUND_KEY,) if isinstance(event, PoolEvent) else ()


def evolve_fund(fund: Fund | None, event: Event) -> Fund | None:
    """The fund after an event: its own facts by arithmetic, version, counter and lines as the event says."""
    if not isinstance(event, PoolEvent):
        return fund
    said = event.fund
    return apply(
        fund or Fund(), event, version=said.version, counter_fen=said.counter, counter_limit_fen=said.counter_limit,
        pause_line_fen=said.pause_line,
    )


def apply(fund: Fund, event: PoolEvent, **said: int | None) -> Fund:
    """What an event does by itself to money, registers and queue; ``said`` are figures that need the scheme's rules."""
    after = fund.but(**_changes(fund, event), **said)
    loss = isinstance(event, IncomeBooked) and event.amount < 0
    if not loss and not fund.shortfall_fen:
        return after
    short_fen = max(0, after.instructed_fen + after.unallocated_fen - after.cash_fen)
    return after.but(shortfall_fen=short_fen if loss else min(short_fen, after.shortfall_fen))


def _changes(fund: Fund, event: PoolEvent) -> dict[str, object]:
    """The fields that an event changes; those that happen most stand first."""
    match event:
        case FundsBooked():
            return _received(fund, event)
        case CompensationInstructed():
            return _instructed(fund, event, "gross_fen")
        case CompensationSettled() | SubsidySettled() | FeeSettled():
            return _plus(fund, instructed_fen=-event.amount, cash_fen=-event.amount)
        case CompensationHeld() | SubsidyReleased() | SubsidyHeld() | FeeHeld():
            return {"queue": queue_after(fund.queue, event)}
        case SubsidyInstructed():
            return _instructed(fund, event, "subsidies_fen")
        case FeeInstructed():
            return _instructed(fund, event, "fees_fen")
        case DisbursementReturned():
            total = {"compensation": "gross_fen", "subsidy": "subsidies_fen", "fee": "fees_fen"}[event.kind]
            back = _plus(fund, instructed_fen=-event.amount, **{total: -event.amount})
            return {**back, "queue": queue_after(fund.queue, event)}
        case WriteOffBooked():
            return _plus(fund, written_off_fen=event.amount)
        case PoolPaused():
            return {"state": "paused"}
        case PoolResumed():
            return {"state": "active", "base_fen": fund.rebased_fen, "queue": queue_after(fund.queue, event)}
    return _registers(fund, event)


def _registers(fund: Fund, event: PoolEvent) -> dict[str, object]:
    match event:
        case CapitalInjected():
            others = tuple(source for source in fund.capital if source.name != event.source)
            source = made(Source, name=event.source, amount_fen=fund.source_fen(event.source) + event.amount)
            return {**_plus(fund, cash_fen=event.amount), "capital": (*others, source)}
        case IncomeBooked():
            before = fund.income_of(int(event.period[:4]))
            after = before.but(amount_fen=before.amount_fen + event.amount, custodian=event.by)
            years = (*(one for one in fund.income if one.year != before.year), after)
            return {**_plus(fund, cash_fen=event.amount), "income": years}
        case PayoutNoticeIssued():
            notice = made(Notice, year=event.on.year, notice_no=event.notice_no)
            return {"notices": (*fund.notices, notice), "queue": queue_after(fund.queue, event)}
        case FeeApproval():
            approval = made(ApprovedFee, year=event.year, rate=event.rate, by=event.by)
            return {"fee_approvals": (*fund.fee_approvals, approval)}
        case FeeReleased():
            return {"fee_years": (*fund.fee_years, event.year), "queue": queue_after(fund.queue, event)}
    return {}


def _plus(fund: Fund, **amounts_fen: int) -> dict[str, object]:
    return {name: getattr(fund, name) + amount for name, amount in amounts_fen.items()}


def _instructed(
    fund: Fund, event: CompensationInstructed | SubsidyInstructed | FeeInstructed, total: str
) -> dict[str, object]:
    money = _plus(fund, instructed_fen=event.amount, last_disbursement=1, **{total: event.amount})
    return {**money, "queue": queue_after(fund.queue, event)}


def _received(fund: Fund, event: FundsBooked) -> dict[str, object]:
    amount, applied = event.amount, event.applied
    money: dict[str, object] = {"cash_fen": fund.cash_fen + amount}
    if applied != amount:
        money["unallocated_fen"] = fund.unallocated_fen + amount - applied
    if event.reinstated:
        money["written_off_fen"] = fund.written_off_fen - event.reinstated
    if event.purpose == "recovery":
        money["recovered_fen"] = fund.recovered_fen + applied
    elif event.purpose == "clawback":
        money["clawed_fen"] = fund.clawed_fen + applied
    return money
