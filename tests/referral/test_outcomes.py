"""What other services announce about an admitted enterprise, and a recommender's compensated enterprises."""

from datetime import date

from services.referral.domain.case import Case
from services.referral.domain.departments import DepartmentYear, decide_count, evolve_department
from services.referral.domain.findings import Surroundings
from services.referral.domain.outcomes import (
    decide_closed,
    decide_covered,
    decide_end,
    decide_exhausted,
    decide_failed,
    decide_recovered,
    decide_repaid,
    misses_loan,
)
from services.referral.domain.screening import decide_screen
from shared.contracts.commands import ScreenReferral
from shared.contracts.pool import CompensationSettled
from shared.contracts.referral import CompensationCounted, DepartmentFlagged, ReferralClosed
from shared.contracts.review import CaseClosed, FinancingExhausted, FinancingFailed, LoanCovered, PrincipalRepaid
from tests.referral.stories import (
    POLICY,
    TODAY,
    A,
    B,
    C,
    D,
    accepted,
    financed,
    holder,
    names,
    person,
    refer,
    referral,
    referred,
    then,
)


def admitted(uscc: str = A, **changes: object) -> Case:
    case = referred(uscc, **changes)
    return then(case, decide_screen(case, ScreenReferral(uscc=uscc, decision="admit"), Surroundings(), TODAY, POLICY))


def covered(uscc: str = A, loan_no: str = "L-1") -> LoanCovered:
    return LoanCovered.model_construct(uscc=uscc, loan_no=loan_no)


def test_failures_count_for_life_and_the_last_one_ends_the_case() -> None:
    case = admitted()
    case = then(case, decide_failed(case, FinancingFailed(uscc=A, failures=1, cause="declined"), POLICY))
    assert (case.failures, case.status) == (1, "admitted")
    assert names(decide_failed(case, FinancingFailed(uscc=A, failures=1, cause="declined"), POLICY)) == []
    exhausted = decide_exhausted(case, FinancingExhausted(uscc=A, failures=2), POLICY)
    assert names(exhausted) == ["FinancingFailureNoted", "ReferralClosed"]
    case = then(case, exhausted)
    assert (case.failures, case.status, case.outcome) == (2, "ended", "exhausted")
    again = then(case, refer(referral(), case=case))
    assert (again.failures, again.attempt) == (2, 2)
    assert next(f for f in again.findings if f.rule == "eligible.attempts").result == "fail"


def test_a_declined_or_vetoed_case_ends_and_may_be_referred_again() -> None:
    for outcome, rule in (("declined", "panel.majority"), ("vetoed", "panel.veto")):
        case = admitted()
        ended = then(case, decide_end(case, outcome, rule, POLICY))
        assert (ended.status, ended.outcome, ended.is_open) == ("ended", outcome, False)
        assert names(decide_end(ended, outcome, rule, POLICY)) == []


def test_a_case_closed_in_review_ends_but_a_withdrawal_is_not_taken_for_the_next_attempt() -> None:
    case = admitted()
    closed = CaseClosed(uscc=A, outcome="closed", rule="eligible.once")
    assert then(case, decide_closed(case, closed, POLICY)).status == "ended"
    assert names(decide_closed(case, CaseClosed(uscc=A, outcome="withdrawn", rule="x"), POLICY)) == []
    assert names(decide_closed(referred(), closed, POLICY)) == []
    assert names(decide_closed(None, closed, POLICY)) == []


def test_a_covered_loan_finances_the_case_once() -> None:
    case = admitted()
    after = then(case, decide_covered(case, covered(), Surroundings(), POLICY))
    assert (after.status, after.loan_nos) == ("financed", ("L-1",))
    assert names(decide_covered(after, covered(), Surroundings(), POLICY)) == []
    assert names(decide_covered(None, covered(), Surroundings(), POLICY)) == []


def test_a_covered_loan_closes_those_of_its_group_that_are_still_screened() -> None:
    case = admitted(A, shareholders=[holder("0.01", uscc=C), holder("0.99", person="X")])
    affiliate = referred(B, shareholders=[holder("0.25", person="X")])
    shareholder = referred(C)
    stranger = referred(D, shareholders=[holder("0.01", uscc=A), holder("0.99", person="Y")])
    around = Surroundings((affiliate, shareholder, stranger))
    events = accepted(decide_covered(case, covered(), around, POLICY))
    closed = [event for event in events if isinstance(event, ReferralClosed)]
    assert [(event.uscc, event.outcome, event.rule) for event in closed] == [
        (B, "closed", "eligible.once"), (C, "closed", "eligible.once"),
    ]
    in_review = admitted(B, actual_controller=person(f"P-{A}"))
    assert names(decide_covered(case, covered(), Surroundings((in_review,)), POLICY)) == ["LoanNoted"]


def test_a_loan_that_is_repaid_or_recovered_ends_the_case() -> None:
    case = financed()
    part = PrincipalRepaid(uscc=A, loan_no="L-1", amount=1, outstanding=1, repaid_on=TODAY)
    assert names(decide_repaid(case, part, POLICY)) == []
    whole = PrincipalRepaid(uscc=A, loan_no="L-1", amount=1, outstanding=0, repaid_on=TODAY)
    repaid = then(case, decide_repaid(case, whole, POLICY))
    assert (repaid.status, repaid.outcome) == ("ended", "repaid")
    recovered = then(case, decide_recovered(case, POLICY))
    assert (recovered.status, recovered.outcome) == ("ended", "recovered")
    assert names(decide_recovered(recovered, POLICY)) == []
    assert misses_loan(case, "L-2") and not misses_loan(case, "L-1") and not misses_loan(None, "L-1")


def settled(uscc: str, loan_no: str, day: date, recommender: str = "scitech") -> CompensationSettled:
    return CompensationSettled.model_construct(uscc=uscc, loan_no=loan_no, on=day, recommender=recommender)


def counted(*facts: CompensationSettled) -> tuple[dict[tuple[str, int], DepartmentYear], list[object]]:
    years: dict[tuple[str, int], DepartmentYear] = {}
    events: list[object] = []
    for fact in facts:
        place = (fact.recommender, fact.on.year)
        for event in accepted(decide_count(years.get(place), fact, POLICY)):
            state = evolve_department(years.get(place), event)
            assert state is not None
            years[place] = state
            events.append(event)
    return years, events


def test_two_compensated_enterprises_of_a_recommender_in_one_year_raise_one_flag() -> None:
    day = date(2027, 7, 20)
    _, events = counted(settled(A, "L-1", day), settled(A, "L-1", day), settled(B, "L-2", day), settled(C, "L-3", day))
    flags = [event for event in events if isinstance(event, DepartmentFlagged)]
    assert [(flag.department, flag.year, flag.enterprises) for flag in flags] == [("scitech", 2027, (A, B))]
    assert len([event for event in events if isinstance(event, CompensationCounted)]) == 3


def test_enterprises_of_two_years_or_of_two_recommenders_raise_none() -> None:
    day = date(2027, 12, 31)
    years, events = counted(
        settled(A, "L-1", day), settled(B, "L-2", date(2028, 1, 1)), settled(C, "L-3", day, "commerce"),
    )
    assert not [event for event in events if isinstance(event, DepartmentFlagged)]
    assert {place: year.enterprises for place, year in years.items()} == {
        ("scitech", 2027): (A,), ("scitech", 2028): (B,), ("commerce", 2027): (C,),
    }
