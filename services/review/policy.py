"""The slice of the scheme that the review service enforces: panels, financing, claims, subsidies and sanctions."""

from datetime import date
from typing import Literal

from pydantic import Field

from shared.contracts.base import Fen, Grade, Product, Rate
from shared.scheme.loader import Policy


class ReviewPolicy(Policy):
    """Each field is the setting of its alias; amounts are in fen."""

    term_effective_from: date = Field(alias="term.effective_from")
    term_years: int = Field(alias="term.years")
    need_cap: Fen = Field(alias="need.cap")
    need_cap_principle: bool = Field(alias="need.cap_principle")

    panel_required: tuple[str, ...] = Field(alias="panel.required")
    panel_tie: Literal["revote_then_lead"] = Field(alias="panel.tie")
    grades: dict[Grade, Rate]
    grades_high_per_year: int = Field(alias="grades.high.per_year")
    grades_lifetime_months: int = Field(alias="grades.lifetime_months")

    products: tuple[Product, ...]
    push_preference: tuple[str, ...] = Field(alias="push.preference")
    financing_max_failures: int = Field(alias="financing.max_failures")
    financing_deadline_working_days: int = Field(alias="financing.deadline_working_days")

    claim_classes: tuple[str, ...] = Field(alias="claim.classes")
    claim_base: Literal["principal"] = Field(alias="claim.base")
    claim_statement_days: int = Field(alias="claim.statement_days")
    claim_deadline_months: int = Field(alias="claim.deadline_months")
    payout_order: Literal["consent,accepted,id"] = Field(alias="payout.order")
    subsidy_rate: Rate = Field(alias="subsidy.rate")
    subsidy_documents: tuple[str, ...] = Field(alias="subsidy.documents")
