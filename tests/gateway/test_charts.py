"""Charts say what the figures say, in either language, and hold nothing that a strict page would refuse."""

from datetime import date
from xml.etree import ElementTree

import pytest

from services.gateway.console.charts import Band, Mark, Series, against_line, amount, distance, over_time
from shared.scheme.refusals import Language

WAN, MILLION = 1_000_000, 100_000_000
BLUE, COPPER = "#1d4e89", "#a14a17"


def series(line_name: str = "暂停线", *values: tuple[str, int], line_fen: int = 21 * MILLION) -> Series:
    made = tuple((date.fromisoformat(on), fen) for on, fen in values)
    return Series("代偿计数", COPPER, made, line_name, line_fen)


COUNTER = series("暂停线", ("2026-01-06", 0), ("2026-07-20", 20 * MILLION), ("2026-08-01", 21 * MILLION))


def drawn(one: Series, language: Language = "zh", **more: object) -> ElementTree.Element:
    return ElementTree.fromstring(over_time([one], date(2026, 12, 20), language, **more))  # type: ignore[arg-type]


def texts(svg: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in svg.iter("text")]


@pytest.mark.parametrize(
    ("fen", "zh", "en"),
    [
        (0, "0", "0"),
        (2_100 * WAN, "2,100", "21"),
        (1_498_000_000, "1,498", "14.98"),
        (3_000_001, "3", "0.03"),
        (-WAN, "-1", "-0.01"),
    ],
)
def test_amounts_are_in_the_unit_of_the_language_without_needless_zeros(fen: int, zh: str, en: str) -> None:
    assert (amount(fen, "zh"), amount(fen, "en")) == (zh, en)


def test_a_series_is_named_at_its_end_with_its_distance_to_its_line() -> None:
    low = series("暂停线", ("2026-01-06", 0), ("2026-07-20", 20 * MILLION))
    assert {"代偿计数 2,000", "低于暂停线 100", "暂停线 2,100", "万元"} <= set(texts(drawn(low)))
    assert "正在暂停线上" in texts(drawn(COUNTER))
    assert distance(series("暂停线", ("2026-01-06", 22 * MILLION)), "zh") == "高于暂停线 100"


def test_the_line_has_the_colour_of_the_series_that_it_judges() -> None:
    svg = drawn(COUNTER)
    dashed = [one for one in svg.iter("path") if "stroke-dasharray" in one.attrib]
    assert [one.get("stroke") for one in dashed] == [COPPER]


def test_values_hold_until_the_next_so_the_curve_has_steps_only() -> None:
    curve = next(one for one in drawn(COUNTER).iter("path") if one.get("stroke-width") == "2.2")
    assert "L" not in curve.attrib["d"]
    assert curve.attrib["d"].count("V") == 3


def test_pauses_are_shaded_and_moments_marked() -> None:
    band = Band(date(2026, 8, 1), None, "暂停中")
    mark = Mark(date(2026, 8, 1), 21 * MILLION, COPPER, "2026-08-01 暂停代偿")
    svg = drawn(COUNTER, bands=[band], marks=[mark])
    assert "暂停中" in texts(svg)
    assert [one.text for one in svg.iter("title")] == ["2026-08-01 暂停代偿"]


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_everything_lies_on_the_paper_and_a_strict_page_takes_it(language: Language, wide: bool) -> None:
    svg = drawn(COUNTER, language, wide=wide)
    width, height = map(float, svg.attrib["viewBox"].split()[2:])
    for one in svg.iter():
        assert "style" not in one.attrib
        assert not any(name.startswith("on") for name in one.attrib)
    for one in svg.iter("text"):
        assert 0 <= float(one.attrib["x"]) <= width
        assert 0 <= float(one.attrib["y"]) <= height


def test_one_day_and_nothing_at_all_are_charts_too() -> None:
    assert over_time([series("暂停线")], date(2026, 1, 6), "zh") == ""
    assert texts(drawn(series("暂停线", ("2026-12-20", 0))))


def test_names_cannot_break_out_of_the_drawing() -> None:
    svg = drawn(series('<script>"&', ("2026-01-06", MILLION)))
    assert any('<script>"&' in text for text in texts(svg))


def test_an_amount_beyond_its_line_still_fits_its_bar() -> None:
    svg = ElementTree.fromstring(against_line(30 * MILLION, 21 * MILLION, 25 * MILLION, BLUE, "余额"))
    _, bar, line = svg.iter("rect")
    assert float(bar.attrib["width"]) == 1000
    assert float(line.attrib["x"]) == 698
