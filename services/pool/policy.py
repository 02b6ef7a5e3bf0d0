"""PoolPolicy: the slice of the scheme that the pool enforces."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field

from shared.contracts.base import Fen, Rate
from shared.contracts.pool import ItemKind
from shared.money import multiply
from shared.scheme.loader import Policy


class PoolPolicy(Policy):
    """What the scheme says of capital, notices, pause and resume, and the management fee (scheme.md section 5)."""

    sources: dict[str, Fen] = Field(alias="capital.sources")
    notices_per_year: int = Field(alias="notice.per_year")
    pause_at: Rate = Field(alias="pause.at")
    measure: Literal["cycle", "net", "gross"] = Field(alias="pause.measure")
    crossing: Literal["to_line", "in_full", "hold"] = Field(alias="pause.crossing")
    stops: tuple[ItemKind, ...] = Field(alias="pause.stops")
    resume_at: Rate = Field(alias="resume.at")
    fee_min: Rate = Field(alias="fee.min")
    fee_max: Rate = Field(alias="fee.max")

    @cached_property
    def approved_capital_fen(self) -> int:
        """The approved capital: the lines are shares of it, whatever has been paid in (pool.capital, 二(二)1)."""
        return sum(self.sources.values())

    @cached_property
    def pause_line_fen(self) -> int:
        """Where the counter stops compensation (pool.pause, 三(八))."""
        return multiply(self.approved_capital_fen, self.pause_at)

    @cached_property
    def resume_line_fen(self) -> int:
        """What the balance must reach before compensation goes on (pool.resume, 三(八))."""
        return multiply(self.approved_capital_fen, self.resume_at)

    def counter_fen(self, gross_fen: int, base_fen: int, net_fen: int) -> int:
        """The compensation counter (pool.pause): gross since the last restart's base, net outstanding, or gross.

        Below zero where a transfer came back after its recovery was counted; shown as zero.
        """
        if self.measure == "net":
            return net_fen
        return gross_fen - base_fen if self.measure == "cycle" else gross_fen

    def agreed(self, rate: Decimal) -> bool:
        """Whether a fee rate lies in the scheme's range (pool.fee, 二(二)2)."""
        return self.fee_min <= rate <= self.fee_max

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with changes, built anew: lines that the old one has worked out already must not come along."""
        fields = {name: self.__dict__[name] for name in type(self).model_fields}
        return self.model_validate({**fields, **(update or {})})
