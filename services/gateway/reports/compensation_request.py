"""The commission's request to the district government to consent to a half-year's compensation (三(六))."""

from dataclasses import dataclass
from decimal import Decimal

from services.gateway.reports.asked import Asked
from services.gateway.reports.cash import last_figures
from services.gateway.reports.history import History
from services.gateway.reports.loans import Loan, loans_of, money_checks, reductions
from services.gateway.reports.report import Bars, Check, Column, Money, Report, Row, Table, with_total
from services.gateway.reports.wording import Wording, yuan
from shared.contracts import pool, review
from shared.money import multiply


@dataclass(frozen=True)
class Item:
    """What is asked for one loan."""

    loan: Loan
    verified_fen: int
    ratio: Decimal
    reduction: Decimal
    fen: int


def build(history: History, asked: Asked, words: Wording) -> Report:
    """The request with its items in payout order, the claims left out, and what it means for the pool."""
    batch = [loan for loan in loans_of(history).values() if loan.half == asked.period.text and loan.claim]
    items = _items(history, batch)
    left_out = [loan for loan in batch if loan.claim_status == "rejected"]
    waiting = [loan for loan in batch if loan.claim_status == "claimed"]
    total = sum(item.fen for item in items)
    consented = [event for _, event in history.of(review.CompensationApproved) if event.half == asked.period.text]
    checks = [
        Check(words("经区政府同意的代偿金额"), sum(i.fen for i in items if i.loan.item),
              sum(item.amount for event in consented for item in event.items)),
        *money_checks(history, [item.loan for item in items], words),
    ]  # fmt: skip
    title = words("关于%(period)s风险补偿资金代偿的请示", period=words.period(asked.period))
    paragraphs = [
        words(
            "按照《%(scheme)s》%(clause)s的规定，我委组织风险等级评定单位对%(period)s提出的%(claims)s笔代偿申请进行了集中核查，"
            "审核通过%(items)s笔，核定本金%(verified)s元，按照代偿比例计算代偿金额共计%(total)s元。",
            scheme=_document(words), clause=words.scheme.clause("batch.consent"), period=words.period(asked.period),
            claims=len(batch), items=len(items),
            verified=yuan(sum(item.verified_fen for item in items)), total=yuan(total),
        ),
        *_not_in_it(left_out, waiting, words),
        *_effect(history, asked, items, words),
        *_consent(consented, words),
    ]  # fmt: skip
    return asked.report(
        history, words, title=title, office=words.organisation("drc"), addressee=words.organisation("government"),
        paragraphs=paragraphs, checks=checks, chart=_by_payee(items, words), number="request",
        closing=words("妥否，请批示。"),
        tables=[_payees(items, words), _list(items, words), *([_rejected(left_out, words)] if left_out else [])],
    )  # fmt: skip


def _document(words: Wording) -> str:
    return words.fund.removesuffix("资金") + "实施方案" if words.language == "zh" else words.fund


def _items(history: History, batch: list[Loan]) -> list[Item]:
    """Verified and consented claims in the order of acceptance (payout.order); amounts as review decides them."""
    withheld = reductions(history)
    chosen = [loan for loan in batch if loan.claim_status in ("verified", "approved") and loan.verified_fen is not None]
    chosen.sort(key=lambda loan: (loan.claim.accepted_at if loan.claim else "", loan.cover.loan_no))
    return [_item(loan, withheld.get(loan.cover.payee or "", Decimal(0))) for loan in chosen]


def _item(loan: Loan, withheld: Decimal) -> Item:
    if loan.item is not None:
        return Item(loan, loan.item.verified_principal, loan.item.ratio, loan.item.reduction, loan.item.amount)
    verified, ratio = loan.verified_fen or 0, loan.cover.ratio
    return Item(loan, verified, ratio, withheld, multiply(verified, ratio, 1 - withheld))


def _not_in_it(left_out: list[Loan], waiting: list[Loan], words: Wording) -> list[str]:
    said = []
    if left_out:
        said.append(words("未予通过%(count)s笔，理由见附表。", count=len(left_out)))
    if waiting:
        said.append(words("尚未完成核查%(count)s笔，不在本次请示范围内。", count=len(waiting)))
    return said


