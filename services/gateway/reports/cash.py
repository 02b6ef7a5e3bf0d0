"""Money that moved in the custodian account, as the events' own facts say, and the fund's figures over time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from services.gateway.reports.history import Happened, History, ledger_fen
from services.gateway.reports.period import Period
from services.gateway.reports.report import Check, Curve, Limit, Series
from services.gateway.reports.wording import Wording
from shared.contracts import pool

IN = ("capital", "recovery", "clawback", "other", "income")
OUT = ("compensation", "subsidy", "fee")
MOVING = (
    pool.CapitalInjected, pool.IncomeBooked, pool.FundsBooked, pool.CompensationSettled, pool.SubsidySettled,
    pool.FeeSettled,
)  # fmt: skip


@dataclass(frozen=True)
class Movement:
    """One amount into (positive) or out of the account; ``party`` is a source, payee or purpose."""

    position: int
    on: date
    group: str
    fen: int
    party: str
    about: str
    uscc: str
    bank_ref: str


def movements(history: History, period: Period | None = None) -> list[Movement]:
    """Every movement booked in a period (or ever), in order."""
    payees = {
        event.disbursement_id: event.payee
        for _, event in history.of(pool.CompensationInstructed, pool.SubsidyInstructed, pool.FeeInstructed)
    }
    return [
        _movement(happened, event, payees)
        for happened, event in history.of(*MOVING)
        if period is None or event.on in period
    ]


def _movement(happened: Happened, event: pool.PoolEvent, payees: dict[str, str]) -> Movement:
    group, fen, party, about, uscc, bank_ref = "", 0, "", "", "", ""
    match event:
        case pool.CapitalInjected():
            group, fen, party, bank_ref = "capital", event.amount, event.source, event.bank_ref
        case pool.IncomeBooked():
            group, fen, about, bank_ref = "income", event.amount, event.period, event.bank_ref
        case pool.FundsBooked():
            group, fen, about, bank_ref = event.purpose, event.amount, event.loan_no, event.bank_ref
            uscc = event.uscc
        case pool.CompensationSettled():
            group, fen, party, about, bank_ref = "compensation", -event.amount, event.payee, event.loan_no, event.bank_ref
            uscc = event.uscc
        case pool.SubsidySettled():
            party = payees.get(event.disbursement_id, event.uscc)
            group, fen, about, bank_ref, uscc = "subsidy", -event.amount, event.policy_no, event.bank_ref, event.uscc
        case pool.FeeSettled():
            party = payees.get(event.disbursement_id, "")
            group, fen, about, bank_ref = "fee", -event.amount, str(event.year), event.bank_ref
    return Movement(happened.position, event.on, group, fen, party, about, uscc, bank_ref)


def total_fen(moved: Iterable[Movement], *groups: str) -> int:
    """The sum of some groups."""
    return sum(one.fen for one in moved if one.group in groups)


def cash_checks(history: History, period: Period, words: Wording) -> tuple[Check, ...]:
    """Opening, movements and closing against the ledger's account ``cash``; each group against its own lines."""
    moved, before = movements(history, period), [one for one in movements(history) if one.on < period.begin]
    after_end = history.balance_fen("cash", _next(period.end))
    opening = history.balance_fen("cash", period.begin)
    checks = [
        Check(words("期初余额"), sum(one.fen for one in before), opening),
        Check(words("本期现金净变动"), sum(one.fen for one in moved), after_end - opening),
        Check(words("期末余额"), sum(one.fen for one in (*before, *moved)), after_end),
    ]
    for group in (*IN, *OUT):
        positions = {one.position for one in moved if one.group == group}
        if positions:
            checks.append(
                Check(words.word("movement", group), total_fen(moved, group), ledger_fen(history.lines, "cash", positions))
            )
    if (last := last_figures(history, period.end)) is not None:
        checks.append(Check(words("期末余额与资金池状态"), last.cash, after_end))
    return tuple(checks)


def last_figures(history: History, until: date) -> pool.FundFigures | None:
    """The fund's figures at the end of a day."""
    found = [event.fund for _, event in history.of(pool.PoolEvent) if event.on <= until]
    return max(found, key=lambda figures: figures.version, default=None)


def fund_curve(history: History, begin: date, end: date, words: Wording) -> Curve | None:
    """Balance and counter at the end of each day with the lines they are judged by; None before any capital."""
    known = sorted((event for _, event in history.of(pool.PoolEvent)), key=lambda event: event.fund.version)
    before = [event.fund for event in known if event.on < begin]
    points: dict[date, pool.FundFigures] = {begin: before[-1]} if before else {}
    points |= {event.on: event.fund for event in known if begin <= event.on <= end}
    if not points:
        return None
    newest = points[max(points)]
    return Curve(
        title=words("可用余额与代偿累计"),
        begin=begin,
        end=end,
        series=(
            Series(words("可用余额"), tuple((on, points[on].balance) for on in sorted(points))),
            Series(words("代偿累计"), tuple((on, points[on].counter) for on in sorted(points))),
        ),
        limits=(
            Limit(words("重启线"), newest.resume_line, 0),
            Limit(words("暂停线"), newest.pause_line, 1),
        ),
    )


def trial_balance(history: History, period: Period) -> Sequence[tuple[str, int, int, int, int]]:
    """Every account: (name, opening, debits, credits, closing), a debit positive; columns sum to zero together."""
    accounts = sorted({one.account for one in history.lines if one.on <= period.end})
    found = []
    for account in accounts:
        amounts = [one.fen for one in history.lines if one.account == account and one.on in period]
        opening = history.balance_fen(account, period.begin)
        debit, credit = sum(a for a in amounts if a > 0), -sum(a for a in amounts if a < 0)
        found.append((account, opening, debit, credit, opening + debit - credit))
    return found


def _next(day: date) -> date:
    return date.fromordinal(day.toordinal() + 1)
