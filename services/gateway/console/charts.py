"""Charts drawn as SVG on the server: steps over time against their lines, and one amount against its line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup, escape

from services.gateway.console.words import say
from shared.calendar import add_months
from shared.scheme.refusals import Language

GRID, AXIS, INK, PAPER = "#e3e8ee", "#56626f", "#1c2530", "#ffffff"
UNIT_FEN = {"zh": 1_000_000, "en": 100_000_000}
_DECIMALS = {"zh": 2, "en": 3}
_TICKS = 5
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LABEL_HEIGHT = 40.0


@dataclass(frozen=True)
class Series:
    """An amount over time, in its colour, and the line that it is judged by; each value holds until the next."""

    name: str
    colour: str
    values: tuple[tuple[date, int], ...]
    line_name: str = ""
    line_fen: int | None = None


@dataclass(frozen=True)
class Mark:
    """A moment on a series."""

    on: date
    value_fen: int
    colour: str
    text: str


@dataclass(frozen=True)
class Band:
    """A stretch of time in a state; ``until`` is None while it lasts."""

    since: date
    until: date | None
    text: str


@dataclass(frozen=True)
class _Frame:
    """Where dates and amounts lie on the paper."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    first: date
    last: date
    ceiling_fen: int
    language: Language

    def x(self, on: date) -> float:
        days = (min(max(on, self.first), self.last) - self.first).days
        return self.left + (self.right - self.left) * days / max((self.last - self.first).days, 1)

    def y(self, fen: int) -> float:
        return self.bottom - (self.bottom - self.top) * fen / self.ceiling_fen


def amount(fen: int, language: Language) -> str:
    """An amount in the unit of charts, rounded, without needless zeros: 万元 or million yuan."""
    text = f"{fen / UNIT_FEN[language]:,.{_DECIMALS[language]}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def unit(language: Language) -> str:
    """The unit of charts."""
    return "万元" if language == "zh" else "million yuan"


def over_time(
    series: Sequence[Series],
    until: date,
    language: Language,
    *,
    marks: Sequence[Mark] = (),
    bands: Sequence[Band] = (),
    wide: bool = True,
) -> Markup:
    """Steps over time, each against the line in its own colour; labels stand at the end of what they name."""
    shown = [one for one in series if one.values]
    if not shown:
        return Markup("")
    frame = _frame(shown, until, language, wide)
    parts = [
        *_grid(frame),
        *_months(frame),
        *(part for band in bands for part in _band(frame, band)),
        *(_line(frame, one) for one in shown if one.line_fen is not None),
        *(_steps(frame, one) for one in shown),
        *(_line_name(frame, one) for one in shown if one.line_fen is not None),
        *(_dot(frame, mark) for mark in marks),
        *(_ends(frame, shown) if wide else _legend(frame, shown)),
    ]
    told = "; ".join(_told(one, language) for one in shown)
    size = f'viewBox="0 0 {frame.width:g} {frame.height:g}"'
    kind = "wide" if wide else "narrow"
    opening = Markup('<svg class="chart chart--{}" {} role="img" aria-label="{}">').format(kind, Markup(size), told)
    return opening + Markup("".join(parts)) + Markup("</svg>")


def _told(one: Series, language: Language) -> str:
    told = f"{one.name} {amount(one.values[-1][1], language)} {unit(language)}"
    if one.line_fen is None:
        return told
    return f"{told}, {one.line_name} {amount(one.line_fen, language)} {unit(language)}"


