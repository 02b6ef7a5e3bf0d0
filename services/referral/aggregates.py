"""The things whose state the referral service keeps, each with its table and its fold."""

from services.referral import tables
from services.referral.domain.bars import Bar, bar_keys, evolve_bar
from services.referral.domain.case import Case, case_keys, evolve_case
from services.referral.domain.departments import DepartmentYear, department_keys, evolve_department
from shared.aggregates import Aggregate

CASES = Aggregate("cases", tables.cases, Case, evolve_case, case_keys)
BARS = Aggregate("bars", tables.bars, Bar, evolve_bar, bar_keys)
DEPARTMENT_YEARS = Aggregate(
    "department_years", tables.department_years, DepartmentYear, evolve_department, department_keys
)
