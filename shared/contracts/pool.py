"""Events of the pool service: each carries its balanced entries, where money moves, and the fund's figures after it."""

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field

from shared.contracts.base import Day, Event, Fen, Half, Id, Name, Number, Rate, Shape, SignedFen, Text
from shared.contracts.review import CompensationItem

ItemKind = Literal["compensation", "subsidy", "fee"]
HoldReason = Literal["paused", "short_of_funds", "line", "returned"]
HOLD_RULES: dict[str, str] = {
    "paused": "pool.pause", "line": "pool.crossing", "short_of_funds": "pool.balance", "returned": "pool.custodian",
}


class Entry(Shape):
    """One line of a posting: a debit is positive, a credit negative; a posting's entries sum to zero."""

    account: Name
    amount: SignedFen


class FundFigures(Shape):
    """The fund after an event; ``balance`` is what is available: cash - instructed - unallocated, never below zero.

    ``shortfall`` is what a loss took beyond the balance: money that comes in fills it first. ``held_total`` is all that
    waits in the payout queue, of every kind. ``written_off`` is net of what was recovered after its write-off.
    ``counter_limit`` is what the counter may not exceed (none when a crossing payout is paid in full).
    """

    version: int
    state: Literal["active", "paused"]
    capital: Fen
    balance: Fen
    cash: Fen
    instructed: Fen
    compensated_gross: Fen
    counter: Fen
    pause_line: Fen
    resume_line: Fen
    held_total: Fen
    recovered: Fen
    written_off: Fen
    recoverable: Fen
    income_total: SignedFen
    subsidies_total: Fen
    fees_total: Fen
    unallocated: Fen
    clawed: Fen = 0
    shortfall: Fen = 0
    counter_limit: Fen | None = None


class PayoutItem(Shape):
    """One thing the pool owes - a compensation, a subsidy or a fee - with what its later events must say of it."""

    kind: ItemKind
    payee: Name
    approved: Fen
    uscc: Text = ""
    loan_no: Text = ""
    policy_no: Text = ""
    year: int | None = None
    lender: Text = ""
    guarantor: Id | None = None
    guarantor_share: Rate | None = None
    recommender: Text = ""
    verified_principal: Fen = 0
    ratio: Rate = Decimal(0)

    @property
    def number(self) -> str:
        """What tells items of one kind apart: the loan, the policy or the year."""
        return {"compensation": self.loan_no, "subsidy": self.policy_no, "fee": str(self.year)}[self.kind]


class PoolEvent(Event):
    """An event of the fund on business date ``on``; ``entries`` is empty where no money moves, ``fund`` is after it."""

    service: ClassVar[str] = "pool"
    on: Day
    entries: tuple[Entry, ...] = ()
    fund: FundFigures


class CapitalInjected(PoolEvent):
    """Approved capital came in."""

    source: Name
    amount: Fen
    bank_ref: Number


class ApprovalRecorded(PoolEvent):
    """The pool took note of a half-year's consent; ``skipped`` names loans that have a compensation already."""

    half: Half
    consented_on: Day
    items: tuple[CompensationItem, ...]
    skipped: tuple[str, ...] = ()


class ReleasedItem(CompensationItem):
    """A consented compensation that a notice released to the payout queue."""

    half: Half


class PayoutNoticeIssued(PoolEvent):
    """DRC's notice released these compensations, in payout order."""

    notice_no: Name
    reason: Text = ""
    items: tuple[ReleasedItem, ...]
    returned: tuple[str, ...] = ()


class CompensationEvent(PoolEvent):
    """An event about one loan's compensation."""

    uscc: Number
    loan_no: Number


class CompensationInstructed(CompensationEvent):
    """The custodian is instructed to pay; ``shares`` says who ends up with how much of a guaranteed loan's payment.

    ``remaining`` is what of the item is not instructed yet.
    """

    disbursement_id: Number
    payee: Id
    amount: Fen
    shares: dict[str, Fen] = Field(default_factory=dict)
    remaining: Fen = 0
    item: PayoutItem | None = None


class CompensationHeld(CompensationEvent):
    """What of a released compensation is not paid now, and why."""

    amount: Fen
    reason: HoldReason
    approved: Fen = 0


class CompensationSettled(CompensationEvent):
    """The custodian confirmed a compensation."""

    disbursement_id: Number
    amount: Fen
    bank_ref: Number
    settled_on: Day | None = None
    payee: Id
    lender: Id
    guarantor: Id | None = None
    recommender: Id
    verified_principal: Fen
    ratio: Rate


class DisbursementReturned(PoolEvent):
    """A transfer came back: balance and counter are restored, a compensation goes back to the head of the queue."""

    disbursement_id: Number
    kind: ItemKind
    uscc: Text = ""
    loan_no: Text = ""
    policy_no: Text = ""
    year: int | None = None
    amount: Fen
    reason: Name
    item: PayoutItem | None = None


