"""The slice of the scheme that the referral service enforces."""

from pydantic import Field

from shared.contracts.base import Day, Fen, Rate
from shared.scheme.loader import Policy


class ReferralPolicy(Policy):
    """Who can be supported: 二(一), 二(三), 三(一), 三(二); money in fen, shares of a holding as ratios."""

    effective_from: Day = Field(alias="term.effective_from")
    years: int = Field(alias="term.years")
    region: str = Field(alias="region")
    size_standard: str = Field(alias="size_standard")
    clean_months: int = Field(alias="clean_record.months")
    need_cap_fen: Fen = Field(alias="need.cap")
    need_cap_principle: bool = Field(alias="need.cap_principle")
    materials: tuple[str, ...] = Field(alias="materials")
    affiliate_threshold: Rate = Field(alias="affiliate.threshold")
    bar_years: int = Field(alias="bar.years")
    max_failures: int = Field(alias="financing.max_failures")
    priority_sectors: tuple[str, ...] = Field(alias="priority.sectors")
    priority_traits: tuple[str, ...] = Field(alias="priority.traits")
    flag_per_year: int = Field(alias="department.flag_per_year")
