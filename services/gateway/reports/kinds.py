"""The kinds of report: what period each is of, whether it is an organisation's own, and who makes it."""

from collections.abc import Callable
from dataclasses import dataclass

from services.gateway.auth.callers import INSTITUTIONS, Caller
from services.gateway.reports import (
    compensation_request,
    custodian,
    department_quarter,
    institution_statement,
    recovery_half_year,
)
from services.gateway.reports.asked import Asked
from services.gateway.reports.history import History
from services.gateway.reports.period import PeriodKind
from services.gateway.reports.report import Report
from services.gateway.reports.wording import Wording

Build = Callable[[History, Asked, Wording], Report]
RECOMMENDERS = ("department", "township")


@dataclass(frozen=True)
class Kind:
    """One kind of report; ``about`` are the kinds of organisation that each is about, empty for the whole fund."""

    id: str
    periods: tuple[PeriodKind, ...]
    about: tuple[str, ...]
    build: Build


KINDS = {
    kind.id: kind
    for kind in (
        Kind("custodian_half_year", ("half",), (), custodian.build),
        Kind("custodian_annual", ("year",), (), custodian.build),
        Kind("compensation_request", ("half",), (), compensation_request.build),
        Kind("recovery_half_year", ("half",), (), recovery_half_year.build),
        Kind("department_quarter", ("quarter",), RECOMMENDERS, department_quarter.build),
        Kind("institution_statement", ("half", "year"), INSTITUTIONS, institution_statement.build),
    )
}


def own(caller: Caller, kind: Kind) -> str:
    """The organisation that a caller's reports of a kind are forced to be about; empty when any may be asked for."""
    return caller.organisation if caller.kind in kind.about else ""
