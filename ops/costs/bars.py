"""A month's costs as an SVG: one stacked bar a day."""

from __future__ import annotations

import calendar
import math
from collections.abc import Iterator
from html import escape

from ops.costs.explorer import Day, Month

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 96, 40
SHADES = 7
"""Colours that can be told apart beside each other; what is cheaper is drawn as one."""
OTHERS = "all others"
COLUMNS, NAME_LIMIT = 4, 24
"""Names beside each other in the legend, and characters of each; whoever points at one reads all of it."""
STYLE = """
svg { color-scheme: light dark; font: 13px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif }
.page { fill: #ffffff } text { fill: #1b2330 } .muted { fill: #5c6675 } .grid { stroke: #dfe3e9 }
.c0 { fill: #2f6fb5 } .c1 { fill: #e08a00 } .c2 { fill: #2a8a5c } .c3 { fill: #a34fb0 }
.c4 { fill: #c2453a } .c5 { fill: #3aa6a6 } .c6 { fill: #8a6d3b } .c7 { fill: #8a94a3 }
@media (prefers-color-scheme: dark) {
  .page { fill: #12161c } text { fill: #e5e9ef } .muted { fill: #9aa5b4 } .grid { stroke: #2c3540 }
  .c0 { fill: #5b9ae0 } .c1 { fill: #f3b033 } .c2 { fill: #4fbf8b } .c3 { fill: #c98ad4 }
  .c4 { fill: #ff8a80 } .c5 { fill: #62cfcf } .c6 { fill: #c4a368 } .c7 { fill: #8a94a3 }
}
"""


def draw(month: Month) -> str:
    """Write the month as an SVG, readable in the dark and by a screen reader."""
    title = f"SageMaker costs of {month.month:%B %Y} by {month.tag}: {month.total:,.2f} {month.currency}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(_described(month))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text x="{LEFT}" y="28" font-size="17" font-weight="600">{escape(title)}</text>',
        *_legend(month),
        *_scale(month),
        *(bar for day in month.days for bar in _bars(month, day)),
        "</svg>",
        "",
    ]
    return "\n".join(lines)


def _highest(month: Month) -> tuple[float, float]:
    """Return what the topmost line stands for, and the distance of two lines."""
    highest = max(
        (math.fsum(amount for amount in _shown(month, day).values()) for day in month.days), default=0
    )
    step = _step(highest)
    return step * max(1, math.ceil(highest / step - 1e-9)), step


def _shown(month: Month, day: Day) -> dict[tuple[str, str], float]:
    """Return the parts of a bar by colour and name, from below; a credit makes no part."""
    values = list(month.totals)
    parts = {
        (f"c{place}", month.name(value)): max(0.0, day.amounts.get(value, 0.0))
        for place, value in enumerate(values[:SHADES])
    }
    others = math.fsum(max(0.0, day.amounts.get(value, 0.0)) for value in values[SHADES:])
    return parts | ({(f"c{SHADES}", OTHERS): others} if values[SHADES:] else {})


def _room(month: Month) -> tuple[int, float]:
    """Return how many days the month has, and how wide each is."""
    days = calendar.monthrange(month.month.year, month.month.month)[1]
    return days, (WIDTH - LEFT - RIGHT) / days


def _scale(month: Month) -> Iterator[str]:
    """Yield the lines with their amounts, and the days below."""
    top, step = _highest(month)
    for tick in range(round(top / step) + 1):
        y = HEIGHT - BOTTOM - tick * step / top * (HEIGHT - TOP - BOTTOM)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        amount = _amount(tick * step, step)
        yield f'<text class="muted" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{amount}</text>'
    days, room = _room(month)
    for number in range(1, days + 1):
        at = f'x="{LEFT + (number - 0.5) * room:.1f}" y="{HEIGHT - BOTTOM + 20}"'
        yield f'<text class="muted" {at} font-size="11" text-anchor="middle">{number}</text>'


def _bars(month: Month, day: Day) -> Iterator[str]:
    """Yield the parts of one day's bar."""
    top, _ = _highest(month)
    _, room = _room(month)
    left, y = LEFT + (day.day.day - 0.85) * room, float(HEIGHT - BOTTOM)
    for (colour, name), amount in _shown(month, day).items():
        if amount:
            height = amount / top * (HEIGHT - TOP - BOTTOM)
            y -= height
            tip = escape(f"{day.day}: {name} {amount:,.4f} {month.currency}")
            at = f'x="{left:.1f}" y="{y:.2f}" width="{room * 0.7:.1f}" height="{height:.2f}"'
            yield f'<rect class="{colour}" {at}><title>{tip}</title></rect>'


def _legend(month: Month) -> Iterator[str]:
    for place, (colour, name) in enumerate(_shown(month, Day(month.month, {}, estimated=False))):
        row, column = divmod(place, COLUMNS)
        x, y = LEFT + column * (WIDTH - LEFT - RIGHT) // COLUMNS, 46 + 20 * row
        short = name if len(name) <= NAME_LIMIT else f"{name[: NAME_LIMIT - 1]}…"
        yield f'<rect class="{colour}" x="{x}" y="{y}" width="12" height="12" rx="2"/>'
        yield f'<text x="{x + 18}" y="{y + 11}">{escape(short)}<title>{escape(name)}</title></text>'


def _described(month: Month) -> str:
    """Say in words what the picture shows."""
    if not month.totals:
        return "No costs."
    said = [f"{month.name(value)} {amount:,.2f}" for value, amount in month.totals.items()]
    dearest = max(month.days, key=lambda each: math.fsum(each.amounts.values()))
    return (
        f"One bar a day, stacked by {month.tag}, in {month.currency}: {', '.join(said)}. The dearest day is "
        f"{dearest.day} with {math.fsum(dearest.amounts.values()):,.2f}."
    )


def _step(highest: float) -> float:
    """Return a round distance between lines, about five of them up to `highest`."""
    if highest <= 0:
        return 0.2
    power: float = 10.0 ** math.floor(math.log10(highest / 5))
    return next(power * each for each in (1, 2, 5, 10) if power * each >= highest / 5)


def _amount(value: float, step: float) -> str:
    return f"{value:,.{max(0, -math.floor(math.log10(step)))}f}"
