"""Each finding of eligibility on both sides of its line."""

from datetime import date

import pytest

from services.referral.domain.bars import Bar, decide_bar
from services.referral.domain.screening import decide_note
from shared.contracts.commands import BarEnterprise, RecordFinding
from shared.contracts.referral import FinancingFailureNoted
from tests.referral.stories import (
    MATERIALS,
    POLICY,
    TODAY,
    A,
    B,
    accepted,
    after,
    bar_after,
    financed,
    finding,
    holder,
    person,
    referred,
    refused,
    then,
)


def test_an_enterprise_registered_elsewhere_or_not_active_fails() -> None:
    assert finding("eligible.registered", referred()).result == "pass"
    assert finding("eligible.registered", referred(region="110108")).result == "fail"
    assert finding("eligible.registered", referred(registration="other")).figures["reason"] == "status"


def test_a_blank_project_fails() -> None:
    assert finding("eligible.project", referred(project=" \n")).result == "fail"
    assert finding("eligible.project", referred()).result == "pass"


@pytest.mark.parametrize(
    ("facts", "result", "figure"),
    [
        ({"employees": 1000, "revenue": "400000000.00"}, "fail", ("size", "large")),
        ({"employees": 999, "revenue": "400000000.00"}, "pass", ("size", "medium")),
        ({"employees": None}, "fail", ("missing", "employees")),
        ({"revenue": None}, "fail", ("missing", "revenue")),
        ({"assets": None}, "pass", ("size", "small")),
        ({"industry": "banking"}, "fail", ("reason", "industry")),
        ({"employees": 19, "revenue": "1000000000.00"}, "flag", ("flag", "micro_with_large_indicator")),
    ],
)
def test_the_size_is_found_or_the_missing_figure_is_named(
    facts: dict[str, object], result: str, figure: tuple[str, str]
) -> None:
    case = referred(**facts)
    found = finding("eligible.size", case)
    assert (found.result, found.figures[figure[0]]) == (result, figure[1])
    assert case.size == found.figures.get("size", "")


@pytest.mark.parametrize(
    ("party", "day", "result"),
    [("enterprise", "2024-03-02", "fail"), ("actual_controller", "2026-03-01", "fail"),
     ("enterprise", "2024-03-01", "pass"), ("supplier", "2025-01-01", "flag"), ("supplier", "2020-01-01", "pass")],
)
def test_an_adverse_record_counts_for_24_months_before_the_referral(party: str, day: str, result: str) -> None:
    case = referred(adverse_records=[{"party": party, "kind": "行政处罚", "date": day}])
    assert finding("eligible.clean_record", case, today=date(2027, 1, 1)).result == result


def test_an_adverse_note_of_a_bank_is_flagged_and_a_plain_one_is_not() -> None:
    case = referred()
    plain = RecordFinding(uscc=A, note="账户正常", adverse=False)
    case = then(case, decide_note(case, plain, "bank-a", TODAY, POLICY))
    assert finding("eligible.clean_record", case).result == "pass"
    adverse = RecordFinding(uscc=A, note="贷款逾期", adverse=True)
    case = then(case, decide_note(case, adverse, "bank-a", TODAY, POLICY))
    found = finding("eligible.clean_record", case)
    assert (found.result, found.figures["notes"]) == ("flag", "bank-a: 贷款逾期")
    refused(decide_note(financed(), adverse, "bank-a", TODAY, POLICY), "eligible.open_case", "not_screening")
    refused(decide_note(None, adverse, "bank-a", TODAY, POLICY), "unknown", "case")


def test_a_need_at_the_cap_passes_and_one_fen_more_fails() -> None:
    assert finding("eligible.need_cap", referred(need="5000000.00")).result == "pass"
    found = finding("eligible.need_cap", referred(need="5000000.01"))
    assert (found.result, found.figures) == ("fail", {"need": "5000000.01", "cap": "5000000.00"})


def test_missing_materials_are_named() -> None:
    found = finding("eligible.materials", referred(materials=MATERIALS[1:6]))
    assert (found.result, found.figures["missing"]) == ("fail", "business_licence, tax")


def test_failed_financings_count_for_life() -> None:
    once = after(referred(), FinancingFailureNoted(uscc=A, failures=1))
    assert finding("eligible.attempts", once).result == "pass"
    twice = after(once, FinancingFailureNoted(uscc=A, failures=2))
    assert finding("eligible.attempts", twice).result == "fail"


def test_priority_tags_are_shown_and_never_refuse() -> None:
    found = finding("priority.sector", referred(sector="low_altitude", traits=["leader"]))
    assert (found.result, found.figures["tags"]) == ("flag", "low_altitude, leader")
    assert finding("priority.sector", referred()).result == "pass"


def _bar_of(uscc: str) -> Bar:
    case = referred(uscc, legal_representative=person("R-1"))
    return bar_after(decide_bar(case, None, BarEnterprise(uscc=uscc, reason="骗贷"), TODAY, POLICY))


def test_a_bar_reaches_the_enterprise_its_representative_and_that_persons_enterprises() -> None:
    bars = (_bar_of(B),)
    links = {
        "enterprise": referred(B),
        "legal_representative": referred(A, legal_representative=person(" r-1")),
        "actual_controller": referred(A, actual_controller=person("R-1")),
        "holder": referred(A, shareholders=[holder("0.25", person="R-1")]),
    }
    for link, case in links.items():
        found = finding("eligible.bar", case, bars=bars)
        assert (found.result, found.figures["link"], found.figures["until"]) == ("fail", link, "2029-03-02")
    assert finding("eligible.bar", referred(A, shareholders=[holder("0.24", person="R-1")]), bars=bars).result == "pass"


def test_a_bar_ends_after_three_years() -> None:
    bars = (_bar_of(B),)
    assert finding("eligible.bar", referred(B), today=date(2029, 3, 2), bars=bars).result == "fail"
    assert finding("eligible.bar", referred(B), today=date(2029, 3, 3), bars=bars).result == "pass"


def test_only_a_known_enterprise_is_barred_and_the_same_decision_counts_once() -> None:
    command = BarEnterprise(uscc=A, reason="骗贷")
    refused(decide_bar(None, None, command, TODAY, POLICY), "unknown", "case")
    first = decide_bar(referred(), None, command, TODAY, POLICY)
    again = decide_bar(referred(), bar_after(first), command, TODAY, POLICY)
    assert accepted(first) and not accepted(again)
    later = decide_bar(referred(), bar_after(first), command, date(2027, 1, 1), POLICY)
    assert bar_after(later).until == date(2030, 1, 1)
