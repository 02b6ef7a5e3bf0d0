"""Events of the review service: agreements, panels, financing, claims, subsidies and sanctions."""

from typing import ClassVar, Literal

from pydantic import Field

from shared.contracts.base import Day, Event, Fen, Grade, Half, Id, Name, Number, Product, Rate, Shape, Text
from shared.contracts.commands import Exclusion, Terms
from shared.contracts.partners import RecoveryStatement


class ReviewEvent(Event):
    """An event of the review service."""

    service: ClassVar[str] = "review"


class CaseEvent(ReviewEvent):
    """An event about one case."""

    uscc: Number


class Preferred(Shape):
    """An institution's place in the push list and why it stands there."""

    institution: Id
    product: Product
    place: int
    reasons: tuple[str, ...]


class AgreementSigned(ReviewEvent):
    """An institution's agreement in force between two dates."""

    institution: Id
    kind: Literal["bank", "lender", "guarantor", "insurer", "custodian"]
    name: Name
    valid_from: Day
    valid_to: Day
    products: tuple[Product, ...] = ()
    guarantor_shares: dict[str, Rate] = Field(default_factory=dict)
    fee_rate: Rate | None = None
    terms: Terms | None = None


class CaseOpened(CaseEvent):
    """Review took over an admitted enterprise."""

    name: Name
    recommender: Id
    need: Fen
    affiliates: tuple[str, ...]
    shareholders: tuple[str, ...]
    admitted_on: Day
    legal_representative: Text = ""


class RatingRoundOpened(CaseEvent):
    """The panel is called together."""

    round: int
    seats: tuple[Id, ...]
    opened_on: Day


class VoteCast(CaseEvent):
    """A seat voted."""

    round: int
    seat: Id
    grade: Grade
    comment: Text | None = None


class RevoteOpened(CaseEvent):
    """No majority: every seat votes once more."""

    round: int
    tally: dict[str, int]


class LeadDecisionRequired(CaseEvent):
    """No majority again: DRC decides among the leading options."""

    round: int
    options: tuple[Grade, ...]


class TieDecided(CaseEvent):
    """DRC decided among the leading options."""

    round: int
    grade: Grade
    reason: Name


class ConsentRequested(CaseEvent):
    """A high result waits for the district government."""

    round: int
    ratio: Rate


class ConsentRefused(CaseEvent):
    """The district government refused a high rating: back to the panel."""

    document_no: Name


class EnterpriseRated(CaseEvent):
    """The case is rated; the ratio is pinned."""

    grade: Grade
    ratio: Rate
    round: int
    decided_by: Literal["majority", "lead", "consent"]
    rated_on: Day
    lapses_on: Day | None = None
    quota_year: int | None = None
    preference: tuple[Preferred, ...] = ()


class EnterpriseDeclined(CaseEvent):
    """The panel declined: the case ends."""

    round: int


class EnterpriseVetoed(CaseEvent):
    """DRC vetoed: the case ends."""

    reason: Name


class RatingLapsed(CaseEvent):
    """A rating not followed by a loan in time lapsed: back to the panel."""

    rated_on: Day


class FinancingPushed(CaseEvent):
    """The case was pushed to institutions."""

    product: Product
    institutions: tuple[Id, ...]
    pushed_on: Day
    deadline_on: Day
    provisional: bool
    preference: tuple[Preferred, ...]


class FinancingRefused(CaseEvent):
    """A pushed institution declined."""

    institution: Id
    reason: Name


class FinancingFailed(CaseEvent):
    """A financing round failed."""

    failures: int
    cause: Literal["declined", "deadline"]


class FinancingExhausted(CaseEvent):
    """Financing failed as often as the scheme allows: the case ends."""

    failures: int


class CaseClosed(CaseEvent):
    """The case ended for a reason outside it (``rule``)."""

    outcome: Literal["closed", "withdrawn"]
    rule: str


class CaseBarred(CaseEvent):
    """The enterprise is barred until a date: no round, no push, no cover of a loan disbursed meanwhile."""

    until: Day
    barred_on: Day | None = None


class HighSlotFreed(CaseEvent):
    """A high rating of that year ended without a loan: its place in the year's quota is free again."""

    year: int


class LoanEvent(ReviewEvent):
    """An event about one loan."""

    uscc: Number
    loan_no: Number


