"""Charts of reports as SVG: one drawing for PDF and, as a picture, for Word."""

from collections.abc import Callable, Sequence
from datetime import date
from html import escape

from services.gateway.reports.report import Bars, Curve
from services.gateway.reports.wording import Wording, yuan
from shared.calendar import add_months

WIDTH, HEIGHT = 720, 300
LEFT, TOP, BOTTOM = 58, 30, 30
COLOURS = ("#1d4e89", "#b3541e")
INK, FAINT = "#333333", "#d9dde3"
FONT = "Noto Sans CJK SC"
_DASHED = ' stroke-dasharray="6 4"'


def svg(chart: Curve | Bars, words: Wording) -> str:
    """The chart as an SVG document without a title."""
    return _curve(chart, words) if isinstance(chart, Curve) else _bars(chart, words)


def _document(height: int, parts: Sequence[str]) -> str:
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" font-size="12">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start", fill: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"{more}/>'


def _length(text: str) -> float:
    """About how wide a text is."""
    return sum(12.2 if ch > "ÿ" else 6.9 for ch in text)


def _step_fen(highest: int) -> int:
    """The distance of grid lines: 1, 2 or 5 times a power of ten, four to eight of them."""
    step = 100
    while highest > step * 8:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return step


def _curve(chart: Curve, words: Wording) -> str:
    limits = [one.fen for one in chart.limits]
    highest = max([fen for series in chart.series for _, fen in series.points] + limits + [100])
    step = _step_fen(highest)
    top = -(-highest // step) * step
    days = max((chart.end - chart.begin).days, 1)
    ends = [(one.label, one.points[-1][1], at) for at, one in enumerate(chart.series)]
    ends += [(one.label, one.fen, one.judges) for one in chart.limits]
    edge = WIDTH - 20 - max(_length(f"{label} {yuan(fen)}") for label, fen, _ in ends)

    def x(day: date) -> float:
        return LEFT + (edge - LEFT) * (day - chart.begin).days / days

    def y(fen: int) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (top - fen) / top

    parts = []
    for fen in range(0, top + 1, step):
        parts.append(_line(LEFT, y(fen), edge, y(fen), FAINT))
        parts.append(_text(LEFT - 6, y(fen) + 4, f"{fen // 1_000_000:,}" if step >= 1_000_000 else yuan(fen), "end"))
    for month in _months(chart.begin, chart.end):
        parts.append(_line(x(month), HEIGHT - BOTTOM, x(month), HEIGHT - BOTTOM + 4, INK))
        parts.append(_text(x(month), HEIGHT - BOTTOM + 18, f"{month:%Y-%m}", "middle"))
    for at, series in enumerate(chart.series):
        parts.append(_steps(series.points, x, y, edge, COLOURS[at]))
    for limit in chart.limits:
        parts.append(_line(LEFT, y(limit.fen), edge, y(limit.fen), COLOURS[limit.judges], _DASHED))
    labels = [(y(fen), f"{label} {yuan(fen)}", COLOURS[at]) for label, fen, at in ends]
    parts += [_text(edge + 8, at + 4, text, fill=colour) for at, text, colour in _apart(labels)]
    parts.append(_text(LEFT - 6, TOP - 14, words("万元") if step >= 1_000_000 else words("元"), "end", "#666666"))
    return _document(HEIGHT, parts)


def _steps(
    points: Sequence[tuple[date, int]], x: Callable[[date], float], y: Callable[[int], float], end: float, colour: str
) -> str:
    path = f"M{x(points[0][0]):.1f} {y(points[0][1]):.1f}"
    for day, fen in points[1:]:
        path += f"H{x(day):.1f}V{y(fen):.1f}"
    return f'<path d="{path}H{end:.1f}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _months(begin: date, end: date) -> list[date]:
    """First days of months, at most about seven."""
    every = 1 if (end - begin).days <= 200 else 2
    first = begin if begin.day == 1 else add_months(begin.replace(day=1), 1)
    found = [add_months(first, every * at) for at in range(8)]
    return [one for one in found if one <= end]


def _apart(labels: Sequence[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Labels moved so that none covers another."""
    placed: list[tuple[float, str, str]] = []
    for at, text, colour in sorted(labels):
        placed.append((max(at, placed[-1][0] + 16 if placed else TOP), text, colour))
    over = max(0.0, placed[-1][0] - (HEIGHT - BOTTOM)) if placed else 0.0
    return [(at - over, text, colour) for at, text, colour in placed]


def _bars(chart: Bars, words: Wording) -> str:
    left, right, thick, gap, above = 170, 150, 20, 12, 6
    height = above + len(chart.bars) * (thick + gap) + 10
    highest = max([value for _, value in chart.bars] + ([chart.limit[1]] if chart.limit else []) + [1])

    def length(value: int) -> float:
        return (WIDTH - left - right) * value / highest

    def shown(value: int) -> str:
        return yuan(value) if chart.kind == "money" else f"{value:,}"

    parts = [_line(left, above, left, height - 10, INK)]
    for at, (label, value) in enumerate(chart.bars):
        top = above + at * (thick + gap) + gap / 2
        short = label if _length(label) < left - 12 else label[:12] + "…"
        parts.append(_text(left - 8, top + 15, short, "end"))
        bar = f'x="{left}" y="{top:.1f}" width="{max(length(value), 0):.1f}" height="{thick}"'
        parts.append(f'<rect {bar} fill="{COLOURS[0]}"/>')
        parts.append(_text(left + length(value) + 8, top + 15, shown(value)))
    if chart.limit:
        at_x = left + length(chart.limit[1])
        parts.append(_line(at_x, above, at_x, height - 10, COLOURS[1], _DASHED))
        parts.append(_text(at_x + 6, height - 2, f"{chart.limit[0]} {shown(chart.limit[1])}", fill=COLOURS[1]))
        height += 10
    return _document(height, parts)