def _frame(series: Sequence[Series], until: date, language: Language, wide: bool) -> _Frame:
    first = min(one.values[0][0] for one in series)
    last = max(until, first + timedelta(days=31), *(one.values[-1][0] for one in series))
    highest = max(max(fen for _, fen in one.values) for one in series)
    highest = max([highest, *(one.line_fen for one in series if one.line_fen is not None), 1])
    width, height = (920.0, 340.0) if wide else (380.0, 300.0)
    right = width - (206.0 if wide else 10.0)
    top = 26.0 if wide else 26.0 + 19.0 * len(series)
    step = _step(highest)
    ceiling = -(-highest // step) * step
    return _Frame(width, height, 46.0, right, top, height - 40.0, first, last, ceiling, language)


def _step(highest_fen: int) -> int:
    """A round distance between grid lines: 1, 2 or 5 with zeros."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if highest_fen <= size * factor * _TICKS:
                return size * factor
        size *= 10


def _text(x: float, y: float, text: str, *, colour: str = AXIS, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    halo = f' stroke="{PAPER}" stroke-width="4" paint-order="stroke" stroke-linejoin="round"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}"{weight}{halo}>{escape(text)}</text>'
    )


def _grid(frame: _Frame) -> Iterable[str]:
    yield _text(0, frame.top - 12, unit(frame.language))
    step = _step(frame.ceiling_fen)
    for fen in range(0, frame.ceiling_fen + 1, step):
        y = frame.y(fen)
        colour = "#9aa6b2" if fen == 0 else GRID
        yield f'<path d="M{frame.left:.1f} {y:.1f}H{frame.right:.1f}" stroke="{colour}" stroke-width="1"/>'
        yield _text(frame.left - 7, y + 4, amount(fen, frame.language), anchor="end")


def _months(frame: _Frame) -> Iterable[str]:
    months = (frame.last.year - frame.first.year) * 12 + frame.last.month - frame.first.month + 1
    room = (frame.right - frame.left) / 44
    every = next((one for one in (1, 2, 3, 6, 12) if months / one <= room), 24)
    month = add_months(frame.first.replace(day=1), 0)
    year = 0
    while month <= frame.last:
        if (month.month - 1) % every == 0 and month >= frame.first:
            x = frame.x(month)
            yield f'<path d="M{x:.1f} {frame.bottom:.1f}v5" stroke="#9aa6b2"/>'
            name = f"{month.month}月" if frame.language == "zh" else _MONTHS[month.month - 1]
            yield _text(x, frame.bottom + 18, name, anchor="middle")
            if month.year != year:
                yield _text(x, frame.bottom + 33, str(month.year), anchor="middle", bold=True)
                year = month.year
        month = add_months(month, 1)


def _band(frame: _Frame, band: Band) -> Iterable[str]:
    left, right = frame.x(band.since), frame.x(band.until or frame.last)
    width = max(right - left, 2.0)
    height = frame.bottom - frame.top
    yield f'<rect x="{left:.1f}" y="{frame.top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="#f6e9df"/>'
    if width > len(band.text) * (14 if frame.language == "zh" else 8):
        yield _text(left + width / 2, frame.top + 13, band.text, colour="#8a3f13", anchor="middle")


def _line(frame: _Frame, one: Series) -> str:
    y = frame.y(one.line_fen or 0)
    return (
        f'<path d="M{frame.left:.1f} {y:.1f}H{frame.right:.1f}" stroke="{one.colour}" stroke-width="1.3"'
        f' stroke-dasharray="5 4" fill="none"/>'
    )


def _line_name(frame: _Frame, one: Series) -> str:
    """Over the curves, which its halo keeps at a distance."""
    said = f"{one.line_name} {amount(one.line_fen or 0, frame.language)}"
    return _text(frame.left + 6, frame.y(one.line_fen or 0) - 5, said, colour=one.colour)


def _steps(frame: _Frame, one: Series) -> str:
    (on, fen), *rest = one.values
    path = [f"M{frame.x(on):.1f} {frame.y(0):.1f}V{frame.y(fen):.1f}"]
    for on, fen in rest:
        path.append(f"H{frame.x(on):.1f}V{frame.y(fen):.1f}")
    path.append(f"H{frame.right:.1f}")
    return f'<path d="{"".join(path)}" fill="none" stroke="{one.colour}" stroke-width="2.2" stroke-linejoin="round"/>'


def _dot(frame: _Frame, mark: Mark) -> str:
    return (
        f'<circle cx="{frame.x(mark.on):.1f}" cy="{frame.y(mark.value_fen):.1f}" r="4.5" fill="{PAPER}"'
        f' stroke="{mark.colour}" stroke-width="2"><title>{escape(mark.text)}</title></circle>'
    )


def _ends(frame: _Frame, series: Sequence[Series]) -> Iterable[str]:
    """What each series is now, at its end, and a bracket over its distance to the line."""
    places = _apart([frame.y(one.values[-1][1]) for one in series], frame)
    for number, (one, place) in enumerate(zip(series, places, strict=True)):
        value, x = one.values[-1][1], frame.right
        yield f'<circle cx="{x:.1f}" cy="{frame.y(value):.1f}" r="4" fill="{one.colour}"/>'
        if one.line_fen is not None and one.line_fen != value:
            at = x + 10 + 7 * number
            yield (
                f'<path d="M{at - 3:.1f} {frame.y(value):.1f}h6M{at - 3:.1f} {frame.y(one.line_fen):.1f}h6'
                f'M{at:.1f} {frame.y(value):.1f}V{frame.y(one.line_fen):.1f}" stroke="{one.colour}" fill="none"/>'
            )
        label = x + 14 + 7 * len(series)
        said = f"{one.name} {amount(value, frame.language)}"
        yield _text(label, place - 2, said, colour=one.colour, bold=True)
        if one.line_fen is not None:
            yield _text(label, place + 15, distance(one, frame.language), colour=one.colour)


def distance(one: Series, language: Language) -> str:
    """How far a series is from its line, in words."""
    away = (one.line_fen or 0) - one.values[-1][1]
    if away == 0:
        return say(language, "正在%(line)s上", line=one.line_name)
    text = "低于%(line)s %(away)s" if away > 0 else "高于%(line)s %(away)s"
    return say(language, text, line=one.line_name, away=amount(abs(away), language))


def _apart(wanted: Sequence[float], frame: _Frame) -> list[float]:
    """Places of labels near where they belong, far enough from one another and on the paper."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = [0.0] * len(wanted)
    before = frame.top - _LABEL_HEIGHT + 8
    for i in order:
        before = places[i] = max(wanted[i], before + _LABEL_HEIGHT)
    following = frame.bottom - 12 + _LABEL_HEIGHT
    for i in reversed(order):
        following = places[i] = min(places[i], following - _LABEL_HEIGHT)
    return places


def _legend(frame: _Frame, series: Sequence[Series]) -> Iterable[str]:
    for number, one in enumerate(series):
        y = 14.0 + 19.0 * number
        value = one.values[-1][1]
        yield f'<path d="M2 {y - 4:.1f}h18" stroke="{one.colour}" stroke-width="2.4"/>'
        said = f"{one.name} {amount(value, frame.language)}"
        if one.line_fen is not None:
            said = f"{said} · {distance(one, frame.language)}"
        yield _text(26, y, said, colour=one.colour)
        yield f'<circle cx="{frame.right:.1f}" cy="{frame.y(value):.1f}" r="3.5" fill="{one.colour}"/>'


def against_line(value_fen: int, line_fen: int, whole_fen: int, colour: str, text: str) -> Markup:
    """One amount as a bar on the whole, its line as a tick in the same colour."""
    whole = max(whole_fen, value_fen, line_fen, 1)
    value, line = (1000 * max(fen, 0) / whole for fen in (value_fen, line_fen))
    return Markup(
        '<svg class="meter" viewBox="0 0 1000 22" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect x="0" y="6" width="1000" height="10" fill="#e9edf2"/>'
        '<rect x="0" y="6" width="{}" height="10" fill="{}"/>'
        '<rect x="{}" y="0" width="4" height="22" fill="{}"/></svg>'
    ).format(text, f"{value:.1f}", colour, f"{min(max(line - 2, 0), 996):.1f}", colour)

