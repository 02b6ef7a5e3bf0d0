"""The commission's half-year report on recoveries to the district government (report.recovery, 三(七))."""

from decimal import Decimal

from services.gateway.reports.asked import Asked
from services.gateway.reports.history import History
from services.gateway.reports.loans import Loan, loans_of, money_checks
from services.gateway.reports.report import Bars, Column, Money, Report, Row, Table, with_total
from services.gateway.reports.wording import Wording, percent, yuan


def build(history: History, asked: Asked, words: Wording) -> Report:
    """Every compensated loan with what was recovered, shared, remitted, overdue and written off."""
    period, end = asked.period, asked.period.end
    loans = [loan for loan in loans_of(history).values() if any(one.on <= end for one in loan.paid)]
    loans.sort(key=lambda loan: (loan.paid[0].on, loan.cover.loan_no))
    paid = sum(_paid_fen(loan, asked) for loan in loans)
    collected = sum(loan.collected_fen(end, period.begin) for loan in loans)
    due = sum(loan.share_fen(end, period.begin) for loan in loans)
    remitted = sum(loan.returned_fen("recovery", end, period.begin) for loan in loans)
    clawed = sum(loan.returned_fen("clawback", end, period.begin) for loan in loans)
    ever = sum(loan.returned_fen("recovery", end) + loan.returned_fen("clawback", end) for loan in loans)
    overdue = [loan for loan in loans if loan.overdue_fen]
    paragraphs = [
        words(
            "按照%(clause)s的规定，现将%(period)s代偿项目追偿情况报告如下。截至期末，累计代偿%(loans)s笔、%(paid)s元，"
            "累计返还资金池%(ever)s元，占累计代偿的%(share)s。",
            clause=words.scheme.clause("report.recovery"), period=words.period(period),
            loans=len(loans), paid=yuan(paid), ever=yuan(ever), share=_share(ever, paid),
        ),
        words(
            "本期各金融机构共追回%(collected)s元，应返还资金池%(due)s元，实际到账%(remitted)s元；收回补偿资金%(clawed)s元；"
            "核销%(written)s元。",
            collected=yuan(collected), due=yuan(due), remitted=yuan(remitted), clawed=yuan(clawed),
            written=yuan(sum(loan.written_off_fen(end, period.begin) for loan in loans)),
        ),
        words("逾期未返还%(count)s笔、%(sum)s元，已提示有关机构。", count=len(overdue),
              sum=yuan(sum(loan.overdue_fen for loan in overdue)))
        if overdue else words("没有逾期未返还的款项。"),
    ]  # fmt: skip
    title = words("关于%(period)s风险补偿资金追偿情况的报告", period=words.period(period))
    return asked.report(
        history, words, title=title, office=words.organisation("drc"), addressee=words.organisation("government"),
        paragraphs=paragraphs, checks=money_checks(history, loans, words, period), chart=_chart(loans, asked, words),
        number="report", closing=words("特此报告。"),
        tables=(_institutions(loans, asked, words), _list(loans, asked, words), *_closing(loans, asked, words)),
    )  # fmt: skip


def _paid_fen(loan: Loan, asked: Asked) -> int:
    return sum(one.fen for one in loan.paid if one.on <= asked.period.end)


def _share(part: int, whole: int) -> str:
    return percent((Decimal(part) / Decimal(whole)).quantize(Decimal("0.0001"))) if whole else "0%"


def _chart(loans: list[Loan], asked: Asked, words: Wording) -> Bars | None:
    if not loans:
        return None
    end = asked.period.end
    sums = (
        ("累计代偿", sum(_paid_fen(loan, asked) for loan in loans)),
        ("累计追回", sum(loan.collected_fen(end) for loan in loans)),
        ("应返还资金池", sum(loan.share_fen(end) for loan in loans)),
        ("追偿返还到账", sum(loan.returned_fen("recovery", end) for loan in loans)),
        ("收回补偿资金", sum(loan.returned_fen("clawback", end) for loan in loans)),
        ("累计核销", sum(loan.written_off_fen(end) for loan in loans)),
    )
    return Bars(words("代偿与追偿累计"), tuple((words(label), fen) for label, fen in sums))


