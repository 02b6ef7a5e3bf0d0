"""The slice of the scheme that the gateway shows: obligations, quotas and the sectors that come first in lists."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.scheme.loader import Policy


class Obligation(BaseModel):
    """A duty of every period: due on the last day of the ``due_months``-th month after the period's end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    by: Literal["custodian", "drc", "finance", "government", "department"]
    period: Literal["quarter", "half", "year"]
    due_months: int
    rule: str


class GatewayPolicy(Policy):
    """What the gateway reads of a scheme."""

    effective_from: date = Field(alias="term.effective_from")
    years: int = Field(alias="term.years")
    obligations: tuple[Obligation, ...] = Field(alias="obligations")
    referrals_per_quarter: int = Field(alias="quota.per_quarter")
    high_per_year: int = Field(alias="grades.high.per_year")
    rating_lifetime_months: int = Field(alias="grades.lifetime_months")
    capital_sources: dict[str, str] = Field(alias="capital.sources")
    priority_sectors: tuple[str, ...] = Field(alias="priority.sectors")
    priority_traits: tuple[str, ...] = Field(alias="priority.traits")
