"""An institution's own statement: its loans, claims, compensation, recoveries and sanctions, and nothing of others."""

from services.gateway.reports.asked import Asked
from services.gateway.reports.history import History
from services.gateway.reports.loans import Loan, loans_of, money_checks
from services.gateway.reports.report import Bars, Column, Money, Report, Row, Table, with_total
from services.gateway.reports.wording import Wording, percent, yuan
from shared.contracts import pool, review


def build(history: History, asked: Asked, words: Wording) -> Report:
    """The statement as of the period's end, with what moved in the period."""
    mine, end = asked.organisation, asked.period.end
    loans = [one for one in loans_of(history).values() if one.has_party(mine) and one.cover.disbursed_on <= end]
    loans.sort(key=lambda loan: (loan.cover.disbursed_on, loan.cover.loan_no))
    title = words("%(name)s%(period)s对账单", name=words.organisation(mine), period=words.period(asked.period))
    tables = [
        _loans(loans, words), _claims(loans, words), _paid(loans, asked, words), _recoveries(loans, asked, words),
        _subsidies(history, asked, words), _sanctions(history, asked, words),
    ]  # fmt: skip
    return asked.report(
        history, words, title=title, office=words.organisation("drc"), addressee=words.organisation(mine),
        paragraphs=[*_agreement(history, mine, words), _sums(loans, asked, words)], chart=_chart(loans, words),
        checks=money_checks(history, loans, words, asked.period), tables=[one for one in tables if one.rows],
    )  # fmt: skip


def _agreement(history: History, mine: str, words: Wording) -> list[str]:
    signed = [event for _, event in history.of(review.AgreementSigned) if event.institution == mine]
    if not signed:
        return []
    begin, end = words.date(signed[-1].valid_from), words.date(signed[-1].valid_to)
    return [words("合作协议有效期%(begin)s至%(end)s。", begin=begin, end=end)]


def _sums(loans: list[Loan], asked: Asked, words: Wording) -> str:
    begin, end = asked.period.begin, asked.period.end
    paid = [one for loan in loans for one in loan.paid if one.on in asked.period]
    return words(
        "截至期末纳入补偿范围的贷款%(count)s笔、本金%(principal)s元、未偿还%(outstanding)s元。本期代偿到账%(paid_count)s笔、"
        "%(paid)s元；本期追回%(collected)s元，应返还资金池%(due)s元，返还到账%(back)s元；逾期未返还%(overdue)s元。",
        count=len(loans), principal=yuan(sum(loan.cover.principal for loan in loans)),
        outstanding=yuan(sum(loan.outstanding_fen for loan in loans)), paid_count=len(paid),
        paid=yuan(sum(one.fen for one in paid)), collected=yuan(sum(loan.collected_fen(end, begin) for loan in loans)),
        due=yuan(sum(loan.share_fen(end, begin) for loan in loans)),
        back=yuan(sum(loan.returned_fen("recovery", end, begin) for loan in loans)),
        overdue=yuan(sum(loan.overdue_fen for loan in loans)),
    )  # fmt: skip


def _chart(loans: list[Loan], words: Wording) -> Bars | None:
    if not loans:
        return None
    sums = (
        ("放款本金", sum(loan.cover.principal for loan in loans)),
        ("未偿还本金", sum(loan.outstanding_fen for loan in loans)),
        ("核准代偿", sum(loan.item.amount for loan in loans if loan.item)),
        ("代偿到账", sum(loan.paid_fen for loan in loans)),
        ("累计追回", sum(one.fen for loan in loans for one in loan.collected)),
        ("返还到账", sum(one.applied_fen for loan in loans for one in loan.returned)),
    )
    return Bars(words("贷款、代偿与追偿"), tuple((words(label), fen) for label, fen in sums))


def _loans(loans: list[Loan], words: Wording) -> Table:
    rows: list[Row] = [
        (
            loan.cover.loan_no, words.enterprise(loan.cover.uscc), words.word("product", loan.cover.product),
            words.organisation(loan.cover.lender), loan.cover.disbursed_on, loan.cover.matures_on, loan.cover.ratio,
            Money(loan.cover.principal), Money(loan.outstanding_fen), words.word("loan", loan.status),
        )
        for loan in loans
    ]  # fmt: skip
    columns = (
        Column(words("贷款编号"), width=14), Column(words("企业"), width=28), Column(words("方式"), width=12),
        Column(words("放款机构"), width=18), Column(words("放款日期"), "day", 12), Column(words("到期日期"), "day", 12),
        Column(words("代偿比例"), "ratio", 9), Column(words("本金"), "money", 17), Column(words("未偿还"), "money", 17),
        Column(words("状态"), width=12),
    )  # fmt: skip
    return with_total(words("贷款明细表（单位：元）"), columns, rows, words("合计"))


