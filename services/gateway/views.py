"""What the gateway answers, field by field (contract.md section 8); amounts and ratios as strings."""

from datetime import date, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from shared.clock import SHANGHAI
from shared.contracts.base import Fen, Finding, Rate, SignedFen

T = TypeVar("T")
Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(SHANGHAI))]


class View(BaseModel):
    """A frozen answer."""

    model_config = ConfigDict(frozen=True)


class Page(View, Generic[T]):
    """One page of a list; ``next_cursor`` leads to the next, or is null at the end."""

    items: list[T]
    next_cursor: str | None = None


class HeldView(View):
    """A payout that waits: a loan's compensation, a policy's subsidy or a year's fee."""

    kind: str
    loan_no: str | None = None
    policy_no: str | None = None
    year: int | None = None
    uscc: str | None = None
    payee: str | None = None
    amount: Fen
    reason: str | None = None


class PoolView(View):
    """The fund now: ``balance`` is available, ``exposure`` is ratio x outstanding of what may yet be claimed."""

    state: str = "active"
    capital: Fen = 0
    balance: Fen = 0
    cash: Fen = 0
    instructed: Fen = 0
    compensated_gross: Fen = 0
    counter: Fen = 0
    pause_line: Fen = 0
    resume_line: Fen = 0
    held: list[HeldView] = []
    held_total: Fen = 0
    recovered: Fen = 0
    written_off: Fen = 0
    recoverable: Fen = 0
    income_total: SignedFen = 0
    subsidies_total: Fen = 0
    fees_total: Fen = 0
    unallocated: Fen = 0
    exposure: Fen = 0


class CaseView(View):
    """One enterprise's case; ``priority`` says whether its sector or traits put it first in lists."""

    uscc: str
    name: str
    status: str
    recommender: str
    grade: str | None
    ratio: Rate | None
    rounds: int
    failures: int
    loan_no: str | None
    size: str | None
    sector: str | None
    traits: list[str]
    need: str | None
    priority: bool
    referred_on: date | None
    admitted_on: date | None
    rated_on: date | None
    product: str | None
    pushed_to: list[str]
    deadline_on: date | None
    barred_until: date | None
    closed_rule: str | None


class TimelineView(View):
    """One event of a case."""

    id: str
    at: Moment
    type: str
    service: str
    data: dict[str, Any]
    why: dict[str, Any] | None


class CaseDetailView(CaseView):
    """A case with its application, findings and everything that happened to it."""

    seats: list[str]
    preference: list[dict[str, Any]]
    application: dict[str, Any] | None
    findings: list[Finding]
    timeline: list[TimelineView]


class CompensationView(View):
    """A loan's compensation: approved by the district government, settled by the custodian, waiting in the queue."""

    approved: Fen
    instructed: Fen
    paid: Fen
    held: Fen


class LoanRecoveryView(View):
    """A loan's recovery; ``status`` is none until its compensation is settled."""

    status: str
    collected: Fen
    pool_share: Fen
    remitted: Fen
    overdue: Fen
    due_on: date | None
    written_off: Fen
    clawback: Fen
    clawed_back: Fen


class LoanView(View):
    """A covered loan."""

    loan_no: str
    uscc: str
    status: str
    lender: str | None
    payee: str | None
    guarantor: str | None
    insurer: str | None
    guarantor_share: Rate | None
    recommender: str | None
    product: str | None
    principal: Fen
    outstanding: Fen
    ratio: Rate | None
    annual_rate: Rate | None
    disbursed_on: date | None
    matures_on: date | None
    claim: dict[str, Any] | None
    compensation: CompensationView
    recovery: LoanRecoveryView


class RecoveryView(LoanRecoveryView):
    """A compensated loan's recovery with its parties."""

    loan_no: str
    uscc: str
    payee: str | None
    lender: str | None
    opened_on: date | None
    paid: Fen
    costs: Fen


class DisbursementView(View):
    """A transfer that the custodian is told to make."""

    id: str
    kind: str
    payee: str | None
    amount: Fen
    status: str
    bank_ref: str | None
    uscc: str | None
    loan_no: str | None
    policy_no: str | None
    year: int | None
    shares: dict[str, str]
    instructed_on: date | None
    settled_on: date | None
    reason: str | None


class FlagView(View):
    """A year in which a recommender had as many compensated enterprises as the scheme flags."""

    year: int
    enterprises: list[str]


class DepartmentView(View):
    """A recommender: referrals by quarter, compensated enterprises by year, and its flags for the assessment."""

    id: str
    kind: str
    name: str
    referrals: dict[str, int]
    compensated: dict[str, int]
    flag: bool
    flags: list[FlagView]


class ObligationView(View):
    """A duty of one period: done, due or overdue."""

    kind: str
    period: str
    organisation: str
    due_on: date
    state: str
    done_on: date | None
    rule: str
    clause: str


class EntryView(View):
    """One line of a posting: a debit is positive, a credit negative."""

    position: int
    line: int
    event_id: str
    cause: str
    about: str
    on: date
    account: str
    amount: SignedFen


class AccountView(View):
    """An account's balance, derived from its entries alone."""

    account: str
    balance: SignedFen
    entries: int


class EventView(View):
    """An event of any service; ``position`` is its place among all events."""

    position: int
    id: str
    type: str
    service: str
    about: str
    at: Moment
    correlation_id: str
    causation_id: str
    scheme_version: str
    data: dict[str, Any]
    why: dict[str, Any] | None


class ReceiptView(View):
    """What became of a partner event."""

    event_id: str
    event: str
    institution: str
    outcome: str
    rule: str | None
    detail: str | None
    at: Moment


class QuotaView(View):
    """The yearly limit of high ratings (grade.high_quota)."""

    year: int
    limit: int
    used: int
    left: int
    enterprises: list[str]
