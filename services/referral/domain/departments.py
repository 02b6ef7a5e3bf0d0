"""A recommender's compensated enterprises of one calendar year (department.flag, 四)."""

from services.referral.policy import ReferralPolicy
from shared.contracts.base import Event, Shape
from shared.contracts.pool import CompensationSettled
from shared.contracts.referral import CompensationCounted, DepartmentFlagged
from shared.decisions import Accepted


class DepartmentYear(Shape):
    """The compensated loans and enterprises of one recommender in one calendar year."""

    department: str
    year: int
    loan_nos: tuple[str, ...] = ()
    enterprises: tuple[str, ...] = ()
    flagged: bool = False


def department_key(department: str, year: int) -> str:
    """The key of a recommender's year."""
    return f"{department}:{year}"


def department_keys(event: Event) -> tuple[str, ...]:
    """The recommender's year that an event changes."""
    if isinstance(event, CompensationCounted | DepartmentFlagged):
        return (department_key(event.department, event.year),)
    return ()


def evolve_department(state: DepartmentYear | None, event: Event) -> DepartmentYear | None:
    """The recommender's year after one of the service's own events."""
    if isinstance(event, CompensationCounted):
        year = state or DepartmentYear(department=event.department, year=event.year)
        known = event.uscc in year.enterprises
        return year.model_copy(update={
            "loan_nos": (*year.loan_nos, event.loan_no),
            "enterprises": year.enterprises if known else (*year.enterprises, event.uscc),
        })
    if isinstance(event, DepartmentFlagged):
        return state and state.model_copy(update={"flagged": True})
    return state


def decide_count(year: DepartmentYear | None, settled: CompensationSettled, policy: ReferralPolicy) -> Accepted:
    """department.flag (四): a compensated loan counts once a year; the second enterprise raises a flag, no penalty."""
    before = year or DepartmentYear(department=settled.recommender, year=settled.on.year)
    if settled.loan_no in before.loan_nos:
        return Accepted(duplicate=True)
    counted = CompensationCounted(department=before.department, year=before.year, uscc=settled.uscc,
                                  loan_no=settled.loan_no, why=policy.why("department.flag", loan_no=settled.loan_no))
    after = evolve_department(before, counted)
    assert after is not None
    if before.flagged or len(after.enterprises) < policy.flag_per_year:
        return Accepted((counted,))
    why = policy.why("department.flag", year=str(before.year), enterprises=", ".join(after.enterprises))
    flag = DepartmentFlagged(department=before.department, year=before.year, enterprises=after.enterprises, why=why)
    return Accepted((counted, flag))
