"""What matches what: a subset, with YAML's types and JSON's meant alike."""

from typing import Any

import pytest

from riskpool.scenario.matching import differences


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ({}, {"a": 1}),
        ({"a": {"b": "1.00"}}, {"a": {"b": "1.00", "c": 2}}),
        ({"year": "2026"}, {"year": 2026}),
        ({"year": 2026}, {"year": "2026"}),
        ({"ratio": 0.5}, {"ratio": "0.50"}),
        ({"flag": "true"}, {"flag": True}),
        ({"grade": None}, {}),
        ([{"kind": "a"}], [{"kind": "b"}, {"kind": "a", "n": 1}]),
        ({"items": [{"n": 1}, {"n": 2}]}, {"items": [{"n": 2}, {"n": 1}, {"n": 3}]}),
        ([{"n": 1}], {"items": [{"n": 1}]}),
        ({"held": []}, {"held": [{"n": 1}]}),
    ],
)
def test_a_part_of_the_resource_matches(expected: Any, found: Any) -> None:
    assert differences(expected, found) == []


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        ({"a": {"b": "1.00"}}, {"a": {"b": "1.01"}}, "a.b: expected '1.00', found '1.01'"),
        ({"a": "1.0"}, {"a": "1.00"}, "a: expected '1.0', found '1.00'"),
        ({"a": 0}, {"a": False}, "a: expected 0, found False"),
        ({"a": {"b": 1}}, {"a": None}, "a: expected {'b': 1}, found None"),
        (
            {"held": [{"n": 1}]},
            {"held": [{"n": 2, "m": 3}]},
            "held: nothing in the list matches {'n': 1}; found [{'n': 2}]",
        ),
        ({"held": [{"n": 1}]}, {"held": None}, "held: expected [{'n': 1}], found None"),
    ],
)
def test_a_difference_names_its_place(expected: Any, found: Any, said: str) -> None:
    assert differences(expected, found) == [said]
