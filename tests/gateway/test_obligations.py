"""Duties fall due by the scheme's periods and are done by what events say."""

from datetime import date

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.queries.obligations import due_date, obligation_list, periods
from shared.contracts import pool, recovery, review
from shared.scheme.loader import load_scheme
from tests.gateway import story
from tests.gateway.story import day, take

YANQING = load_scheme("yanqing")


@pytest.mark.parametrize(
    ("kind", "months", "wanted"),
    [
        ("half", 1, [("2026H1", "2026-07-31"), ("2026H2", "2027-01-31")]),
        ("year", 5, [("2026", "2027-05-31")]),
        ("quarter", 0, [("2026Q1", "2026-03-31"), ("2026Q2", "2026-06-30"), ("2026Q3", "2026-09-30")]),
    ],
)
def test_periods_end_and_fall_due(kind: str, months: int, wanted: list[tuple[str, str]]) -> None:
    found = [(one.name, str(due_date(one, months))) for one in periods(kind, day("2026-01-01"), day("2026-09-15"))]
    assert found[: len(wanted)] == wanted


def test_a_scheme_that_begins_inside_a_period_owes_that_period() -> None:
    assert [one.name for one in periods("half", day("2026-03-15"), day("2026-07-01"))] == ["2026H1", "2026H2"]


async def states(connection: AsyncConnection, kind: str, as_of: str) -> dict[tuple[str, str], str]:
    found = await obligation_list(connection, YANQING, date.fromisoformat(as_of))
    return {(one.period, one.organisation): one.state for one in found if one.kind == kind}


async def test_a_report_is_due_then_overdue_then_done(connection: AsyncConnection) -> None:
    assert await states(connection, "custodian_half_year", "2026-07-31") == {
        ("2026H1", "custodian"): "due",
        ("2026H2", "custodian"): "due",
    }
    assert (await states(connection, "custodian_half_year", "2026-08-01"))["2026H1", "custodian"] == "overdue"
    filed = pool.ReportFiled(kind="custodian_half_year", period="2026H1", by="custodian", filed_on=day("2026-08-05"))
    await take(connection, [filed, filed.model_copy(update={"filed_on": day("2026-09-01")})])
    found = await obligation_list(connection, YANQING, day("2026-08-05"))
    shown = next(one for one in found if (one.kind, one.period) == ("custodian_half_year", "2026H1"))
    assert (shown.state, str(shown.done_on), shown.rule) == ("done", "2026-08-05", "obligations")
    assert (await states(connection, "custodian_half_year", "2026-08-04"))["2026H1", "custodian"] == "overdue"


async def test_the_custodian_that_signed_owes_its_reports_whoever_filed_them(connection: AsyncConnection) -> None:
    signed = review.AgreementSigned(
        institution="icbc", kind="custodian", name="托管银行", valid_from=day("2026-01-01"), valid_to=day("2028-12-31")
    )
    filed = pool.ReportFiled(kind="custodian_annual", period="2026", by="drc", filed_on=day("2027-05-01"))
    await take(connection, [signed, filed])
    assert (await states(connection, "custodian_annual", "2027-06-01"))["2026", "icbc"] == "done"


async def test_drc_verifies_and_reports_each_half_year(connection: AsyncConnection) -> None:
    batch = review.ClaimBatchOpened(half="2026H1", loan_nos=("A-1",), opened_on=day("2026-07-01"))
    await take(connection, [batch])
    assert (await states(connection, "verification_half_year", "2026-07-31"))["2026H1", "drc"] == "due"
    reported = recovery.ReportFiled(kind="recovery_half_year", period="2026H1", by="drc", filed_on=day("2026-07-05"))
    await take(connection, [review.ClaimBatchSubmitted(half="2026H1", loan_nos=("A-1",)), reported])
    assert (await states(connection, "verification_half_year", "2026-07-31"))["2026H1", "drc"] == "done"
    assert (await states(connection, "recovery_half_year", "2026-07-31"))["2026H1", "drc"] == "done"


async def test_a_batch_without_claims_is_verified_when_it_opens(connection: AsyncConnection) -> None:
    await take(connection, [review.ClaimBatchOpened(half="2026H1", loan_nos=(), opened_on=day("2026-07-01"))])
    assert (await states(connection, "verification_half_year", "2026-08-31"))["2026H1", "drc"] == "done"


async def test_a_department_fills_its_quarter_with_the_fifth_referral_and_townships_owe_none(
    connection: AsyncConnection,
) -> None:
    quota = "quota_quarter"
    await take(connection, [story.referred(f"9111{n}", on=f"2026-02-0{n}") for n in range(1, 5)])
    assert (await states(connection, quota, "2026-03-31"))["2026Q1", "scitech"] == "due"
    assert (await states(connection, quota, "2026-04-01"))["2026Q1", "scitech"] == "overdue"
    await take(connection, [story.referred("91119", on="2026-03-31")])
    found = await states(connection, quota, "2026-04-01")
    assert found["2026Q1", "scitech"] == "done"
    assert {organisation for _, organisation in found} == {"sasac", "scitech", "agriculture", "culture", "commerce"}


async def test_departments_owe_nothing_after_the_scheme_has_ended(connection: AsyncConnection) -> None:
    assert max(period for period, _ in await states(connection, "quota_quarter", "2031-01-01")) == "2028Q4"
