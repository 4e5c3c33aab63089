"""Index lists equal to those of the released sampler of Harvey et al. 2022 (flexible-video-diffusion-modeling).

The fixtures hold arguments (scheme, length, observed, max frames, step, levels) and what the released
sampler yields for them, each call's targets and observations as sets in rising order: the released one
repeats an observed index when it spreads few, and lists the nearest past first. Whole lists for some
arguments (`targets|observed` per call, runs as a-b), digests of the same text for many. Arguments at
which the released sampler fails (division by zero at step 1, a first clip longer than the film) or observes
all there is (long-range with room for one) are not in them; see `test_where_the_reference_fails`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from longtake.schemes import SCHEMES, Hierarchy, LongRange, Paradigm
from longtake.steps import Plan, Timeline

DATA = Path(__file__).parent / "data"
KINDS = ("autoregressive", "long-range", "hierarchy")


def runs(places: tuple[int, ...]) -> str:
    """Consecutive places as `a-b`."""
    out: list[list[int]] = []
    for place in places:
        if out and place == out[-1][-1] + 1:
            out[-1] = [out[-1][0], place]
        else:
            out.append([place])
    return " ".join("-".join(map(str, run)) for run in out)


def ours(kind: str, length: int, observed: int, window: int, step: int, levels: int) -> str:
    knobs: dict[str, Any] = {"levels": levels} if kind == "hierarchy" else {}
    scheme: Paradigm = SCHEMES[kind](window=window, step=step, **knobs)
    plan = Plan.of(scheme, Timeline(length, tuple(range(observed))))
    return ";".join(f"{runs(s.targets)}|{runs(s.observed)}" for s in plan.steps)


def test_whole_lists() -> None:
    cases = json.loads((DATA / "fdm_lists.json").read_text())
    assert {case[0] for case in cases} == set(KINDS)
    for *arguments, text in cases:
        assert ours(*arguments) == text, arguments


def test_digests() -> None:
    cases = json.loads((DATA / "fdm_digests.json").read_text())
    wrong = [
        (KINDS[kind], *rest)
        for kind, *rest, digest in cases
        if hashlib.sha256(ours(KINDS[kind], *rest).encode()).hexdigest()[:10] != digest
    ]
    assert len(cases) > 1000 and not wrong


def test_an_index_off_by_one_is_seen() -> None:
    case = next(c for c in json.loads((DATA / "fdm_lists.json").read_text()) if c[0] == "hierarchy")
    kind, length, observed, window, step, levels, text = case
    assert ours(kind, length + 1, observed, window, step, levels) != text


@pytest.mark.parametrize("levels", [2, 3, 4])
@pytest.mark.parametrize(
    ("length", "observed", "window", "step"),
    [(40, 3, 4, 1), (100, 0, 5, 4), (30, 0, 40, 7), (50, 36, 3, 2), (77, 1, 2, 1)],
)
def test_where_the_reference_fails(
    length: int, observed: int, window: int, step: int, levels: int
) -> None:
    given = tuple(range(observed))
    plan = Plan.of(Hierarchy(window, step, levels), Timeline(length, given))
    assert len(plan.writer) == length - observed
    for number, made in enumerate(plan.steps):
        assert made.size <= window and (made.observed or (number == 0 and not observed))


def test_long_range_keeps_to_its_window_with_one_observation() -> None:
    plan = Plan.of(LongRange(window=6, step=5), Timeline(50, (0, 1)))
    assert all(step.observed == (step.targets[0] - 1,) for step in plan.steps)
