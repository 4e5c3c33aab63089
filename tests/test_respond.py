"""The table of what metrics answer to: harms at no strength are none, ranks are right, misses are told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import respond  # noqa: E402


@pytest.mark.parametrize("name", sorted(respond.HARMS))
def test_a_harm_without_strength_is_none(name: str) -> None:
    film = torch.rand(respond.FRAMES, 3, 8, 8) * 255
    apart = []
    for strength in (0.0, 0.5, 1.0):
        made = respond.HARMS[name](film, strength, torch.Generator().manual_seed(0), 10)
        lost = strength / 2 * len(film) if name == "drop" else 0
        assert made.shape == (len(film) - lost, *film.shape[1:])
        apart.append(float((made - film[: len(made)]).abs().mean()))
    assert apart[0] == pytest.approx(0, abs=1e-4) and apart[2] > 1
    assert apart[1] > 0.1 * apart[2]


def test_ranks_are_shared_by_equals() -> None:
    stats = pytest.importorskip("scipy.stats")
    for values in ([3.0, 1, 2, 5, 4], [1.0, 1, 2, 3, 3], [5.0, 4, 3, 2, 1]):
        wanted = stats.spearmanr(respond.LEVELS, values).statistic
        assert respond.spearman(respond.LEVELS, values) == pytest.approx(wanted)
    assert respond.spearman(respond.LEVELS, [2.0, 2, 2, 2, 2 + 1e-12]) == 0


def told(**rows: dict[str, list[float]]) -> dict[str, Any]:
    """Figures of two films in which every metric does as foretold."""
    straight = list(respond.LEVELS)
    values = {
        metric: {
            name: [[sees.get(name, 0) * level for level in straight]] * 2 for name in respond.HARMS
        }
        for metric, sees in respond.SEES.items()
    }
    for metric, courses in rows.items():
        values[metric] |= {name: [course, course] for name, course in courses.items()}
    return {"films": 2, "values": values, "bias": {4: 3.0, 8: 1.5}}


def test_every_metric_is_foretold_and_misses_are_told() -> None:
    assert set(respond.SEES) == {*respond.METERS, "tfvd"}
    assert all(set(seen) <= set(respond.HARMS) for seen in respond.SEES.values())
    text = respond.page({"Worlds": told()})
    assert text.count("none.") == 2 and "| **-1.00** |" in text and "4: 3, 8: 1.5" in text
    wrong = told(drift={"colour": [0, 1, 2, 3, 2.5]}, frozen={"blur": [1.0, 0.8, 0.6, 0.4, 0.2]})
    text = respond.page({"Worlds": wrong})
    assert "`drift` of colour (+0.900)" in text and "`frozen` of blur (-1.000, 80%)" in text


def test_clips_are_as_many_at_all_strengths_and_from_all_over() -> None:
    whole, short = torch.arange(9.0)[:, None], torch.arange(5.0)[:, None]
    found = respond.spread([[whole, whole], [short, whole]])
    assert [[len(clips) for clips in row] for row in found] == [[5, 9], [5, 9]]
    assert found[0][0].flatten().tolist() == [0, 2, 4, 6, 8]


def test_what_hardly_moves_does_not_answer() -> None:
    little = told(frozen={"noise": [0.0, 0.02, 0.04, 0.06, 0.08]})
    assert respond.correlated(little["values"])["frozen"]["noise"] == 0
    more = told(frozen={"noise": [0.0, 0.02, 0.04, 0.06, 0.2]})
    assert respond.correlated(more["values"])["frozen"]["noise"] == 1
    silent = told()
    silent["values"]["frozen"]["noise"] = [[None] * 5, [0.0, 0.3, 0.5, 0.7, None]]
    assert respond.correlated(silent["values"])["frozen"]["noise"] == 1
