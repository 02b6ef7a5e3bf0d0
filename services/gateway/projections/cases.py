"""Cases: what referral and review say of one enterprise, kept apart so that either may arrive first."""

from typing import Any

from sqlalchemy import case, delete, or_, update
from sqlalchemy.dialects.postgresql import insert

from services.gateway.projections.tables import case_parties, cases, high_slots
from services.gateway.projections.writing import Projected, Values
from shared.contracts import referral, review

ENDED = ("declined", "vetoed", "exhausted", "closed", "withdrawn", "financed")


async def _case(at: Projected, uscc: str, values: Values) -> None:
    await at.upsert(cases, {"uscc": uscc}, values)


async def _parties(at: Projected, uscc: str, *institutions: str | None) -> None:
    await at.insert(
        case_parties, [{"uscc": uscc, "institution": one} for one in sorted({i for i in institutions if i})]
    )


def _application(event: referral.EnterpriseReferred | referral.ReferralAmended) -> dict[str, Any]:
    """What the enterprise applies for; what lists are sorted and filtered by stands in columns of its own."""
    application = event.application
    return {
        "name": application.name,
        "sector": application.sector,
        "traits": list(application.traits),
        "need_fen": application.need,
        "size": event.size,
        "findings": _findings(event),
        "application": application.model_dump(mode="json"),
    }


def _findings(event: Any) -> list[dict[str, Any]]:
    return [finding.model_dump(mode="json") for finding in event.findings]


async def referred(at: Projected, event: referral.EnterpriseReferred) -> None:
    """A new referral starts the case again; what review said of an earlier, ended case no longer counts."""
    values: dict[str, Any] = {
        **_application(event),
        "recommender": event.recommender,
        "attempt": event.attempt,
        "referral_status": "referred",
        "referred_on": event.referred_on,
        "admitted_on": None,
        "closed_rule": None,
    }
    write = insert(cases).values(scheme=at.scheme, uscc=event.uscc, **values)
    over = cases.c.review_status.in_(ENDED) & or_(
        cases.c.review_admitted_on.is_(None), cases.c.review_admitted_on <= write.excluded.referred_on
    )
    changes: dict[str, Any] = {name: write.excluded[name] for name in values}
    changes |= {
        name: case((over, None), else_=cases.c[name]) for name in ("review_status", "grade", "ratio", "product")
    }
    await at.connection.execute(write.on_conflict_do_update(index_elements=["scheme", "uscc"], set_=changes))


async def amended(at: Projected, event: referral.ReferralAmended) -> None:
    """The referral was corrected and waits for screening again."""
    await _case(at, event.uscc, {**_application(event), "referral_status": "referred"})


async def admitted(at: Projected, event: referral.EnterpriseAdmitted) -> None:
    """DRC admitted the enterprise."""
    await _case(
        at,
        event.uscc,
        {
            "name": event.name,
            "recommender": event.recommender,
            "referral_status": "admitted",
            "admitted_on": event.admitted_on,
            "findings": _findings(event),
        },
    )


async def returned(at: Projected, event: referral.ReferralReturned) -> None:
    """DRC wants more from the recommender."""
    await _case(at, event.uscc, {"referral_status": "returned", "findings": _findings(event)})


async def refused(at: Projected, event: referral.ReferralRefused) -> None:
    """DRC refused the referral."""
    await _case(at, event.uscc, {"referral_status": "refused", "findings": _findings(event)})


async def withdrawn(at: Projected, event: referral.ReferralWithdrawn) -> None:
    """The recommender took the referral back."""
    await _case(at, event.uscc, {"referral_status": "withdrawn"})


async def referral_closed(at: Projected, event: referral.ReferralClosed) -> None:
    """The referral ended with its case, or because its group's one loan is taken."""
    await _case(at, event.uscc, {"referral_status": "closed", "closed_rule": event.rule or None})


async def barred(at: Projected, event: referral.EnterpriseBarred) -> None:
    """The enterprise is barred until a date."""
    await _case(at, event.uscc, {"name": event.name, "barred_until": event.until})


