"""The custodian's half-year and annual report: balances, income, payouts and fees of the period (二(二)2)."""

from collections.abc import Sequence
from datetime import date

from services.gateway.reports.asked import Asked
from services.gateway.reports.cash import (
    IN,
    OUT,
    Movement,
    cash_checks,
    fund_curve,
    last_figures,
    movements,
    total_fen,
    trial_balance,
)
from services.gateway.reports.history import History
from services.gateway.reports.report import Check, Column, Money, Report, Row, Table, with_total
from services.gateway.reports.wording import Wording, percent, yuan
from shared.contracts import pool, review


def build(history: History, asked: Asked, words: Wording) -> Report:
    """The report of a half-year or a calendar year, to DRC and finance."""
    period, moved = asked.period, movements(history, asked.period)
    opening = history.balance_fen("cash", period.begin)
    received, paid = total_fen(moved, *IN), -total_fen(moved, *OUT)
    balance = trial_balance(history, period)
    zero = Check(words("各科目期末余额之和"), sum(row[4] for row in balance), 0)
    checks = (*cash_checks(history, period, words), zero)
    office = words.organisation(custodian_of(history)) or words("资金托管机构")
    title = words("%(period)s风险补偿资金托管报告", period=words.period(period))
    paragraphs = [
        words(
            "现将%(period)s%(fund)s托管情况报告如下。本期期初余额%(opening)s元，收入%(received)s元，支出%(paid)s元，"
            "期末余额%(closing)s元。",
            period=words.period(period), fund=words.fund, opening=yuan(opening), received=yuan(received),
            paid=yuan(paid), closing=yuan(opening + received - paid),
        ),
        *_state(history, asked, words),
        *_income(history, moved, asked, words),
        *_statements(history, asked, words),
    ]
    return asked.report(
        history, words, title=title, office=office, addressee=words.organisations(("drc", "finance")),
        paragraphs=paragraphs, checks=checks, chart=fund_curve(history, period.begin, asked.until(history), words),
        tables=(
            _summary(moved, opening, words),
            _months(history, asked, words),
            _payments(moved, words),
            _receipts(moved, words),
            _compared(history, asked, words),
            _accounts(balance, words),
        ),
    )  # fmt: skip


def custodian_of(history: History) -> str:
    """The custodian that signed last."""
    signed = [event.institution for _, event in history.of(review.AgreementSigned) if event.kind == "custodian"]
    return signed[-1] if signed else ""


def _state(history: History, asked: Asked, words: Wording) -> list[str]:
    figures = last_figures(history, asked.period.end)
    if figures is None:
        return []
    said = words(
        "期末可用余额%(balance)s元（已通知未到账%(instructed)s元，待查款%(unallocated)s元）；代偿累计%(counter)s元，"
        "暂停线%(pause)s元，距暂停线%(left)s元；待兑付%(held)s元。",
        balance=yuan(figures.balance), instructed=yuan(figures.instructed), unallocated=yuan(figures.unallocated),
        counter=yuan(figures.counter), pause=yuan(figures.pause_line),
        left=yuan(max(0, figures.pause_line - figures.counter)), held=yuan(figures.held_total),
    )  # fmt: skip
    state = words("期末资金池暂停代偿兑付。") if figures.state == "paused" else words("期末资金池正常兑付。")
    return [said + ("" if words.language == "zh" else " ") + state]


def _income(history: History, moved: list[Movement], asked: Asked, words: Wording) -> list[str]:
    text = words("本期增值收益%(income)s元。", income=yuan(total_fen(moved, "income")))
    for _, fee in history.of(pool.FeeReleased):
        if fee.on in asked.period:
            text += ("" if words.language == "zh" else " ") + words(
                "%(year)s年管理费以当年已实现收益%(income)s元为基数，按%(rate)s计%(amount)s元。",
                year=fee.year, income=yuan(fee.income), rate=percent(fee.rate), amount=yuan(fee.amount),
            )  # fmt: skip
    return [text]


def _statements(history: History, asked: Asked, words: Wording) -> list[str]:
    compared = _comparisons(history, asked)
    if not compared:
        return [words("本期没有对账记录。")]
    differing = sum(isinstance(event, pool.StatementMismatch) for event in compared)
    counts = {"count": len(compared), "differing": differing}
    if differing:
        return [words("本期对账%(count)s次，其中%(differing)s次不符，详见附表。", **counts)]
    return [words("本期对账%(count)s次，托管账户余额与账簿全部相符。", **counts)]


def _comparisons(history: History, asked: Asked) -> list[pool.StatementReconciled | pool.StatementMismatch]:
    found: list[pool.StatementReconciled | pool.StatementMismatch] = []
    for _, event in history.of(pool.StatementReconciled, pool.StatementMismatch):
        if isinstance(event, pool.StatementReconciled | pool.StatementMismatch) and event.as_of in asked.period:
            found.append(event)
    return found


