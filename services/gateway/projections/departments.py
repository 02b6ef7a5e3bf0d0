"""Departments and townships: their referrals by quarter, compensated enterprises by year, and flags."""

from services.gateway.projections.tables import compensated, department_flags, referrals
from services.gateway.projections.writing import Projected
from shared.calendar import quarter_of
from shared.contracts import referral


async def referred(at: Projected, event: referral.EnterpriseReferred) -> None:
    """A referral counts for its recommender's quarter (quota.referrals)."""
    await at.insert(
        referrals,
        [
            {
                "uscc": event.uscc,
                "attempt": event.attempt,
                "recommender": event.recommender,
                "referred_on": event.referred_on,
                "quarter": quarter_of(event.referred_on),
            }
        ],
    )


async def compensation_counted(at: Projected, event: referral.CompensationCounted) -> None:
    """A compensated enterprise counts for its recommender's year."""
    await at.insert(compensated, [{"department": event.department, "year": event.year, "uscc": event.uscc}])


async def flagged(at: Projected, event: referral.DepartmentFlagged) -> None:
    """The recommender is flagged for the assessment (department.flag, 四(一))."""
    await at.upsert(
        department_flags, {"department": event.department, "year": event.year}, {"enterprises": list(event.enterprises)}
    )
