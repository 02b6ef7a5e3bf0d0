"""Events of the gateway: the business day, the only source of time-driven decisions."""

from typing import ClassVar

from shared.contracts.base import Day, Event


class BusinessDayStarted(Event):
    """A calendar day began in Asia/Shanghai; published once a scheme a day, in order, with no day left out."""

    service: ClassVar[str] = "gateway"
    date: Day
