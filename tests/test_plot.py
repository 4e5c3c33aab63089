"""A proof's plot: every number is drawn where it belongs, in an SVG that stands by itself."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

from longtake.lab.plot import INKS, _apart, _ticks, plot
from longtake.system import Curve, Measured

SVG = "{http://www.w3.org/2000/svg}"
CURVES = [
    Curve("tfvd", "tree", "frame", (0.0, 100.0, 200.0), (10.0, 10.0, 10.0)),
    Curve("tfvd", "chain", "frame", (0.0, 100.0, 200.0), (10.0, math.nan, 40.0)),
]
NUMBERS = [
    Measured("rounds", "tree", 3.0),
    Measured("rounds", "chain", 57.0),
    Measured("rounds", "<none>", math.nan),
    Measured("tfvd", "tree", 10.0),
]


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # our own


def words(root: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in root.iter(f"{SVG}text")]


def test_lines_rise_where_numbers_do() -> None:
    root = parsed(plot([], CURVES))
    lines = {p.get("stroke"): p.get("d") for p in root.iter(f"{SVG}path") if p.get("fill")}
    flat, rising = (
        [tuple(map(float, point.split())) for point in re.split("[ML]", lines[ink] or "")[1:]]
        for ink in INKS[:2]
    )
    assert [y for _, y in flat] == [flat[0][1]] * 3
    assert len(rising) == 2, "what is no number is left out"
    assert rising[0] == flat[0] and rising[1][0] == flat[2][0]
    base = (
        max(y for _, y in flat) + (flat[0][1] - rising[1][1]) / 3
    )  # from zero: 10 is a third of 30
    assert base > flat[0][1] > rising[1][1]
    assert {"tfvd along frame", "tree", "chain"} <= set(words(root))


def test_bars_where_there_are_no_curves() -> None:
    root = parsed(plot(NUMBERS, CURVES, ("tree", "chain", "<none>")))
    bars = {bar.get("fill"): float(bar.get("width") or 0) for bar in root.iter(f"{SVG}rect")}
    assert set(bars) == set(INKS[:2])
    assert math.isclose(bars[INKS[1]] / bars[INKS[0]], 57 / 3, rel_tol=0.01)
    assert words(root).count("tfvd") == 0, "it has its lines"
    assert {"rounds", "57", "no number", "<none>"} <= set(words(root))


def test_it_stands_by_itself_on_either_paper() -> None:
    text = plot(NUMBERS, CURVES)
    assert "prefers-color-scheme:dark" in text and len(text) < 20_000
    assert "href" not in text and "url(" not in text and "<script" not in text
    assert len(plot([], [])) > 50

    def luminance(ink: str) -> float:
        parts = [int(ink[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [((v + 0.055) / 1.055) ** 2.4 if v > 0.04 else v / 12.92 for v in parts]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for ink in INKS:
        light, dark = 1.05 / (luminance(ink) + 0.05), (luminance(ink) + 0.05) / 0.056
        assert light >= 3 and dark >= 3, (ink, light, dark)


def test_arms_past_the_colours_are_dashed() -> None:
    rows = [Curve("q", f"arm {n}", "x", (0.0, 1.0), (n, n)) for n in range(2 * len(INKS))]
    lines = [p for p in parsed(plot([], rows)).iter(f"{SVG}path") if p.get("fill")]
    pens = {(line.get("stroke"), line.get("stroke-dasharray")) for line in lines}
    assert len(pens) == len(rows)


def test_names_do_not_touch() -> None:
    places = _apart([5.0, 5.0, 6.0, 90.0])
    assert all(b - a >= 13 for a, b in itertools.pairwise(places)) and places[0] == 5


def test_ticks_are_round_and_few() -> None:
    for low, high in ((0, 1), (0, 343), (-0.02, 0.5), (3, 3.001), (0, 1e9)):
        ticks = _ticks(low, high)
        assert 2 <= len(ticks) <= 8 and low - 1e-9 <= ticks[0] and ticks[-1] <= high * (1 + 1e-9)
    assert _ticks(2, 2) == [2]