async def opened(at: Projected, event: review.CaseOpened) -> None:
    """Review took the case over: rounds and grade start afresh, failures count for life."""
    await _case(
        at,
        event.uscc,
        {
            "name": event.name,
            "recommender": event.recommender,
            "review_status": "admitted",
            "review_admitted_on": event.admitted_on,
            "grade": None,
            "ratio": None,
            "rated_on": None,
            "rounds": 0,
            "seats": [],
            "product": None,
            "pushed_to": [],
            "pushed_on": None,
            "deadline_on": None,
            "preference": [],
        },
    )


async def round_opened(at: Projected, event: review.RatingRoundOpened) -> None:
    """The panel is at work; its seats may read the case."""
    await _case(at, event.uscc, {"review_status": "in_review", "rounds": event.round, "seats": list(event.seats)})
    await _parties(at, event.uscc, *event.seats)


async def consent_requested(at: Projected, event: review.ConsentRequested) -> None:
    """A high result waits for the district government."""
    await _case(at, event.uscc, {"review_status": "awaiting_consent"})


async def rated(at: Projected, event: review.EnterpriseRated) -> None:
    """The case is rated; a high grade takes a slot of the year (grade.high_quota)."""
    preference = [place.model_dump(mode="json") for place in event.preference]
    await _case(
        at,
        event.uscc,
        {
            "review_status": "rated",
            "grade": event.grade,
            "ratio": event.ratio,
            "rated_on": event.rated_on,
            "preference": preference,
        },
    )
    if event.grade == "high":
        await at.upsert(
            high_slots, {"uscc": event.uscc}, {"year": event.quota_year or event.rated_on.year, "loan_no": None}
        )
    else:
        await _free_slot(at, event.uscc)


async def back_to_panel(
    at: Projected, event: review.ConsentRefused | review.RatingLapsed | review.FinancingFailed
) -> None:
    """The case goes back to the panel; its grade no longer holds and its slot is free."""
    values: dict[str, Any] = {"review_status": "admitted", "grade": None, "ratio": None, "rated_on": None}
    if isinstance(event, review.FinancingFailed):
        values["failures"] = event.failures
    await _case(at, event.uscc, values)
    await _free_slot(at, event.uscc)


async def pushed(at: Projected, event: review.FinancingPushed) -> None:
    """The case was pushed; the institutions may read it."""
    await _case(
        at,
        event.uscc,
        {
            "review_status": "pushed",
            "product": event.product,
            "pushed_to": list(event.institutions),
            "pushed_on": event.pushed_on,
            "deadline_on": event.deadline_on,
            "preference": [place.model_dump(mode="json") for place in event.preference],
        },
    )
    await _parties(at, event.uscc, *event.institutions)


_END = {
    review.EnterpriseDeclined: "declined",
    review.EnterpriseVetoed: "vetoed",
    review.FinancingExhausted: "exhausted",
}


async def ended(
    at: Projected,
    event: review.EnterpriseDeclined | review.EnterpriseVetoed | review.FinancingExhausted | review.CaseClosed,
) -> None:
    """The case ended without a loan."""
    if isinstance(event, review.CaseClosed):
        values: dict[str, Any] = {"review_status": event.outcome, "closed_rule": event.rule}
    else:
        values = {"review_status": _END[type(event)]}
    if isinstance(event, review.FinancingExhausted):
        values["failures"] = event.failures
    await _case(at, event.uscc, values)
    await _free_slot(at, event.uscc)


async def financed(at: Projected, event: review.LoanCovered) -> None:
    """The enterprise has its one loan; a slot it holds stays taken."""
    await _case(at, event.uscc, {"review_status": "financed", "loan_no": event.loan_no, "product": event.product})
    await _parties(at, event.uscc, event.lender, event.payee, event.guarantor, event.insurer)
    await at.connection.execute(
        update(high_slots)
        .where(high_slots.c.scheme == at.scheme, high_slots.c.uscc == event.uscc)
        .values(loan_no=event.loan_no)
    )


async def _free_slot(at: Projected, uscc: str) -> None:
    await at.connection.execute(
        delete(high_slots).where(
            high_slots.c.scheme == at.scheme, high_slots.c.uscc == uscc, high_slots.c.loan_no.is_(None)
        )
    )