class LoanCovered(LoanEvent):
    """A disbursed loan is covered; ``payee`` is who a compensation would go to (none for an insured loan)."""

    lender: Id
    product: Product
    principal: Fen
    ratio: Rate
    guarantor: Id | None = None
    insurer: Id | None = None
    payee: Id | None = None
    guarantor_share: Rate | None = None
    recommender: Id
    seats: tuple[Id, ...]
    annual_rate: Rate
    disbursed_on: Day
    matures_on: Day


class LoanNotCovered(ReviewEvent):
    """A reported loan is not covered; ``rule`` says why."""

    uscc: Number
    loan_no: Number
    lender: Id
    rule: str


class LoanUncovered(LoanEvent):
    """A sanction took a named loan's cover away."""

    institution: Id


class PrincipalRepaid(LoanEvent):
    """Principal was repaid; ``outstanding`` is what is left."""

    amount: Fen
    outstanding: Fen
    repaid_on: Day


class ClaimAccepted(LoanEvent):
    """A claim was accepted; ``base`` is the compensable base."""

    claimant: Id
    payee: Id
    classified: str
    claimed: Fen
    base: Fen
    accepted_on: Day
    accepted_at: Text
    classified_on: Day | None = None
    evidence: tuple[Name, ...] = ()
    recovery_statements: tuple[RecoveryStatement, ...] = ()


class ClaimRefused(ReviewEvent):
    """A claim was refused; ``rule`` says why."""

    uscc: Text = ""
    loan_no: Number
    claimant: Id
    rule: str


class ClaimBatchOpened(ReviewEvent):
    """The half-year's verification batch was opened over these claims."""

    half: Half
    loan_nos: tuple[Number, ...]
    opened_on: Day


class VerifiedPrincipalSet(LoanEvent):
    """DRC set a lower verified principal."""

    amount: Fen
    reason: Name


class ClaimVoteCast(LoanEvent):
    """A rating seat voted on a claim."""

    seat: Id
    opinion: Literal["approve", "reject"]
    comment: Text | None = None


class ClaimRevoteOpened(LoanEvent):
    """No majority on a claim: every seat votes once more."""


class ClaimVerified(LoanEvent):
    """The seats approved a claim."""

    half: Half
    verified_principal: Fen
    ratio: Rate
    decided_by: Literal["majority", "lead"]


class ClaimRejected(LoanEvent):
    """The seats, or the district government, rejected a claim."""

    reasons: tuple[str, ...]
    by: Literal["panel", "government"]


class ClaimBatchSubmitted(ReviewEvent):
    """DRC submitted the batch to the district government."""

    half: Half
    loan_nos: tuple[Number, ...]


class CompensationItem(Shape):
    """One compensation that the district government consented to."""

    loan_no: Number
    uscc: Number
    payee: Id
    lender: Id
    guarantor: Id | None = None
    guarantor_share: Rate | None = None
    recommender: Id
    verified_principal: Fen
    ratio: Rate
    reduction: Rate
    amount: Fen


class CompensationApproved(ReviewEvent):
    """The district government consented; ``items`` stand in payout order."""

    half: Half
    consented_on: Day
    document_no: Name
    items: tuple[CompensationItem, ...]
    excluded: tuple[Exclusion, ...] = ()


class ClaimBatchRefused(ReviewEvent):
    """The district government refused the batch: DRC may submit it again."""

    half: Half
    document_no: Name
    excluded: tuple[Exclusion, ...] = ()


class LoanCompensated(LoanEvent):
    """The pool settled a compensation of this loan (noted for later claims' recovery statements)."""

    amount: Fen


class LoanRecovered(LoanEvent):
    """Recovery closed this loan's case (noted for later recovery statements); ``returned`` is all that came back."""

    returned: Fen = 0


class SubsidyApplied(LoanEvent):
    """A premium subsidy was applied for."""

    policy_no: Number
    insurer: Id
    premium: Fen
    amount: Fen
    paid_on: Day
    valid_to: Day
    applied_on: Day


class SubsidyApproved(LoanEvent):
    """DRC approved a premium subsidy: the pool pays it."""

    policy_no: Number
    amount: Fen
    approved_on: Day


class SubsidyRefused(LoanEvent):
    """DRC refused a premium subsidy."""

    policy_no: Number
    reason: Text


class InstitutionSanctioned(ReviewEvent):
    """DRC sanctioned an institution."""

    institution: Id
    measure: Literal["reduce", "clawback", "terminate"]
    reduction: Rate | None = None
    loan_nos: tuple[Number, ...] = ()
    reason: Name
    sanctioned_on: Day
