"""A recommender's quarter: its referrals, what became of them, compensated enterprises and the flag (四(一))."""

from dataclasses import dataclass, field
from datetime import date

from services.gateway.policy import GatewayPolicy
from services.gateway.reports.asked import Asked
from services.gateway.reports.history import History
from services.gateway.reports.loans import Loan, loans_of, money_checks
from services.gateway.reports.period import Period, parse_period
from services.gateway.reports.report import Bars, Column, Money, Report, Row, Table, with_total
from services.gateway.reports.wording import Wording, yuan
from shared.contracts import referral, review
from shared.contracts.base import Event

# The status that an event gives a case, as the API says it: referral's and review's side of it.
_REFERRAL: dict[type[Event], str] = {
    referral.EnterpriseReferred: "referred", referral.ReferralAmended: "referred",
    referral.ReferralReturned: "returned",
    referral.EnterpriseAdmitted: "admitted", referral.ReferralRefused: "refused",
    referral.ReferralWithdrawn: "withdrawn",
    referral.ReferralClosed: "closed",
}  # fmt: skip
_REVIEW: dict[type[Event], str] = {
    review.CaseOpened: "admitted", review.RatingRoundOpened: "in_review", review.ConsentRequested: "awaiting_consent",
    review.ConsentRefused: "admitted", review.EnterpriseRated: "rated", review.RatingLapsed: "admitted",
    review.FinancingPushed: "pushed", review.FinancingFailed: "admitted", review.FinancingExhausted: "exhausted",
    review.EnterpriseDeclined: "declined", review.EnterpriseVetoed: "vetoed", review.LoanCovered: "financed",
}  # fmt: skip


@dataclass
class Referral:
    """One referral of an enterprise and what became of it."""

    uscc: str
    attempt: int
    recommender: str
    on: date
    need_fen: int
    sector: str
    referral_status: str = "referred"
    review_status: str = ""
    grade: str = ""
    loans: list[Loan] = field(default_factory=list)

    @property
    def status(self) -> str:
        """A referral's own end goes before what review says."""
        ended = self.referral_status in ("withdrawn", "refused")
        return self.referral_status if ended or not self.review_status else self.review_status

    @property
    def paid_fen(self) -> int:
        """Compensation paid for its loans."""
        return sum(loan.paid_fen for loan in self.loans)


def referrals_of(history: History) -> list[Referral]:
    """Every referral, in order, with its case's status at the history's end."""
    newest: dict[str, Referral] = {}
    found: list[Referral] = []
    loans = loans_of(history)
    for happened in history.happened:
        event = happened.event
        uscc = str(getattr(event, "uscc", ""))
        if isinstance(event, referral.EnterpriseReferred):
            need, sector = event.application.need, event.application.sector
            newest[uscc] = Referral(uscc, event.attempt, event.recommender, event.referred_on, need, sector)
            found.append(newest[uscc])
        elif (one := newest.get(uscc)) is not None:
            _evolve(one, event)
            if isinstance(event, review.LoanCovered):
                one.loans.append(loans[event.loan_no])
    return found


def _evolve(one: Referral, event: Event) -> None:
    one.referral_status = _REFERRAL.get(type(event), one.referral_status)
    one.review_status = _REVIEW.get(type(event), one.review_status)
    match event:
        case review.CaseClosed():
            one.review_status = event.outcome
        case review.EnterpriseRated():
            one.grade = event.grade
        case review.ConsentRefused() | review.RatingLapsed() | review.FinancingFailed():
            one.grade = ""


def build(history: History, asked: Asked, words: Wording) -> Report:
    """A department's or township's report of a quarter."""
    own = [one for one in referrals_of(history) if one.recommender == asked.organisation]
    ones = [one for one in own if one.on in asked.period]
    known = asked.scheme.organisations.get(asked.organisation)
    counted = known is not None and known.kind == "department"
    wanted = asked.scheme.policy(GatewayPolicy).referrals_per_quarter
    quota = _quota(len(ones), wanted, counted, words)
    paragraphs = [_outcome(ones, asked, words), *quota, *_flag(history, asked, words)]
    mine = [loan for one in own for loan in one.loans]
    title = words("%(office)s%(period)s企业推荐情况表",
                  office=words.organisation(asked.organisation), period=words.period(asked.period))  # fmt: skip
    return asked.report(
        history, words, title=title, office=words.organisation(asked.organisation), addressee=words.organisation("drc"),
        paragraphs=paragraphs, checks=money_checks(history, mine, words),
        chart=_by_quarter(own, asked.period, wanted if counted else None, words),
        tables=(_statuses(ones, words), _list(ones, words), _compensated(own, asked, words)),
    )  # fmt: skip


