"""A bar chart as SVG: counts by period against the number that is expected, readable without colour."""

from collections.abc import Sequence

from markupsafe import Markup, escape

INK, LINE, SOFT, ENOUGH, SHORT = "#1c2530", "#a14a17", "#56626f", "#1d4e89", "#9fb4cc"
HEIGHT, TOP, BOTTOM, LEFT = 190, 22, 34, 34
STEP, BAR = 74, 40


def bar_chart(title: str, counts: Sequence[tuple[str, int]], expected: int | None = None, line: str = "") -> Markup:
    """Bars with their numbers; those under the expected number are lighter, and the line carries its name."""
    width = max(LEFT + STEP * len(counts) + 90, 320)
    most = max([number for _, number in counts] + [expected or 0, 1])
    scale = (HEIGHT - TOP - BOTTOM) / most
    ground = HEIGHT - BOTTOM
    parts = [f'<line x1="{LEFT}" y1="{ground}" x2="{width - 80}" y2="{ground}" stroke="{SOFT}"/>']
    for place, (name, number) in enumerate(counts):
        x, height = LEFT + place * STEP + (STEP - BAR) // 2, round(number * scale, 1)
        middle = x + BAR // 2
        colour = ENOUGH if expected is None or number >= expected else SHORT
        parts.append(f'<rect x="{x}" y="{ground - height}" width="{BAR}" height="{height}" rx="2" fill="{colour}"/>')
        parts.append(_text(middle, ground - height - 6, str(number), INK, "middle", bold=True))
        parts.append(_text(middle, ground + 20, name, SOFT, "middle"))
    if expected is not None:
        y = round(ground - expected * scale, 1)
        parts.append(
            f'<line x1="{LEFT}" y1="{y}" x2="{width - 80}" y2="{y}" stroke="{LINE}" stroke-width="2"'
            ' stroke-dasharray="6 4"/>'
        )
        parts.append(_text(width - 74, y + 4, f"{line} {expected}", LINE, "start"))
    said = ", ".join(f"{name}: {number}" for name, number in counts)
    return Markup(
        f'<svg class="chart chart--bars" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" role="img"'
        f' aria-label="{escape(title)} {escape(said)}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, colour: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
