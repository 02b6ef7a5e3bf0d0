"""The fund: what it holds, what it owes and in which order; folded from the pool's own events."""

from typing import Literal

from services.pool.domain.queue import QueueItem, queue_after
from shared.contracts.base import Event, Rate, Shape
from shared.contracts.pool import (
    CapitalInjected,
    CompensationInstructed,
    CompensationSettled,
    DisbursementReturned,
    FeeApproval,
    FeeInstructed,
    FeeReleased,
    FeeSettled,
    FundsBooked,
    IncomeBooked,
    PayoutNoticeIssued,
    PoolEvent,
    PoolPaused,
    PoolResumed,
    SubsidyInstructed,
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
        return sum(source.amount_fen for source in self.capital)

    @property
    def income_fen(self) -> int:
        """Income of all years, losses deducted."""
        return sum(year.amount_fen for year in self.income)

    @property
    def held_fen(self) -> int:
        """All that waits in the queue."""
        return sum(queued.remaining_fen for queued in self.queue)

    def source_fen(self, name: str) -> int:
        """Capital paid in so far by one source."""
        return sum(source.amount_fen for source in self.capital if source.name == name)

    def income_of(self, year: int) -> IncomeYear:
        """The realised income of a calendar year."""
        found = [one for one in self.income if one.year == year]
        return found[0] if found else IncomeYear(year=year, amount_fen=0, custodian="")


def fund_keys(event: Event) -> tuple[str, ...]:
    """Every event of the fund changes the one fund of its scheme."""
    return (FUND_KEY,) if isinstance(event, PoolEvent) else ()


def evolve_fund(fund: Fund | None, event: Event) -> Fund | None:
    """The fund after an event: its own facts by arithmetic, version, counter and lines as the event says."""
    if not isinstance(event, PoolEvent):
        return fund
    figures = event.fund
    return apply(fund or Fund(), event).model_copy(
        update={
            "version": figures.version,
            "counter_fen": figures.counter,
            "counter_limit_fen": figures.counter_limit,
            "pause_line_fen": figures.pause_line,
        }
    )


def apply(fund: Fund, event: PoolEvent) -> Fund:
    """What an event does by itself to money, registers and queue; figures that need the scheme's rules stay."""
    changed = _registers(_money(fund, event), event)
    short_fen = max(0, changed.instructed_fen + changed.unallocated_fen - changed.cash_fen)
    if not (isinstance(event, IncomeBooked) and event.amount < 0):
        short_fen = min(short_fen, changed.shortfall_fen)
    return changed.model_copy(update={"shortfall_fen": short_fen, "queue": queue_after(fund.queue, event)})


def _add(fund: Fund, **amounts_fen: int) -> Fund:
    return fund.model_copy(update={name: getattr(fund, name) + amount for name, amount in amounts_fen.items()})


def _money(fund: Fund, event: PoolEvent) -> Fund:
    match event:
        case CapitalInjected():
            return _add(fund, cash_fen=event.amount)
        case CompensationInstructed():
            return _add(fund, instructed_fen=event.amount, gross_fen=event.amount, last_disbursement=1)
        case SubsidyInstructed():
            return _add(fund, instructed_fen=event.amount, subsidies_fen=event.amount, last_disbursement=1)
        case FeeInstructed():
            return _add(fund, instructed_fen=event.amount, fees_fen=event.amount, last_disbursement=1)
        case CompensationSettled() | SubsidySettled() | FeeSettled():
            return _add(fund, instructed_fen=-event.amount, cash_fen=-event.amount)
        case DisbursementReturned():
            total = {"compensation": "gross_fen", "subsidy": "subsidies_fen", "fee": "fees_fen"}[event.kind]
            return _add(fund, instructed_fen=-event.amount, **{total: -event.amount})
        case IncomeBooked():
            return _add(fund, cash_fen=event.amount)
        case FundsBooked():
            return _received(fund, event)
        case WriteOffBooked():
            return _add(fund, written_off_fen=event.amount)
    return fund


def _received(fund: Fund, event: FundsBooked) -> Fund:
    rest_fen = event.amount - event.applied
    if event.purpose == "recovery":
        fund = _add(fund, recovered_fen=event.applied)
    elif event.purpose == "clawback":
        fund = _add(fund, clawed_fen=event.applied)
    return _add(fund, cash_fen=event.amount, unallocated_fen=rest_fen, written_off_fen=-event.reinstated)


def _registers(fund: Fund, event: PoolEvent) -> Fund:
    match event:
        case PoolPaused():
            return fund.model_copy(update={"state": "paused"})
        case PoolResumed():
            return fund.model_copy(update={"state": "active", "base_fen": fund.rebased_fen})
        case CapitalInjected():
            others = tuple(source for source in fund.capital if source.name != event.source)
            source = Source(name=event.source, amount_fen=fund.source_fen(event.source) + event.amount)
            return fund.model_copy(update={"capital": (*others, source)})
        case IncomeBooked():
            year = int(event.period[:4])
            before = fund.income_of(year)
            after = IncomeYear(year=year, amount_fen=before.amount_fen + event.amount, custodian=event.by)
            return fund.model_copy(update={"income": (*(one for one in fund.income if one.year != year), after)})
        case PayoutNoticeIssued():
            notice = Notice(year=event.on.year, notice_no=event.notice_no)
            return fund.model_copy(update={"notices": (*fund.notices, notice)})
        case FeeApproval():
            approval = ApprovedFee(year=event.year, rate=event.rate, by=event.by)
            return fund.model_copy(update={"fee_approvals": (*fund.fee_approvals, approval)})
        case FeeReleased():
            return fund.model_copy(update={"fee_years": (*fund.fee_years, event.year)})
    return fund
