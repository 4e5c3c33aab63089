"""The table of what metrics answer to: harms at no strength are none, ranks are right, misses are told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import respond  # noqa: E402


@pytest.mark.parametrize("name", sorted(respond.HARMS))
def test_a_harm_without_strength_is_none(name: str) -> None:
    film = torch.rand(respond.FRAMES + respond.SPARE, 3, 8, 8) * 255
    apart = []
    for strength in (0.0, 0.5, 1.0):
        made = respond.HARMS[name](film, strength, torch.Generator().manual_seed(0))
        assert made.shape == film[: respond.FRAMES].shape
        apart.append(float((made - film[: respond.FRAMES]).abs().mean()))
    assert apart[0] == pytest.approx(0, abs=1e-4) and apart[2] > 1
    assert apart[1] > 0.1 * apart[2]


def test_ranks_are_shared_by_equals() -> None:
    stats = pytest.importorskip("scipy.stats")
    for values in ([3.0, 1, 2, 5, 4], [1.0, 1, 2, 3, 3], [5.0, 4, 3, 2, 1]):
        wanted = stats.spearmanr(respond.LEVELS, values).statistic
        assert respond.spearman(respond.LEVELS, values) == pytest.approx(wanted)
    assert respond.spearman(respond.LEVELS, [2.0, 2, 2, 2, 2 + 1e-12]) == 0


def test_every_metric_is_foretold_and_misses_are_told() -> None:
    assert set(respond.SEES) == {*respond.METERS, "fvd"}
    assert all(set(seen) <= set(respond.HARMS) for seen in respond.SEES.values())
    right = {
        metric: {harm: float(respond.SEES[metric].get(harm, 0)) for harm in respond.HARMS}
        for metric in respond.SEES
    }
    told = {"films": 2, "table": right, "bias": {4: 3.0, 8: 1.5}}
    text = respond.page({"Worlds": told})
    assert text.count("none.") == 2 and "| **-1.00** |" in text and "4: 3, 8: 1.5" in text
    right["drift"]["colour"], right["frozen"]["noise"] = 0.7, -0.9
    text = respond.page({"Worlds": told})
    assert "`drift` of colour (+0.70)" in text and "`frozen` of noise (-0.90)" in text
