"""The report of `score`: one HTML page that needs nothing else, neither files nor scripts nor a network."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtake.metrics import Findings
    from longtake.metrics.watching import Point

COLOURS = ("#1f6fb2", "#c8501e", "#2c8a4b", "#8a4fb0", "#a0891c", "#b02c62")
_PLOTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Brightness", "grey levels", ("brightness",)),
    ("Colours", "share of red and of blue over brightness", ("red", "blue")),
    ("Contrast", "deviation within a frame, grey levels", ("contrast",)),
    ("Sharpness", "difference between neighbouring pixels, grey levels", ("sharpness",)),
    ("Change", "difference from the frame before, grey levels", ("change",)),
)
_WIDE, _HIGH, _LEFT, _BELOW = 860, 150, 46, 20
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; max-width: 920px;
  margin: 24px auto; padding: 0 16px; }
h1 { font-size: 24px; } h2 { font-size: 18px; margin-top: 32px; } h3 { font-size: 15px; margin: 18px 0 2px; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: 4px 10px 4px 0;
  border-bottom: 1px solid #ddd; vertical-align: top; } td.n { font-variant-numeric: tabular-nums; }
code, pre { font: 12.5px/1.4 ui-monospace, monospace; } pre { background: #f4f4f4; padding: 10px;
  overflow-x: auto; } .dim { color: #666; font-size: 13px; overflow-wrap: anywhere; }
.sheet { display: flex; flex-wrap: wrap; gap: 6px; } figure { margin: 0; font-size: 12px; color: #555; }
figure img { display: block; height: 84px; border: 3px solid transparent; }
figure.worst img { border-color: #d22; } figure.worst { color: #b11; max-width: 170px; }
svg { overflow: visible; } svg text { font: 11px system-ui, sans-serif; fill: #555; }
"""


@dataclasses.dataclass(frozen=True)
class Shown:
    """One film as a page shows it.

    pictures, worst: seconds, a PNG's bytes, and for the worst what is wrong.
    """

    name: str
    findings: Findings
    seconds: float
    at: Sequence[float]
    curves: Mapping[str, tuple[list[float], list[float]]]
    points: Sequence[Point]
    pictures: Sequence[tuple[float, bytes]]
    worst: Sequence[tuple[float, bytes, str]]
    facts: str


def page(films: Sequence[Shown], command: str, version: str) -> str:
    """The whole page."""
    title = "Scores of " + ", ".join(film.name for film in films)
    parts = [
        f"<h1>{escape(title)}</h1>",
        _table(films),
        "<h2>What stands out</h2>",
        *(_moments(film, len(films) > 1) for film in films),
        "<h2>Over time</h2>",
        _legend(films),
        *(_plot(films, *plot) for plot in _PLOTS),
        _lags(films),
        "<h2>Pictures</h2>",
        *(_sheet(film) for film in films),
        "<h2>How to measure this again</h2>",
        f"<pre>{escape(command)}</pre>",
        "".join(f'<p class="dim">{escape(film.facts)}</p>' for film in films),
        f'<p class="dim">longtake {escape(version)}. A score compares only with scores of the same protocol.</p>',
    ]
    body = "\n".join(part for part in parts if part)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(films: Sequence[Shown]) -> str:
    names = list(dict.fromkeys(name for film in films for name in film.findings.scores))
    head = "".join(f"<th>{escape(film.name)}</th>" for film in films)
    rows = [f"<tr><th>metric</th>{head}<th>better</th><th>protocol</th></tr>"]
    for name in names:
        scores = [film.findings.scores.get(name) for film in films]
        cells = "".join(
            "<td>-</td>"
            if score is None
            else f'<td class="n">{score.value:.4g}<br><span class="dim">{escape(score.verdict)}</span></td>'
            for score in scores
        )
        known = [score for score in scores if score is not None]
        protocols = "<br>".join(dict.fromkeys(escape(score.protocol) for score in known))
        better = known[0].better or "neither"
        rows.append(
            f'<tr><td>{escape(name)}</td>{cells}<td>{better}</td><td class="dim">{protocols}</td></tr>'
        )
    silent = "".join(
        f'<p class="dim">{escape(film.name)}, {escape(name)}: not told. {escape(why)}</p>'
        for film in films
        for name, why in film.findings.silent.items()
    )
    return f"<table>{''.join(rows)}</table>{silent}"


def _moments(film: Shown, named: bool) -> str:
    head = f"<h3>{escape(film.name)}</h3>" if named else ""
    if not film.points:
        return f"{head}<p>Nothing.</p>"
    rows = []
    for point in film.points:
        time = f"{point.at:.1f} s"
        if point.until > point.at:
            time += f" to {point.until:.1f} s"
        rows.append(f"<li><b>{time}</b> {escape(point.text)}</li>")
    return f"{head}<ul>{''.join(rows)}</ul>"


def _legend(films: Sequence[Shown]) -> str:
    if len(films) == 1:
        return '<p class="dim">The band is the deviation within a point; red lines mark what stands out.</p>'
    items = (
        f'<span style="color:{COLOURS[n % len(COLOURS)]}">&#9632; {escape(film.name)}</span>'
        for n, film in enumerate(films)
    )
    return f"<p>{' &nbsp; '.join(items)}</p>"