def _effect(history: History, asked: Asked, items: list[Item], words: Wording) -> list[str]:
    """The fund as it stands, and what paying this request would lead to."""
    found = [event.fund for _, event in history.of(pool.PoolEvent)]
    figures = max(found, key=lambda one: one.version, default=None) or last_figures(history, asked.period.end)
    if figures is None:
        return []
    open_fen = sum(item.fen - min(item.fen, item.loan.instructed_fen) for item in items)
    after = figures.counter + open_fen
    said = words(
        "目前资金池可用余额%(balance)s元，代偿累计%(counter)s元，暂停线%(line)s元。本次请示中尚未通知兑付的%(open)s元"
        "全部兑付后，代偿累计将达到%(after)s元",
        balance=yuan(figures.balance), counter=yuan(figures.counter), line=yuan(figures.pause_line),
        open=yuan(open_fen), after=yuan(after),
    )  # fmt: skip
    if after >= figures.pause_line:
        said += words("，达到暂停线，超出部分按%(clause)s暂缓兑付。", clause=words.scheme.clause("pool.pause"))
    else:
        said += words("，距暂停线%(left)s元。", left=yuan(figures.pause_line - after))
    return [said]


def _consent(consented: list[review.CompensationApproved], words: Wording) -> list[str]:
    return [
        words("区政府已于%(day)s以%(number)s同意。", day=words.date(event.consented_on), number=event.document_no)
        for event in consented
    ]


def _by_payee(items: list[Item], words: Wording) -> Bars | None:
    totals: dict[str, int] = {}
    for item in items:
        name = words.organisation(item.loan.cover.payee)
        totals[name] = totals.get(name, 0) + item.fen
    ordered = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))
    return Bars(words("按收款机构的代偿金额"), tuple(ordered)) if ordered else None


def _payees(items: list[Item], words: Wording) -> Table:
    payees = sorted({item.loan.cover.payee or "" for item in items})
    rows: list[Row] = []
    for payee in payees:
        ones = [item for item in items if item.loan.cover.payee == payee]
        verified, total = sum(item.verified_fen for item in ones), sum(item.fen for item in ones)
        rows.append((words.organisation(payee), len(ones), Money(verified), Money(total)))
    columns = (
        Column(words("收款机构"), width=28), Column(words("笔数"), "count", 8),
        Column(words("核定本金（元）"), "money", 20), Column(words("代偿金额（元）"), "money", 20),
    )  # fmt: skip
    return with_total(words("代偿金额汇总表"), columns, rows, words("合计"), annex=False)


def _list(items: list[Item], words: Wording) -> Table:
    rows: list[Row] = [
        (
            at, words.enterprise(item.loan.cover.uscc), item.loan.cover.uscc, item.loan.cover.loan_no,
            words.organisation(item.loan.cover.payee), words.organisation(item.loan.cover.recommender),
            Money(item.loan.claim.claimed if item.loan.claim else 0), Money(item.verified_fen), item.ratio,
            item.reduction, Money(item.fen), Money(item.loan.paid_fen),
        )
        for at, item in enumerate(items, 1)
    ]  # fmt: skip
    columns = (
        Column(words("序号"), "count", 7), Column(words("企业"), width=28), Column(words("统一社会信用代码"), width=24),
        Column(words("贷款编号"), width=14), Column(words("收款机构"), width=18), Column(words("推荐单位"), width=16),
        Column(words("申请金额"), "money", 17), Column(words("核定本金"), "money", 17),
        Column(words("代偿比例"), "ratio", 9),
        Column(words("扣减"), "ratio", 8), Column(words("代偿金额"), "money", 17), Column(words("已到账"), "money", 17),
    )  # fmt: skip
    return with_total(words("代偿项目明细表（单位：元）"), columns, rows, words("合计"))


def _rejected(left_out: list[Loan], words: Wording) -> Table:
    rows: list[Row] = [
        (
            words.enterprise(loan.cover.uscc), loan.cover.loan_no, words.organisation(loan.cover.payee),
            Money(loan.claim.claimed if loan.claim else 0), words.word("rejected_by", loan.rejected_by),
            "；".join(loan.reasons),
        )
        for loan in left_out
    ]  # fmt: skip
    columns = (
        Column(words("企业"), width=28), Column(words("贷款编号"), width=14), Column(words("申请机构"), width=20),
        Column(words("申请金额"), "money", 18), Column(words("意见单位"), width=14), Column(words("理由"), width=40),
    )  # fmt: skip
    return Table(words("未予通过的申请"), columns, tuple(rows))
