"""Commands of the agencies (contract.md section 5): what each asks for, who may ask, and which service answers."""

from typing import ClassVar, Literal

from pydantic import model_validator

from shared.contracts.base import (
    Command,
    Day,
    Fen,
    Grade,
    Half,
    Id,
    Name,
    Number,
    OrganisationKind,
    PositiveFen,
    Product,
    Rate,
    Shape,
    Text,
)

DRC: tuple[OrganisationKind, ...] = ("drc",)
RECOMMENDERS: tuple[OrganisationKind, ...] = ("department", "township")
MATERIALS = (
    "business_licence",
    "premises_proof",
    "balance_sheet",
    "income_statement",
    "cash_flow_statement",
    "social_insurance",
    "tax",
)
Trait = Literal["high_growth", "future_industry", "leader"]


class Terms(Shape):
    """What an institution offers: the order of the push list is made of these (push.preference)."""

    annual_rate_from: Rate
    collateral: Literal["none", "partial", "full"]
    own_product: bool


class Person(Shape):
    """A natural person by name and identity number."""

    name: Name
    id: Number


class Shareholder(Shape):
    """A holder of a share of an enterprise: a person (``id``) or an enterprise (``uscc``)."""

    name: Name
    id: Number | None = None
    uscc: Number | None = None
    share: Rate


class AdverseRecord(Shape):
    """An adverse record; ``party`` is ``enterprise`` or ``actual_controller``."""

    party: Name
    kind: Name
    date: Day


class Waiver(Shape):
    """A rule that DRC waives in one case, and why."""

    rule: Name
    reason: Name


class Exclusion(Shape):
    """A claim that the district government takes out of a batch, and why."""

    loan_no: Number
    reason: Name


class SignAgreement(Command):
    """DRC records the agreement signed with an institution."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    institution: Id
    kind: Literal["bank", "lender", "guarantor", "insurer", "custodian"]
    name: Name
    valid_from: Day
    valid_to: Day
    products: tuple[Product, ...] = ()
    guarantor_shares: dict[str, Rate] | None = None
    fee_rate: Rate | None = None
    terms: Terms | None = None

    @model_validator(mode="after")
    def _dates_in_order(self) -> "SignAgreement":
        if self.valid_to < self.valid_from:
            raise ValueError("valid_to must not be before valid_from")
        return self


class InjectCapital(Command):
    """The finance bureau pays approved capital into the pool."""

    service: ClassVar[str] = "pool"
    by: ClassVar[tuple[OrganisationKind, ...]] = ("finance",)
    source: Name
    amount: PositiveFen
    bank_ref: Number


class Application(Shape):
    """What a referral says of an enterprise."""

    name: Name
    industry: Name
    sector: Name
    traits: tuple[Trait, ...] = ()
    employees: int | None = None
    revenue: Fen | None = None
    assets: Fen | None = None
    region: Name
    registration: Literal["active", "other"]
    legal_representative: Person
    actual_controller: Person
    shareholders: tuple[Shareholder, ...]
    project: Text
    need: PositiveFen
    purpose: Text
    letter_no: Text
    materials: tuple[Name, ...]
    adverse_records: tuple[AdverseRecord, ...] = ()

    @model_validator(mode="after")
    def _no_negative_head_count(self) -> "Application":
        if self.employees is not None and not 0 <= self.employees <= 10_000_000:
            raise ValueError("employees must be a count of persons")
        return self


class ReferEnterprise(Command, Application):
    """A department or township refers an enterprise in its own name."""

    service: ClassVar[str] = "referral"
    by: ClassVar[tuple[OrganisationKind, ...]] = RECOMMENDERS
    uscc: Number


class RecordFinding(Command):
    """DRC or a bank adds what it found at screening."""

    service: ClassVar[str] = "referral"
    by: ClassVar[tuple[OrganisationKind, ...]] = ("drc", "bank")
    uscc: Number
    note: Name
    adverse: bool


class ScreenReferral(Command):
    """DRC admits a referral, returns it for supplement, or refuses it."""

    service: ClassVar[str] = "referral"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    uscc: Number
    decision: Literal["admit", "return", "refuse"]
    reason: Text | None = None
    waivers: tuple[Waiver, ...] = ()


class AmendReferral(Command):
    """The recommender corrects a referral: only the fields given change."""

    service: ClassVar[str] = "referral"
    by: ClassVar[tuple[OrganisationKind, ...]] = RECOMMENDERS
    uscc: Number
    name: Name | None = None
    industry: Name | None = None
    sector: Name | None = None
    traits: tuple[Trait, ...] | None = None
    employees: int | None = None
    revenue: Fen | None = None
    assets: Fen | None = None
    region: Name | None = None
    registration: Literal["active", "other"] | None = None
    legal_representative: Person | None = None
    actual_controller: Person | None = None
    shareholders: tuple[Shareholder, ...] | None = None
    project: Text | None = None
    need: PositiveFen | None = None
    purpose: Text | None = None
    letter_no: Text | None = None
    materials: tuple[Name, ...] | None = None
    adverse_records: tuple[AdverseRecord, ...] | None = None


class WithdrawReferral(Command):
    """The recommender takes a referral back."""

    service: ClassVar[str] = "referral"
    by: ClassVar[tuple[OrganisationKind, ...]] = RECOMMENDERS
    uscc: Number
    reason: Name


class OpenRatingRound(Command):
    """DRC calls the panel together for an admitted case."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    uscc: Number
    seats: tuple[Id, ...]


