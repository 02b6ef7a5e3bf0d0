"""The slice of the scheme that the recovery service enforces."""

from typing import Literal

from pydantic import Field

from shared.scheme.loader import Policy


class RecoveryPolicy(Policy):
    """How recovered money is shared, remitted and written off: 三(七)."""

    split: Literal["pro_rata"] = Field(alias="recovery.split")
    deduct_costs: bool = Field(alias="recovery.deduct_costs")
    remit_days: int = Field(alias="recovery.remit_days")
    writeoff_grounds: tuple[str, ...] = Field(alias="writeoff.grounds")