def _outcome(ones: list[Referral], asked: Asked, words: Wording) -> str:
    financed = [loan for one in ones for loan in one.loans]
    return words(
        "%(period)s共推荐企业%(count)s家，融资需求合计%(need)s元；已放款%(loans)s家、%(principal)s元；"
        "已代偿%(paid_count)s家、%(paid)s元。",
        period=words.period(asked.period), count=len(ones), need=yuan(sum(one.need_fen for one in ones)),
        loans=len(financed), principal=yuan(sum(loan.cover.principal for loan in financed)),
        paid_count=sum(bool(one.paid_fen) for one in ones), paid=yuan(sum(one.paid_fen for one in ones)),
    )  # fmt: skip


def _quota(count: int, wanted: int, counted: bool, words: Wording) -> list[str]:
    if not counted:
        return [words("乡镇街道不考核季度推荐家数。")]
    if count >= wanted:
        return [words("达到每季度推荐不少于%(wanted)s家的要求。", wanted=wanted)]
    return [words("每季度推荐不少于%(wanted)s家，尚差%(missing)s家。", wanted=wanted, missing=wanted - count)]


def _flag(history: History, asked: Asked, words: Wording) -> list[str]:
    flags = [
        event for _, event in history.of(referral.DepartmentFlagged)
        if (event.department, event.year) == (asked.organisation, asked.period.year)
    ]  # fmt: skip
    if not flags:
        return [words("本年度推荐企业未出现需提示考核的代偿情况。")]
    names = words("、").join(words.enterprise(uscc) for uscc in flags[-1].enterprises)
    return [words("%(year)s年推荐企业已出现%(count)s家代偿（%(names)s），按%(clause)s提示考核。",
                  year=asked.period.year, count=len(flags[-1].enterprises), names=names,
                  clause=asked.scheme.clause("department.flag"))]  # fmt: skip


def _by_quarter(own: list[Referral], period: Period, wanted: int | None, words: Wording) -> Bars:
    quarters = [parse_period(f"{period.year}Q{number}") for number in (1, 2, 3, 4)]
    bars = tuple((quarter.text, sum(one.on in quarter for one in own)) for quarter in quarters)
    limit = (words("每季度要求"), wanted) if wanted is not None else None
    return Bars(words("%(year)s年各季度推荐家数", year=period.year), bars, "count", limit)


def _statuses(ones: list[Referral], words: Wording) -> Table:
    codes = sorted({one.status for one in ones})
    rows: list[Row] = []
    for code in codes:
        some = [one for one in ones if one.status == code]
        rows.append((words.word("status", code), len(some), Money(sum(one.need_fen for one in some))))
    columns = (
        Column(words("状态"), width=20), Column(words("家数"), "count", 10),
        Column(words("融资需求（元）"), "money", 20),
    )  # fmt: skip
    return with_total(words("推荐结果汇总表"), columns, rows, words("合计"), annex=False)


def _list(ones: list[Referral], words: Wording) -> Table:
    rows: list[Row] = [
        (
            at, words.enterprise(one.uscc), one.uscc, one.on, words.word("value", one.sector), Money(one.need_fen),
            words.word("status", one.status), words.word("grade", one.grade),
            Money(sum(loan.cover.principal for loan in one.loans)), Money(one.paid_fen),
        )
        for at, one in enumerate(ones, 1)
    ]  # fmt: skip
    columns = (
        Column(words("序号"), "count", 7), Column(words("企业"), width=28), Column(words("统一社会信用代码"), width=24),
        Column(words("推荐日期"), "day", 12), Column(words("领域"), width=14),
        Column(words("融资需求"), "money", 17),
        Column(words("状态"), width=12), Column(words("风险等级"), width=10), Column(words("放款本金"), "money", 17),
        Column(words("已代偿"), "money", 17),
    )  # fmt: skip
    return with_total(words("推荐企业明细表（单位：元）"), columns, rows, words("合计"))


def _compensated(own: list[Referral], asked: Asked, words: Wording) -> Table:
    year = asked.period.year
    rows: list[Row] = [
        (paid.on, words.enterprise(one.uscc), loan.cover.loan_no, words.organisation(loan.cover.payee), Money(paid.fen))
        for one in own for loan in one.loans for paid in loan.paid if paid.on.year == year
    ]  # fmt: skip
    columns = (
        Column(words("记账日期"), "day", 12), Column(words("企业"), width=30), Column(words("贷款编号"), width=16),
        Column(words("收款机构"), width=22), Column(words("代偿金额（元）"), "money", 20),
    )  # fmt: skip
    return with_total(words("%(year)s年代偿明细表", year=year), columns, rows, words("合计"))
