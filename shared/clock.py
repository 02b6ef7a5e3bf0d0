"""The only clock. Business dates are calendar dates in Asia/Shanghai."""

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True)
class Clock:
    """``server`` reads business time from this machine only; ``message`` (embedded and test runs) from the message."""

    mode: Literal["server", "message"] = "server"

    @staticmethod
    def now() -> datetime:
        """This moment, aware, in Asia/Shanghai."""
        return datetime.now(UTC).astimezone(SHANGHAI)

    def business_time(self, told: datetime, stored: datetime) -> datetime:
        """When a partner's message counts: what it tells in ``message`` mode, else when our bus stored it."""
        return (told if self.mode == "message" else stored).astimezone(SHANGHAI)

    @classmethod
    def from_environment(cls) -> "Clock":
        """``RISKPOOL_CLOCK`` is ``server`` (default) or ``message``; anything else is an error."""
        mode = os.environ.get("RISKPOOL_CLOCK", "server")
        if mode not in ("server", "message"):
            raise ValueError(f"RISKPOOL_CLOCK must be server or message, not {mode!r}")
        return cls("message" if mode == "message" else "server")


def business_date(moment: datetime) -> date:
    """The calendar date of a moment in Asia/Shanghai."""
    return moment.astimezone(SHANGHAI).date()