def _claims(loans: list[Loan], words: Wording) -> Table:
    rows: list[Row] = [
        (
            loan.cover.loan_no, words.enterprise(loan.cover.uscc), loan.claim.accepted_on,
            words.word("value", loan.claim.classified), loan.half, Money(loan.claim.claimed),
            Money(loan.verified_fen) if loan.verified_fen is not None else None,
            Money(loan.item.amount) if loan.item else None, Money(loan.held_fen), words.word("loan", loan.claim_status),
            "；".join(loan.reasons),
        )
        for loan in loans if loan.claim
    ]  # fmt: skip
    columns = (
        Column(words("贷款编号"), width=14), Column(words("企业"), width=24), Column(words("受理日期"), "day", 12),
        Column(words("分类"), width=9), Column(words("核查批次"), width=10), Column(words("申请金额"), "money", 16),
        Column(words("核定本金"), "money", 16), Column(words("核准代偿"), "money", 16),
        Column(words("待兑付"), "money", 16),
        Column(words("状态"), width=10), Column(words("理由"), width=20),
    )  # fmt: skip
    return with_total(words("代偿申请明细表（单位：元）"), columns, rows, words("合计"))


def _paid(loans: list[Loan], asked: Asked, words: Wording) -> Table:
    mine = asked.organisation
    rows: list[Row] = [
        (
            one.on, loan.cover.loan_no, words.enterprise(loan.cover.uscc), words.organisation(loan.cover.payee),
            one.bank_ref, Money(one.fen), Money(one.shares.get(mine, 0)),
        )
        for loan in loans for one in loan.paid if one.on in asked.period
    ]  # fmt: skip
    columns = (
        Column(words("记账日期"), "day", 12), Column(words("贷款编号"), width=14), Column(words("企业"), width=28),
        Column(words("收款机构"), width=20), Column(words("银行流水号"), width=16),
        Column(words("到账金额"), "money", 18),
        Column(words("按协议归本机构"), "money", 18),
    )  # fmt: skip
    return with_total(words("代偿到账明细表（单位：元）"), columns, rows, words("合计"))


def _recoveries(loans: list[Loan], asked: Asked, words: Wording) -> Table:
    end = asked.period.end
    rows: list[Row] = [
        (
            loan.cover.loan_no, words.enterprise(loan.cover.uscc), Money(loan.paid_fen), Money(loan.collected_fen(end)),
            Money(loan.share_fen(end)), Money(loan.returned_fen("recovery", end)), Money(loan.overdue_fen),
            max((one.due_on for one in loan.collected), default=None), Money(loan.written_off_fen(end)),
            Money(loan.returned_fen("clawback", end)), words.word("recovery", loan.recovery_status),
        )
        for loan in loans if loan.paid
    ]  # fmt: skip
    names = ("累计代偿", "累计追回", "应返还", "返还到账", "逾期未返还")
    columns = (
        Column(words("贷款编号"), width=13), Column(words("企业"), width=24),
        *(Column(words(name), "money", 15) for name in names), Column(words("最近返还期限"), "day", 12),
        Column(words("核销"), "money", 14), Column(words("收回补偿资金"), "money", 14), Column(words("状态"), width=10),
    )  # fmt: skip
    return with_total(words("追偿明细表（单位：元）"), columns, rows, words("合计"))


def _subsidies(history: History, asked: Asked, words: Wording) -> Table:
    """An insurer's policies with the subsidy that the pool paid to the enterprise."""
    paid = {event.policy_no: event.amount for _, event in history.of(pool.SubsidySettled)}
    rows: list[Row] = [
        (
            event.policy_no, event.loan_no, words.enterprise(event.uscc), event.paid_on, Money(event.premium),
            Money(event.amount), Money(paid.get(event.policy_no, 0)),
        )
        for _, event in history.of(review.SubsidyApplied) if event.insurer == asked.organisation
    ]  # fmt: skip
    columns = (
        Column(words("保单号"), width=18), Column(words("贷款编号"), width=14), Column(words("企业"), width=28),
        Column(words("缴费日期"), "day", 12), Column(words("保费"), "money", 16),
        Column(words("申请补贴"), "money", 16),
        Column(words("已拨付"), "money", 16),
    )  # fmt: skip
    return with_total(words("保费补贴明细表（单位：元）"), columns, rows, words("合计"))


def _sanctions(history: History, asked: Asked, words: Wording) -> Table:
    rows: list[Row] = [
        (
            event.sanctioned_on, words.word("value", event.measure),
            percent(event.reduction) if event.reduction else "",
            ", ".join(event.loan_nos), event.reason,
        )
        for _, event in history.of(review.InstitutionSanctioned) if event.institution == asked.organisation
    ]  # fmt: skip
    columns = (
        Column(words("日期"), "day", 12), Column(words("处置"), width=14), Column(words("扣减"), width=8),
        Column(words("涉及贷款"), width=24), Column(words("理由"), width=40),
    )  # fmt: skip
    return Table(words("处置情况表"), columns, tuple(rows))
