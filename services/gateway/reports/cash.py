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
        one.event.disbursement_id: one.event.payee
        for one in history.happened
        if isinstance(one.event, pool.CompensationInstructed | pool.SubsidyInstructed | pool.FeeInstructed)
    }
    return [
        _movement(happened, event, payees)
        for happened, event in history.of(*MOVING)
        if period is None or event.on in period
    ]


def _movement(happened: Happened, event: pool.PoolEvent, payees: dict[str, str]) -> Movement:
    def moved(group: str, fen: int, bank_ref: str, party: str = "", about: str = "", uscc: str = "") -> Movement:
        return Movement(happened.position, event.on, group, fen, party, about, uscc, bank_ref)

    match event:
        case pool.CapitalInjected():
            return moved("capital", event.amount, event.bank_ref, party=event.source)
        case pool.IncomeBooked():
            return moved("income", event.amount, event.bank_ref, about=event.period)
        case pool.FundsBooked():
            return moved(event.purpose, event.amount, event.bank_ref, about=event.loan_no, uscc=event.uscc)
        case pool.CompensationSettled():
            return moved("compensation", -event.amount, event.bank_ref, event.payee, event.loan_no, event.uscc)
        case pool.SubsidySettled():
            payee = payees.get(event.disbursement_id, event.uscc)
            return moved("subsidy", -event.amount, event.bank_ref, payee, event.policy_no, event.uscc)
        case pool.FeeSettled():
            payee = payees.get(event.disbursement_id, "")
            return moved("fee", -event.amount, event.bank_ref, payee, str(event.year))
    raise TypeError(f"{type(event).__name__} moves no cash")


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
            booked = ledger_fen(history.lines, "cash", positions)
            checks.append(Check(words.word("movement", group), total_fen(moved, group), booked))
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
            Series(_capital(words("可用余额")), tuple((on, points[on].balance) for on in sorted(points))),
            Series(_capital(words("代偿累计")), tuple((on, points[on].counter) for on in sorted(points))),
        ),
        limits=(
            Limit(_capital(words("重启线")), newest.resume_line, 0),
            Limit(_capital(words("暂停线")), newest.pause_line, 1),
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


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _next(day: date) -> date:
    return date.fromordinal(day.toordinal() + 1)
