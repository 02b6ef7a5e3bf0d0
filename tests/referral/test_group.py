"""Affiliates and shareholders: who shares one loan (eligible.once)."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from services.referral.domain.case import Case
from services.referral.domain.group import Firm, affiliates, holdings
from tests.referral.stories import A, B, C, D, financed, finding, holder, person, referred

QUARTER = Decimal("0.25")


def once(case: Case, *others: Case) -> tuple[str, str]:
    found = finding("eligible.once", case, *others)
    return found.result, found.figures.get("link", found.figures.get("reason", ""))


def test_an_enterprise_with_a_loan_gets_no_other() -> None:
    assert once(financed()) == ("fail", "own")


def test_the_same_actual_controller_makes_an_affiliate() -> None:
    case = referred(B, actual_controller=person(f"p-{A}".lower()))
    assert once(case, financed(A)) == ("fail", "same_controller")
    assert once(case, referred(A)) == ("pass", "")


def test_a_holding_of_a_quarter_makes_an_affiliate_either_way_and_a_smaller_one_does_not() -> None:
    for share, expected in (("0.25", ("fail", "holding")), ("0.2499", ("pass", ""))):
        assert once(referred(B, shareholders=[holder(share, uscc=A)]), financed(A)) == expected
    assert once(referred(A), financed(B, shareholders=[holder("0.25", uscc=A)])) == ("fail", "holding")


def test_a_shareholder_at_any_share_of_a_financed_enterprise_is_shut_out() -> None:
    assert once(referred(A), financed(B, shareholders=[holder("0.0001", uscc=A)])) == ("fail", "shareholder")


def test_a_common_holder_of_a_quarter_in_both_makes_affiliates() -> None:
    first = financed(A, shareholders=[holder("0.25", person="X"), holder("0.75", person="Y")])
    assert once(referred(B, shareholders=[holder("0.25", person="X")]), first) == ("fail", "common_holder")
    assert once(referred(B, shareholders=[holder("0.24", person="X")]), first) == ("pass", "")


def test_a_holding_at_the_threshold_passes_through_in_full() -> None:
    middle = referred(B, shareholders=[holder("0.25", uscc=A)])
    end = referred(C, shareholders=[holder("0.25", uscc=B)])
    assert once(end, financed(A), middle) == ("fail", "holding")
    thin = referred(B, shareholders=[holder("0.24", uscc=A)])
    assert once(end, financed(A), thin) == ("pass", "")


def test_direct_and_indirect_holdings_add_up() -> None:
    through = referred(B, shareholders=[holder("0.30", uscc=A)])
    sum_reaches = referred(C, shareholders=[holder("0.10", uscc=A), holder("0.15", uscc=B)])
    assert once(sum_reaches, financed(A), through) == ("fail", "holding")
    too_little = referred(C, shareholders=[holder("0.10", uscc=A), holder("0.1499", uscc=B)])
    assert once(too_little, financed(A), through) == ("pass", "")


def test_a_holder_without_a_number_is_flagged_because_nothing_can_be_compared() -> None:
    found = finding("eligible.once", referred(shareholders=[holder("1.00")]))
    assert (found.result, found.figures["unidentified"]) == ("flag", "无名")


def test_a_case_of_another_enterprise_without_a_loan_does_not_shut_out() -> None:
    same = person("X")
    assert once(referred(B, actual_controller=same), referred(A, actual_controller=same), referred(D)) == ("pass", "")


CODES = ["e1", "e2", "e3", "e4", "e5"]
SHARES = st.sampled_from([Decimal(n) / 100 for n in (1, 5, 10, 13, 24, 25, 30, 50, 100)])
FIRMS = st.fixed_dictionaries({
    code: st.builds(
        Firm, st.just(code), st.sampled_from(["p1", "p2", "p3", "p4"]),
        st.dictionaries(st.sampled_from([*CODES, "p1", "p2"]), SHARES, max_size=4),
    )
    for code in CODES
})


@settings(max_examples=150, deadline=None)
@given(FIRMS)
def test_being_affiliated_is_mutual(firms: dict[str, Firm]) -> None:
    links = {code: affiliates(firms[code], firms, QUARTER) for code in CODES}
    for one in CODES:
        for other in CODES:
            assert links[one].get(other) == links[other].get(one)


@settings(max_examples=150, deadline=None)
@given(FIRMS, st.sampled_from([*CODES, "p1", "p2"]))
def test_what_is_held_is_the_smallest_set_closed_under_the_definition(firms: dict[str, Firm], who: str) -> None:
    def effective(code: str, held: frozenset[str]) -> Decimal:
        return sum((firms[code].holders.get(through, Decimal(0)) for through in {who, *held}), Decimal(0))

    def closed(held: frozenset[str]) -> bool:
        return all((effective(code, held) >= QUARTER) <= (code in held) for code in CODES if code != who)

    found = holdings(who, firms, QUARTER)
    assert closed(found)
    subsets = [frozenset(c for i, c in enumerate(CODES) if bits >> i & 1 and c != who) for bits in range(32)]
    assert all(found <= candidate for candidate in subsets if closed(candidate))
