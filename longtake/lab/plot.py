"""A proof's plot: a small SVG that stands by itself, and is read on light and on dark paper.

A panel for every quantity: lines where there are curves, bars of the arms where there are only
numbers. Arms keep their colour throughout and are named where they end.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from html import escape

from longtake.system import Curve, Measured

# Grey enough for either paper (contrast 3 and more on both), and told apart without red or green.
INKS = ("#3987e5", "#d9710f", "#1f9e89", "#b65fcf", "#d1495b", "#8a7a3c", "#6d7f92", "#4f6fae")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
WIDTH, ROW, EDGE, NAMES = 340, 18, 10, 96  # of a panel; of a bar; around; for the arms' names
_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#52514e}.head{font-weight:600;fill:#1d1d1b}"
    ".axis{stroke:#8b8a84;stroke-width:1}.grid{stroke:#8b8a84;stroke-opacity:.25}"
    "@media(prefers-color-scheme:dark){text{fill:#c3c2b7}.head{fill:#f4f3ee}}"
)

Points = list[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Panel:
    """A drawing and how tall it is."""

    body: str
    height: float


def plot(measured: Sequence[Measured], curves: Sequence[Curve], arms: Sequence[str] = ()) -> str:
    """The SVG. arms: in the order of their colours; others follow as they come."""
    met = [curve.arm for curve in curves] + [row.arm for row in measured]
    known = tuple(dict.fromkeys([*arms, *met]))
    drawn = {curve.quantity for curve in curves}
    panels = [*_lined(curves, known)]
    for quantity in dict.fromkeys(row.quantity for row in measured if row.quantity not in drawn):
        panels.append(_bars(quantity, [row for row in measured if row.quantity == quantity], known))
    return _sheet(panels)


def _sheet(panels: Sequence[Panel]) -> str:
    """Panels in two columns, each put where there is more room."""
    heights, placed = [0.0, 0.0], []
    for panel in panels:
        column = heights.index(min(heights))
        x = EDGE + column * (WIDTH + 2 * EDGE)
        placed.append(f'<g transform="translate({x},{heights[column] + EDGE:g})">{panel.body}</g>')
        heights[column] += panel.height + 2 * EDGE
    columns = 1 if len(panels) < 2 else 2
    width, height = columns * (WIDTH + 2 * EDGE), max(heights)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" '
        f'width="{width}" height="{height:g}" role="img"><style>{_STYLE}</style>'
        f"{''.join(placed)}</svg>\n"
    )


def _lined(curves: Sequence[Curve], known: Sequence[str]) -> Iterator[Panel]:
    """A panel for every quantity along an axis."""
    for quantity, axis in dict.fromkeys((curve.quantity, curve.axis) for curve in curves):
        same = [c for c in curves if (c.quantity, c.axis) == (quantity, axis)]
        shown = [(curve.arm, _finite(curve)) for curve in same]
        yield _lines(f"{quantity} along {axis}", [row for row in shown if row[1]], known)


def _finite(curve: Curve) -> Points:
    pairs = zip(curve.x, curve.y, strict=True)
    return [(x, y) for x, y in pairs if math.isfinite(x + y)]


def _lines(title: str, rows: Sequence[tuple[str, Points]], known: Sequence[str]) -> Panel:
    """Lines with the arms' names at their ends, from zero where all is positive."""
    top, low, left = 20.0, 150.0, 34.0
    right = WIDTH - NAMES
    if not rows:
        return Panel(_text(0, 11, title, "head") + _text(0, 28, "no numbers"), 32)
    xs, ys = zip(*(point for _, points in rows for point in points), strict=True)
    first, last = min(xs), max(xs)
    floor, roof = min(0.0, *ys), max(0.0, *ys)
    across = (right - left) / ((last - first) or 1)
    upward = (low - top) / ((roof - floor) or 1)
    parts = [_text(0, 11, title, "head")]
    for value in _ticks(floor, roof):
        y = low - (value - floor) * upward
        style = "axis" if value == 0 else "grid"
        parts.append(f'<path class="{style}" d="M{left:g} {y:.1f}H{right:g}"/>')
        parts.append(_text(left - 4, y + 4, f"{value:g}", anchor="end"))
    for value in _ticks(first, last):
        x = left + (value - first) * across
        parts.append(_text(x, low + 14, f"{value:g}", anchor="middle"))
    ends = []
    for arm, points in rows:
        ink, dash = _pen(arm, known)
        places = [(left + (x - first) * across, low - (y - floor) * upward) for x, y in points]
        course = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(
            f'<path d="M{course}" fill="none" stroke="{ink}" stroke-width="2" '
            f'stroke-linejoin="round"{dash}/>'
        )
        ends.append((places[-1][1], arm, ink))
    ends.sort()
    heights = _apart([end[0] for end in ends])
    for y, (at, arm, ink) in zip(heights, ends, strict=True):
        parts.append(f'<path d="M{right + 3:g} {at:.1f}L{right + 12:g} {y:.1f}" stroke="{ink}"/>')
        parts.append(_text(right + 15, y + 4, _short(arm)))
    return Panel("".join(parts), max(low + 18, heights[-1] + 6))


def _bars(quantity: str, rows: Sequence[Measured], known: Sequence[str]) -> Panel:
    """A bar an arm with its number, from zero."""
    values = [row.value for row in rows if math.isfinite(row.value)] or [0.0]
    floor, roof = min(0.0, *values), max(0.0, *values)
    left, right = float(NAMES), WIDTH - 44.0
    scale = (right - left) / ((roof - floor) or 1)
    zero = left - floor * scale
    parts = [_text(0, 11, quantity, "head")]
    for n, row in enumerate(rows):
        y = 20 + n * ROW
        ink, _ = _pen(row.arm, known)
        parts.append(_text(left - 6, y + 11, _short(row.arm), anchor="end"))
        if not math.isfinite(row.value):
            parts.append(_text(zero + 4, y + 11, "no number"))
            continue
        end = zero + row.value * scale
        size = f'width="{max(abs(end - zero), 1):.1f}" height="{ROW - 5}"'
        parts.append(f'<rect x="{min(end, zero):.1f}" y="{y}" {size} rx="2" fill="{ink}"/>')
        parts.append(_text(max(end, zero) + 4, y + 11, f"{row.value:.3g}"))
    bottom = 20 + len(rows) * ROW
    parts.append(f'<path class="axis" d="M{zero:.1f} 17V{bottom}"/>')
    return Panel("".join(parts), bottom)


def _pen(arm: str, known: Sequence[str]) -> tuple[str, str]:
    """An arm's colour; and its dashes, once colours come round again."""
    place = known.index(arm)
    dash = DASHES[place // len(INKS) % len(DASHES)]
    return INKS[place % len(INKS)], f' stroke-dasharray="{dash}"' if dash else ""


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between the two."""
    if low == high:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = max(s * power for s in (1, 2, 5) if s * power <= (high - low) / 3)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _apart(places: Sequence[float], gap: float = 13) -> list[float]:
    """Rising places, moved down where they would touch."""
    found: list[float] = []
    for place in sorted(places):
        found.append(max(place, found[-1] + gap) if found else place)
    return found


def _short(name: str, most: int = 15) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _text(x: float, y: float, words: str, kind: str = "", *, anchor: str = "") -> str:
    marks = f' class="{kind}"' if kind else ""
    marks += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{marks}>{escape(words)}</text>'