def _summary(moved: list[Movement], opening: int, words: Wording) -> Table:
    rows: list[Row] = [(words("期初余额"), None, Money(opening))]
    for groups, label in ((IN, "收入合计"), (OUT, "支出合计")):
        for group in groups:
            ones = [one for one in moved if one.group == group]
            rows.append((f"　{words.word('movement', group)}", len(ones), _shown(ones, group)))
        both = [one for one in moved if one.group in groups]
        rows.append((words(label), len(both), _shown(both, *groups)))
    closing = Money(opening + sum(one.fen for one in moved))
    columns = (
        Column(words("项目"), width=28), Column(words("笔数"), "count", 8), Column(words("金额（元）"), "money", 20),
    )  # fmt: skip
    return Table(words("资金收支表"), columns, tuple(rows), (words("期末余额"), None, closing), annex=False)


def _shown(moved: list[Movement], *groups: str) -> Money:
    """Payments stand in a table as positive amounts."""
    total = total_fen(moved, *groups)
    return Money(-total if groups[0] in OUT else total)


def _months(history: History, asked: Asked, words: Wording) -> Table:
    rows: list[Row] = []
    for last in asked.period.months:
        first = date(last.year, last.month, 1)
        ones = [one for one in movements(history) if first <= one.on <= last]
        opening = history.balance_fen("cash", first)
        ins, outs = total_fen(ones, *IN), -total_fen(ones, *OUT)
        rows.append((f"{last:%Y-%m}", Money(opening), Money(ins), Money(outs), Money(opening + ins - outs)))
    names = ("期初余额", "收入", "支出", "期末余额")
    columns = (Column(words("月份"), width=13), *(Column(words(name), "money", 18) for name in names))
    return Table(words("分月收支表"), columns, tuple(rows), annex=False)


def _payments(moved: list[Movement], words: Wording) -> Table:
    rows: list[Row] = [
        (
            one.on, words.word("movement", one.group), words.organisation(one.party) if one.group != "subsidy"
            else words.enterprise(one.uscc), one.about, words.enterprise(one.uscc) if one.uscc else "", one.bank_ref,
            Money(-one.fen),
        )
        for one in moved if one.group in OUT
    ]  # fmt: skip
    columns = (
        Column(words("记账日期"), "day", 12), Column(words("类别"), width=12), Column(words("收款单位"), width=24),
        Column(words("贷款、保单或年度"), width=18), Column(words("企业"), width=28),
        Column(words("银行流水号"), width=16),
        Column(words("金额（元）"), "money", 18),
    )  # fmt: skip
    return with_total(words("支出明细表"), columns, rows, words("合计"))


def _receipts(moved: list[Movement], words: Wording) -> Table:
    rows: list[Row] = [
        (
            one.on, words.word("movement", one.group),
            words.word("value", one.party) if one.party else words.enterprise(one.uscc) if one.uscc else "",
            one.about, one.bank_ref, Money(one.fen),
        )
        for one in moved if one.group in IN
    ]  # fmt: skip
    columns = (
        Column(words("记账日期"), "day", 12), Column(words("类别"), width=14), Column(words("来源或企业"), width=28),
        Column(words("贷款或期间"), width=18), Column(words("银行流水号"), width=16),
        Column(words("金额（元）"), "money", 18),
    )  # fmt: skip
    return with_total(words("收入明细表"), columns, rows, words("合计"))


def _compared(history: History, asked: Asked, words: Wording) -> Table:
    rows: list[Row] = [
        (one.as_of, Money(one.statement), Money(one.ledger), Money(one.statement - one.ledger))
        for one in _comparisons(history, asked)
    ]
    names = ("对账单余额", "账簿余额", "差额")
    columns = (Column(words("对账日期"), "day", 14), *(Column(words(name), "money", 20) for name in names))
    return Table(words("对账情况表"), columns, tuple(rows))


def _accounts(balance: Sequence[tuple[str, int, int, int, int]], words: Wording) -> Table:
    rows: list[Row] = []
    for account, opening, debit, credit, closing in balance:
        head, _, rest = account.partition(":")
        name = words.word("books", head) + (f"：{words.word('value', rest)}" if rest else "")
        rows.append((name, account, Money(opening), Money(debit), Money(credit), Money(closing)))
    names = ("期初余额", "本期借方", "本期贷方", "期末余额")
    columns = (
        Column(words("科目"), width=24), Column(words("科目代码"), width=22),
        *(Column(words(name), "money", 18) for name in names),
    )  # fmt: skip
    return with_total(words("科目余额表（借方为正）"), columns, rows, words("合计"))