class PoolPaused(PoolEvent):
    """The counter reached the pause line: compensation stops."""

    counter: Fen
    line: Fen


class PoolResumed(PoolEvent):
    """The pool reached the resume line: the counter is re-based and compensation goes on."""

    balance: Fen
    line: Fen
    counter: Fen


class SubsidyEvent(PoolEvent):
    """An event about one premium subsidy."""

    uscc: Number
    loan_no: Number
    policy_no: Number


class SubsidyReleased(SubsidyEvent):
    """An approved subsidy joined the queue (it is not stopped by a pause)."""

    amount: Fen


class SubsidyInstructed(SubsidyEvent):
    """The custodian is instructed to pay a subsidy to the enterprise."""

    disbursement_id: Number
    payee: Name
    amount: Fen
    remaining: Fen = 0
    item: PayoutItem | None = None


class SubsidyHeld(SubsidyEvent):
    """What of a subsidy is not paid now, and why."""

    amount: Fen
    reason: HoldReason


class SubsidySettled(SubsidyEvent):
    """The custodian confirmed a subsidy."""

    disbursement_id: Number
    amount: Fen
    bank_ref: Number
    settled_on: Day | None = None


class FeeApproval(PoolEvent):
    """One of the two approvals of a year's fee."""

    year: int
    rate: Rate
    by: Id


class FeeReleased(PoolEvent):
    """Both approved: the fee of the year is due (0.00 when the year's income is not above zero)."""

    year: int
    rate: Rate
    income: SignedFen
    amount: Fen
    payee: Text = ""


class FeeInstructed(PoolEvent):
    """The custodian is instructed to take its fee."""

    year: int
    disbursement_id: Number
    payee: Id
    amount: Fen
    remaining: Fen = 0
    item: PayoutItem | None = None


class FeeHeld(PoolEvent):
    """What of a fee is not paid now, and why."""

    year: int
    amount: Fen
    reason: HoldReason


class FeeSettled(PoolEvent):
    """The custodian confirmed a fee."""

    year: int
    disbursement_id: Number
    amount: Fen
    bank_ref: Number
    settled_on: Day | None = None


class IncomeBooked(PoolEvent):
    """Income entered the pool; ``loss`` flags a negative amount."""

    amount: SignedFen
    period: Text
    bank_ref: Number
    loss: bool
    by: Text = ""


class FundsBooked(PoolEvent):
    """Money entered the pool; ``applied`` lowers the loan's net outstanding, the rest waits unallocated.

    ``reinstated`` is what of ``applied`` had been written off. Money for another purpose is applied whole.
    ``payee`` and ``recommender`` are those of the loan's compensation, empty where the pool paid none.
    """

    purpose: Literal["recovery", "clawback", "other"]
    uscc: Text = ""
    loan_no: Text = ""
    amount: Fen
    applied: Fen
    bank_ref: Number
    received_on: Day
    reinstated: Fen = 0
    payee: Text = ""
    recommender: Text = ""


class WriteOffBooked(CompensationEvent):
    """A write-off approved by recovery lowers what is still recoverable; no cash moves, the counter stays."""

    amount: Fen
    payee: Text = ""
    recommender: Text = ""


class StatementReconciled(PoolEvent):
    """The custodian's balance equals the ledger's."""

    as_of: Day
    ledger: SignedFen
    statement: SignedFen


class StatementMismatch(PoolEvent):
    """The custodian's balance differs from the ledger's: an alarm, never an adjustment."""

    as_of: Day
    ledger: SignedFen
    statement: SignedFen


class Balance(Shape):
    """What an account stands at: above zero on the debit side, below on the credit side."""

    account: Name
    amount: SignedFen


class BooksClosed(Event):
    """The books at the end of a half-year, sealed: every account by effective date, and where both chains stood.

    ``position`` and ``sha256`` are the scheme's newest event of the pool before the close, ``rows`` and ``rows_sha256``
    the journal's newest row, ``previous`` the digest of the close before. ``digest`` is the SHA-256 of the canonical
    JSON of all that stands above it, ``signature`` its Ed25519 signature; hashes, signature and key are hexadecimal,
    the last two empty where the pool was given no key.
    """

    service: ClassVar[str] = "pool"
    scheme: Id
    scheme_version: Text
    half: Half
    until: Day
    closed_on: Day
    position: int
    sha256: Text
    rows: int
    rows_sha256: Text
    balances: tuple[Balance, ...]
    previous: Text = ""
    digest: Text
    signature: Text = ""
    public_key: Text = ""


class ReportFiled(Event):
    """A report that the scheme asks for was filed (custodian's reports; DRC's recovery report is recovery's)."""

    service: ClassVar[str] = "pool"
    kind: Literal["custodian_half_year", "custodian_annual"]
    period: Number
    by: Id
    filed_on: Day
    document: Text | None = None
