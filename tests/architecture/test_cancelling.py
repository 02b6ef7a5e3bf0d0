"""A service that is told to end ends: Python 3.11's `asyncio.wait_for` swallows a cancellation that comes just then."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("part", ["services", "shared"])
def test_nothing_waits_in_a_way_that_swallows_a_cancellation(part: str) -> None:
    files = list((ROOT / part).rglob("*.py"))
    assert files and [str(file) for file in files if "wait_for(" in file.read_text()] == []