def _plot(films: Sequence[Shown], title: str, unit: str, names: tuple[str, ...]) -> str:
    lines = []
    for number, film in enumerate(films):
        for place, name in enumerate(names):
            values, band = film.curves[name]
            if len(names) > 1:  # colours: over brightness, so that light does not count
                light = [max(level, 1.0) for level in film.curves["brightness"][0]]
                values = [value / level for value, level in zip(values, light, strict=True)]
                band = [value / level for value, level in zip(band, light, strict=True)]
            colour = COLOURS[number % len(COLOURS)]
            if len(films) == 1 and len(names) > 1:
                colour = ("#c03028", "#2858c0")[place]
            lines.append((film.at, values, band, colour))
    marks = films[0].points if len(films) == 1 else ()
    longest = max(film.seconds for film in films)
    drawn = _axes(lines, longest, marks)
    return f'<h3>{title} <span class="dim">{unit}</span></h3>{drawn}'


def _lags(films: Sequence[Shown]) -> str:
    lines = []
    for number, film in enumerate(films):
        score = film.findings.scores.get("colours")
        if score is not None:
            seconds, means = zip(*score.detail["course"], strict=True)
            colour = COLOURS[number % len(COLOURS)]
            lines.append((list(seconds), list(means), [0.0] * len(means), colour))
    if not lines:
        return ""
    unit = "intersection of histograms of frames so many seconds apart"
    drawn = _axes(lines, max(line[0][-1] for line in lines), ())
    return f'<h3>Colours by lag <span class="dim">{unit}</span></h3>{drawn}'


_Line = tuple[Sequence[float], Sequence[float], Sequence[float], str]


def _axes(lines: Sequence[_Line], longest: float, marks: Sequence[Point]) -> str:
    """Lines with bands over seconds, as SVG."""
    low = min(v - b for _, values, band, _ in lines for v, b in zip(values, band, strict=True))
    high = max(v + b for _, values, band, _ in lines for v, b in zip(values, band, strict=True))
    room = max(high - low, 1e-3 * max(abs(high), 1e-3)) * 0.05
    low, high = low - room, high + room

    def x(seconds: float) -> float:
        return _LEFT + (_WIDE - _LEFT - 8) * seconds / max(longest, 1e-9)

    def y(value: float) -> float:
        return 6 + (_HIGH - _BELOW - 6) * (high - value) / (high - low)

    drawn = []
    for value in _ticks(low, high, 4):
        drawn.append(f'<path d="M{_LEFT} {y(value):.1f}H{_WIDE - 8}" stroke="#e4e4e4"/>')
        drawn.append(
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>'
        )
    for value in _ticks(0, longest, 8):
        drawn.append(
            f'<text x="{x(value):.1f}" y="{_HIGH - 4}" text-anchor="middle">{value:g} s</text>'
        )
    for point in marks:
        if point.until > point.at:
            wide = x(min(point.until, longest)) - x(point.at)
            drawn.append(
                f'<rect x="{x(point.at):.1f}" y="6" width="{wide:.1f}" height="{_HIGH - _BELOW - 6}" fill="#d22" opacity=".10"/>'
            )
        drawn.append(
            f'<path d="M{x(point.at):.1f} 6V{_HIGH - _BELOW}" stroke="#d22"><title>{escape(point.text)}</title></path>'
        )
    for seconds, values, band, colour in lines:
        over = [f"{x(s):.1f},{y(v + b):.1f}" for s, v, b in zip(seconds, values, band, strict=True)]
        under = [
            f"{x(s):.1f},{y(v - b):.1f}" for s, v, b in zip(seconds, values, band, strict=True)
        ]
        line = [f"{x(s):.1f},{y(v):.1f}" for s, v in zip(seconds, values, strict=True)]
        if any(band):
            drawn.append(
                f'<polygon points="{" ".join(over + under[::-1])}" fill="{colour}" opacity=".18"/>'
            )
        drawn.append(
            f'<polyline points="{" ".join(line)}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
        )
    return f'<svg viewBox="0 0 {_WIDE} {_HIGH}" width="100%">{"".join(drawn)}</svg>'


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers between two values."""
    span = max(high - low, 1e-12)
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _sheet(film: Shown) -> str:
    cells = [(at, png, "", "") for at, png in film.pictures]
    cells += [(at, png, text, ' class="worst"') for at, png, text in film.worst]
    cells.sort(key=lambda cell: cell[0])
    drawn = []
    for at, png, text, kind in cells:
        data = base64.b64encode(png).decode()
        told = f"{at:.1f} s" + (f": {escape(text)}" if text else "")
        drawn.append(
            f'<figure{kind}><img src="data:image/png;base64,{data}" alt="{told}"><figcaption>{told}</figcaption></figure>'
        )
    return f'<h3>{escape(film.name)}</h3><div class="sheet">{"".join(drawn)}</div>'
