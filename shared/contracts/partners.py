"""Events that partner institutions publish (contract.md section 6)."""

from typing import ClassVar, Literal

from pydantic import model_validator

from shared.contracts.base import (
    Day,
    Fen,
    Id,
    Name,
    Number,
    OrganisationKind,
    PartnerEvent,
    PositiveFen,
    Product,
    Rate,
    Shape,
    SignedFen,
    Text,
)
from shared.contracts.commands import Premium

LENDERS: tuple[OrganisationKind, ...] = ("bank", "lender")
CLAIMANTS: tuple[OrganisationKind, ...] = ("bank", "lender", "guarantor")
CUSTODIAN: tuple[OrganisationKind, ...] = ("custodian",)


class RecoveryStatement(Shape):
    """What an institution has done to recover one compensated loan."""

    loan_no: Number
    as_of: Day
    text: Name


class FinancingDeclined(PartnerEvent):
    """A pushed institution declines."""

    owner: ClassVar[str] = "review"
    senders: ClassVar[tuple[OrganisationKind, ...]] = ("bank", "lender", "guarantor", "insurer")
    uscc: Number
    reason: Name


class LoanDisbursed(PartnerEvent):
    """A pushed lender has paid out a loan."""

    owner: ClassVar[str] = "review"
    senders: ClassVar[tuple[OrganisationKind, ...]] = LENDERS
    uscc: Number
    loan_no: Number
    product: Product
    principal: PositiveFen
    annual_rate: Rate
    disbursed_on: Day
    matures_on: Day
    guarantor: Id | None = None
    insurer: Id | None = None
    guarantor_share: Rate | None = None

    @model_validator(mode="after")
    def _matures_after_disbursement(self) -> "LoanDisbursed":
        if self.matures_on <= self.disbursed_on:
            raise ValueError("matures_on must be after disbursed_on")
        return self


class LoanRepaid(PartnerEvent):
    """The enterprise repaid principal."""

    owner: ClassVar[str] = "review"
    senders: ClassVar[tuple[OrganisationKind, ...]] = LENDERS
    loan_no: Number
    principal: PositiveFen
    repaid_on: Day


class LoanDefaulted(PartnerEvent):
    """A lender or guarantor files a claim for a bad loan."""

    owner: ClassVar[str] = "review"
    senders: ClassVar[tuple[OrganisationKind, ...]] = CLAIMANTS
    loan_no: Number
    classified: Name
    classified_on: Day
    outstanding_principal: PositiveFen
    evidence: tuple[Name, ...] = ()
    recovery_statements: tuple[RecoveryStatement, ...] = ()


class RecoveryCollected(PartnerEvent):
    """An institution recovered money from a compensated loan's borrower."""

    owner: ClassVar[str] = "recovery"
    senders: ClassVar[tuple[OrganisationKind, ...]] = CLAIMANTS
    loan_no: Number
    amount: PositiveFen
    collected_on: Day
    costs: Fen | None = None


class WriteOffProposed(PartnerEvent):
    """An institution confirms a net loss and proposes its write-off."""

    owner: ClassVar[str] = "recovery"
    senders: ClassVar[tuple[OrganisationKind, ...]] = CLAIMANTS
    loan_no: Number
    ground: Name
    ruling_no: Name
    ruled_on: Day


class PremiumPaid(PartnerEvent, Premium):
    """An insurer reports the premium that an enterprise paid."""

    owner: ClassVar[str] = "review"
    senders: ClassVar[tuple[OrganisationKind, ...]] = ("insurer",)


class TransferSettled(PartnerEvent):
    """The custodian has transferred an instructed disbursement."""

    owner: ClassVar[str] = "pool"
    senders: ClassVar[tuple[OrganisationKind, ...]] = CUSTODIAN
    disbursement_id: Number
    bank_ref: Number
    settled_on: Day


class TransferReturned(PartnerEvent):
    """The custodian's transfer came back."""

    owner: ClassVar[str] = "pool"
    senders: ClassVar[tuple[OrganisationKind, ...]] = CUSTODIAN
    disbursement_id: Number
    reason: Name


class FundsReceived(PartnerEvent):
    """Money came into the custodian account."""

    owner: ClassVar[str] = "pool"
    senders: ClassVar[tuple[OrganisationKind, ...]] = CUSTODIAN
    purpose: Literal["recovery", "clawback", "other"]
    loan_no: Number | None = None
    amount: PositiveFen
    bank_ref: Number
    received_on: Day

    @model_validator(mode="after")
    def _names_its_loan(self) -> "FundsReceived":
        if self.purpose != "other" and self.loan_no is None:
            raise ValueError("loan_no is needed for recovery and clawback money")
        return self


class IncomeCredited(PartnerEvent):
    """The custodian credited income (a loss is negative)."""

    owner: ClassVar[str] = "pool"
    senders: ClassVar[tuple[OrganisationKind, ...]] = CUSTODIAN
    amount: SignedFen
    period: Text
    bank_ref: Number

    @model_validator(mode="after")
    def _period_begins_with_a_year(self) -> "IncomeCredited":
        if not (self.period[:4].isascii() and self.period[:4].isdigit()):
            raise ValueError("period begins with its year, such as 2026 or 2026H1")
        return self


class StatementIssued(PartnerEvent):
    """The custodian's statement balance at the end of a day."""

    owner: ClassVar[str] = "pool"
    senders: ClassVar[tuple[OrganisationKind, ...]] = CUSTODIAN
    as_of: Day
    balance: SignedFen