def _institutions(loans: list[Loan], asked: Asked, words: Wording) -> Table:
    period, rows = asked.period, list[Row]()
    for payee in sorted({loan.cover.payee or "" for loan in loans}):
        ones = [loan for loan in loans if loan.cover.payee == payee]
        sums = (
            sum(_paid_fen(one, asked) for one in ones),
            sum(one.collected_fen(period.end, period.begin) for one in ones),
            sum(one.share_fen(period.end, period.begin) for one in ones),
            sum(one.returned_fen("recovery", period.end, period.begin) for one in ones),
        )
        rows.append((words.organisation(payee), len(ones), *map(Money, sums)))
    names = ("累计代偿", "本期追回", "本期应返还", "本期到账")
    columns = (
        Column(words("机构"), width=22), Column(words("笔数"), "count", 7),
        *(Column(words(name), "money", 17) for name in names),
    )  # fmt: skip
    return with_total(words("分机构追偿情况表（单位：元）"), columns, rows, words("合计"), annex=False)


def _list(loans: list[Loan], asked: Asked, words: Wording) -> Table:
    begin, end = asked.period.begin, asked.period.end
    rows: list[Row] = [
        (
            words.enterprise(loan.cover.uscc), loan.cover.loan_no, words.organisation(loan.cover.payee),
            Money(_paid_fen(loan, asked)), Money(loan.collected_fen(end, begin)), Money(loan.collected_fen(end)),
            Money(loan.share_fen(end)), Money(loan.returned_fen("recovery", end, begin)),
            Money(loan.returned_fen("recovery", end)), Money(loan.overdue_fen),
            words.word("recovery", loan.recovery_status),
        )
        for loan in loans
    ]  # fmt: skip
    names = ("累计代偿", "本期追回", "累计追回", "累计应返还", "本期到账", "累计到账", "逾期未返还")
    columns = (
        Column(words("企业"), width=26), Column(words("贷款编号"), width=13), Column(words("机构"), width=16),
        *(Column(words(name), "money", 16) for name in names), Column(words("状态"), width=11),
    )  # fmt: skip
    return with_total(words("追偿项目明细表（单位：元）"), columns, rows, words("合计"))


def _closing(loans: list[Loan], asked: Asked, words: Wording) -> list[Table]:
    """Write-offs and clawbacks of the period, where there were any."""
    begin, end = asked.period.begin, asked.period.end
    written: list[Row] = [
        (
            on, words.enterprise(loan.cover.uscc), loan.cover.loan_no,
            words.word("value", loan.write_off.ground) if loan.write_off else "",
            loan.write_off.ruling_no if loan.write_off else "", Money(fen),
        )
        for loan in loans for on, fen in loan.written_off if begin <= on <= end
    ]  # fmt: skip
    returned: list[Row] = [
        (one.on, words.enterprise(loan.cover.uscc), loan.cover.loan_no, Money(one.fen), Money(one.applied_fen))
        for loan in loans for one in loan.returned if one.purpose == "clawback" and begin <= one.on <= end
    ]  # fmt: skip
    found = []
    if written:
        columns: tuple[Column, ...] = (
            Column(words("批准日期"), "day", 12), Column(words("企业"), width=28), Column(words("贷款编号"), width=14),
            Column(words("依据"), width=18), Column(words("裁定文号"), width=24),
            Column(words("核销金额（元）"), "money", 18),
        )  # fmt: skip
        found.append(with_total(words("核销情况表"), columns, written, words("合计")))
    if returned:
        columns = (
            Column(words("记账日期"), "day", 12), Column(words("企业"), width=28), Column(words("贷款编号"), width=14),
            Column(words("到账金额（元）"), "money", 18), Column(words("冲减代偿（元）"), "money", 18),
        )  # fmt: skip
        found.append(with_total(words("收回补偿资金情况表"), columns, returned, words("合计")))
    return found
