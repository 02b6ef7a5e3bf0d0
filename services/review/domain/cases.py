"""A case: an admitted enterprise on its way from the panel to its one loan, folded from the service's own events."""

from typing import Literal

from pydantic import Field

from shared.contracts.base import Day, Event, Grade, Product, Rate, Shape
from shared.contracts.review import (
    CaseBarred,
    CaseClosed,
    CaseEvent,
    CaseOpened,
    ConsentRefused,
    ConsentRequested,
    EnterpriseDeclined,
    EnterpriseRated,
    EnterpriseVetoed,
    FinancingExhausted,
    FinancingFailed,
    FinancingPushed,
    FinancingRefused,
    HighSlotFreed,
    LeadDecisionRequired,
    LoanCovered,
    RatingLapsed,
    RatingRoundOpened,
    RevoteOpened,
    TieDecided,
    VoteCast,
)

CaseStatus = Literal[
    "admitted", "in_review", "awaiting_consent", "rated", "declined", "vetoed", "pushed", "exhausted", "financed",
    "closed", "withdrawn",
]
OPEN: tuple[CaseStatus, ...] = ("admitted", "in_review", "awaiting_consent", "rated", "pushed")
AGAIN = {"grade": None, "ratio": None, "rated_on": None, "lapses_on": None, "product": None, "institutions": (),
         "declined": (), "pushed_on": None, "deadline_on": None}


class Case(Shape):
    """One enterprise's case; ``failures`` and bars outlive an attempt, money in fen."""

    uscc: str
    name: str
    recommender: str
    need_fen: int
    affiliates: tuple[str, ...]
    shareholders: tuple[str, ...]
    legal_representative: str = ""
    admitted_on: Day
    status: CaseStatus = "admitted"
    round: int = 0
    seats: tuple[str, ...] = ()
    ballot: int = 0
    votes: dict[str, Grade] = Field(default_factory=dict)
    options: tuple[Grade, ...] = ()
    grade: Grade | None = None
    ratio: Rate | None = None
    rated_on: Day | None = None
    lapses_on: Day | None = None
    quota_year: int | None = None
    product: Product | None = None
    institutions: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()
    pushed_on: Day | None = None
    deadline_on: Day | None = None
    failures: int = 0
    barred_on: Day | None = None
    barred_until: Day | None = None
    loan_no: str | None = None
    annual_rate: Rate | None = None
    closed_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the case is in progress and not yet financed."""
        return self.status in OPEN

    def yields_to(self, other: "Case") -> bool:
        """Whether the other's loan takes this one's too: affiliates, or this one is its shareholder (eligible.once)."""
        return other.uscc in self.affiliates or self.uscc in other.affiliates or self.uscc in other.shareholders


def case_keys(event: Event) -> tuple[str, ...]:
    """The case that an event is about."""
    return (event.uscc,) if isinstance(event, (CaseEvent, LoanCovered)) else ()


def evolve_case(case: Case | None, event: Event) -> Case | None:
    """The case after an event; none before it is opened."""
    if isinstance(event, CaseOpened):
        return _opened(case, event)
    return None if case is None else case.model_copy(update=_panel(case, event) or _financing(case, event))


def _opened(before: Case | None, event: CaseOpened) -> Case:
    lifetime: dict[str, object] = {}
    if before:
        kept = ("round", "failures", "barred_on", "barred_until")
        lifetime = {name: getattr(before, name) for name in kept}
    return Case(
        uscc=event.uscc,
        name=event.name,
        recommender=event.recommender,
        need_fen=event.need,
        affiliates=event.affiliates,
        shareholders=event.shareholders,
        legal_representative=event.legal_representative,
        admitted_on=event.admitted_on,
    ).model_copy(update=lifetime)


def _panel(case: Case, event: Event) -> dict[str, object]:
    match event:
        case RatingRoundOpened():
            opened = {"status": "in_review", "round": event.round, "seats": event.seats, "ballot": 1}
            return AGAIN | opened | {"votes": {}, "options": ()}
        case VoteCast():
            return {"votes": case.votes | {event.seat: event.grade}}
        case RevoteOpened():
            return {"ballot": 2, "votes": {}}
        case LeadDecisionRequired():
            return {"options": event.options}
        case TieDecided():
            return {"options": ()}
        case ConsentRequested():
            return {"status": "awaiting_consent", "grade": "high", "ratio": event.ratio}
        case ConsentRefused():
            return AGAIN | {"status": "admitted"}
        case EnterpriseRated():
            rated = {"status": "rated", "grade": event.grade, "ratio": event.ratio, "rated_on": event.rated_on}
            return rated | {"lapses_on": event.lapses_on, "quota_year": event.quota_year}
        case EnterpriseDeclined():
            return {"status": "declined", "grade": "decline"}
        case EnterpriseVetoed():
            return {"status": "vetoed"}
        case _:
            return {}


def _financing(case: Case, event: Event) -> dict[str, object]:
    match event:
        case FinancingPushed():
            pushed = {"status": "pushed", "product": event.product, "institutions": event.institutions, "declined": ()}
            return pushed | {"pushed_on": event.pushed_on, "deadline_on": event.deadline_on}
        case FinancingRefused():
            return {"declined": (*case.declined, event.institution)}
        case FinancingFailed():
            return AGAIN | {"status": "admitted", "failures": event.failures}
        case FinancingExhausted():
            return {"status": "exhausted", "failures": event.failures}
        case RatingLapsed():
            return AGAIN | {"status": "admitted"}
        case LoanCovered():
            return {"status": "financed", "loan_no": event.loan_no, "annual_rate": event.annual_rate}
        case CaseClosed():
            return {"status": event.outcome, "closed_by": event.rule}
        case CaseBarred():
            return _barred(case, event)
        case HighSlotFreed():
            return {"quota_year": None}
        case _:
            return {}


def _barred(case: Case, event: CaseBarred) -> dict[str, object]:
    """A bar that begins inside another one lengthens it."""
    if case.barred_until is None or (event.barred_on and event.barred_on > case.barred_until):
        return {"barred_on": event.barred_on, "barred_until": event.until}
    return {"barred_until": max(event.until, case.barred_until)}


class HighQuota(Shape):
    """The high ratings of one calendar year that still hold their place (grade.high_quota)."""

    year: int
    enterprises: tuple[str, ...] = ()


def quota_keys(event: Event) -> tuple[str, ...]:
    """The year whose quota an event takes from or gives back to."""
    match event:
        case EnterpriseRated(quota_year=int(year)) | HighSlotFreed(year=year):
            return (str(year),)
        case _:
            return ()


def evolve_quota(quota: HighQuota | None, event: Event) -> HighQuota | None:
    """The year's quota after an event."""
    match event:
        case EnterpriseRated(quota_year=int(year)):
            held = quota.enterprises if quota else ()
            return HighQuota(year=year, enterprises=(*(code for code in held if code != event.uscc), event.uscc))
        case HighSlotFreed() if quota:
            held = tuple(code for code in quota.enterprises if code != event.uscc)
            return HighQuota(year=quota.year, enterprises=held)
        case _:
            return quota