class CastVote(Command):
    """A seat votes in the open round."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = (
        "drc",
        "finance",
        "department",
        "township",
        "bank",
        "lender",
        "guarantor",
    )
    uscc: Number
    grade: Grade
    comment: Text | None = None


class DecideTie(Command):
    """DRC decides among the leading options after a second vote without a majority."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    uscc: Number
    grade: Grade
    reason: Name


class VetoEnterprise(Command):
    """DRC ends a case under review by its veto."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    uscc: Number
    reason: Name


class ConsentHighRisk(Command):
    """The district government consents to a high rating, or refuses."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = ("government",)
    uscc: Number
    decision: Literal["consent", "refuse"]
    document_no: Name


class PushFinancing(Command):
    """DRC pushes a rated case to institutions."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    uscc: Number
    product: Product
    institutions: tuple[Id, ...]


class OpenClaimBatch(Command):
    """DRC opens the half-year's verification batch."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    half: Half


class SetVerifiedPrincipal(Command):
    """DRC sets a lower verified principal before the vote."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    loan_no: Number
    amount: PositiveFen
    reason: Name


class VerifyClaim(Command):
    """A seat that rated the enterprise votes on its claim."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = (
        "drc",
        "finance",
        "department",
        "township",
        "bank",
        "lender",
        "guarantor",
    )
    loan_no: Number
    opinion: Literal["approve", "reject"]
    comment: Text | None = None


class SubmitClaimBatch(Command):
    """DRC submits a verified batch to the district government."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    half: Half


class ConsentClaimBatch(Command):
    """The district government consents to a batch, item by item, or refuses it."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = ("government",)
    half: Half
    decision: Literal["consent", "refuse"]
    excluded: tuple[Exclusion, ...] = ()
    document_no: Name


class IssuePayoutNotice(Command):
    """DRC tells the custodian to pay what has been consented and not yet released."""

    service: ClassVar[str] = "pool"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    notice_no: Name
    reason: Text | None = None


class Premium(Shape):
    """A premium paid for an insured loan."""

    uscc: Number
    loan_no: Number
    policy_no: Number
    premium: PositiveFen
    paid_on: Day
    valid_to: Day
    documents: tuple[Name, ...] = ()


class ApplySubsidy(Command, Premium):
    """DRC records an enterprise's application for its premium subsidy."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC


class ApproveSubsidy(Command):
    """DRC approves or refuses a premium subsidy."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    policy_no: Number
    decision: Literal["approve", "refuse"]
    reason: Text | None = None


class ApproveFee(Command):
    """DRC and finance each approve the custodian's fee of a year; the second approval pays it."""

    service: ClassVar[str] = "pool"
    by: ClassVar[tuple[OrganisationKind, ...]] = ("drc", "finance")
    year: int
    rate: Rate


class FileReport(Command):
    """A report that the scheme asks for is filed: the custodian's go to the pool, DRC's recovery report to recovery."""

    service: ClassVar[str] = "pool"
    by: ClassVar[tuple[OrganisationKind, ...]] = ("custodian", "drc")
    kind: Literal["custodian_half_year", "custodian_annual", "recovery_half_year"]
    period: Number
    document: Text | None = None

    @property
    def destination(self) -> str:
        """The custodian's reports go to the pool, DRC's recovery report to recovery."""
        return "recovery" if self.kind == "recovery_half_year" else "pool"


class ApproveWriteOff(Command):
    """DRC and finance each approve or refuse a proposed write-off."""

    service: ClassVar[str] = "recovery"
    by: ClassVar[tuple[OrganisationKind, ...]] = ("drc", "finance")
    loan_no: Number
    decision: Literal["approve", "refuse"]
    reason: Text | None = None


class SanctionInstitution(Command):
    """DRC sanctions an institution on the rating seats' finding."""

    service: ClassVar[str] = "review"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    institution: Id
    measure: Literal["reduce", "clawback", "terminate"]
    reduction: Rate | None = None
    loan_nos: tuple[Number, ...] = ()
    reason: Name


class BarEnterprise(Command):
    """DRC bars a dishonest enterprise and its legal representative for the scheme's term of years."""

    service: ClassVar[str] = "referral"
    by: ClassVar[tuple[OrganisationKind, ...]] = DRC
    uscc: Number
    reason: Name


class RecordTracking(Command):
    """The recommender records a post-loan visit, an anomaly, or how it pressed for repayment."""

    service: ClassVar[str] = "referral"
    by: ClassVar[tuple[OrganisationKind, ...]] = RECOMMENDERS
    uscc: Number
    note: Name
    anomaly: bool
    kind: Literal["follow_up", "recovery_help"] = "follow_up"
