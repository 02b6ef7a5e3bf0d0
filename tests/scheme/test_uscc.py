"""eligible.code: the form and both check characters of a unified social credit code."""

import pytest

from shared.uscc import problem_with

GOOD = ["91110119MA01ABC17J", "911101191000000164", "91110119MA7XK2Q34P", "91110229061234564L", "911101085513859477",
        "93110119MA00NY013F", "92110119MA01GT8805", "91131121MA09JK45XA"]


@pytest.mark.parametrize("code", GOOD)
def test_a_code_with_both_check_characters_right_is_well_formed_whatever_its_region(code: str) -> None:
    assert problem_with(code) is None


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("", "length"), ("91110119MA01ABC17", "length"), ("91110119MA01ABC17JJ", "length"),
        ("91110119-MA01ABC17J", "length"), (" 91110119MA01ABC17", "characters"),
        ("91110119ma01abc17j", "characters"), ("9111011９MA01ABC17J", "characters"),
        ("91110119MA01ABI17J", "characters"), ("9111O119MA01ABC17J", "characters"), ("91110119MA01ABC17J\n", "length"),
        ("91110119MA01ABC17K", "check"), ("91110119MA01ABC71J", "check"), ("19110119MA01ABC17J", "check"),
        ("91110119MA01ABC18M", "inner_check"), ("92110119MA01GT8817", "check"),
    ],
)
def test_the_first_problem_of_a_code_is_named(code: str, problem: str) -> None:
    assert problem_with(code) == problem


@pytest.mark.parametrize("code", GOOD)
def test_any_single_wrong_character_is_found(code: str) -> None:
    for place, right in enumerate(code):
        for wrong in "0123456789ABCDEFGHJKLMNPQRTUWXY":
            if wrong != right:
                assert problem_with(code[:place] + wrong + code[place + 1:]) is not None
