"""Ramps of light and colour: their seconds, what they are, and that cuts and swings are none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from longtake.metrics.ramps import MOST, changes, ramps

RATE = 10.0


def course(count: int = 600, level: float = 100.0) -> Tensor:
    """Looks (count, 6) that stand still but for a little noise."""
    dice = torch.Generator().manual_seed(count)
    rows = torch.full((count, 6), level, dtype=torch.float64)
    return rows * (1 + 2e-3 * torch.randn(count, 6, generator=dice, dtype=torch.float64))


def ramped(rows: Tensor, begin: float, seconds: float, gains: dict[int, float]) -> Tensor:
    """Columns that go to so many times what they were."""
    found = rows.clone()
    share = ((torch.arange(len(rows)) - begin * RATE) / (seconds * RATE)).clamp(0, 1)
    for column, gain in gains.items():
        found[:, column] *= 1 + share * (gain - 1)
    return found


LIGHT = dict.fromkeys((0, 1, 2, 3), 0.6)


@pytest.mark.parametrize(("begin", "seconds"), [(3.0, 1.5), (10.0, 4.0), (30.0, 12.0), (50.0, 6.0)])
@pytest.mark.parametrize(("gains", "name"), [({1: 1.4, 3: 0.6}, "colour"), (LIGHT, "brightness")])
def test_a_ramp_is_found_where_it_is(
    begin: float, seconds: float, gains: dict[int, float], name: str
) -> None:
    (found,) = ramps(ramped(course(), begin, seconds, gains), 1 / RATE)
    assert found.name == name
    near = 0.5 + 0.1 * seconds
    assert found.begin == pytest.approx(begin, abs=near)
    assert found.end == pytest.approx(begin + seconds, abs=near)


def test_two_ramps_are_two_and_what_comes_back_is_seen() -> None:
    there = ramped(course(900), 20, 4, LIGHT)
    back = ramped(there, 60, 5, dict.fromkeys(LIGHT, 1 / 0.6))
    first, second = ramps(back, 1 / RATE)
    assert (first.begin, second.begin) == (pytest.approx(20, abs=1), pytest.approx(60, abs=1))


def test_what_is_no_ramp() -> None:
    still = course()
    assert ramps(still, 1 / RATE) == []
    cut = still.clone()
    cut[300:, :4] *= 0.5
    assert ramps(cut, 1 / RATE) == []
    time = torch.arange(600, dtype=torch.float64)[:, None] / RATE
    swinging = still * (1 + 0.2 * torch.sin(2 * math.pi * time / 5))
    assert len(ramps(swinging, 1 / RATE)) <= MOST
    for count in (3, 4, 9, 20):
        assert ramps(course(count), 1 / RATE) == []


def test_changes_are_logarithms_of_ratios() -> None:
    early, late = torch.full((6,), 92.0), torch.full((6,), 192.0)
    found = changes(early, late)
    assert found["brightness"] == pytest.approx(math.log(2)) and found["colour"] == 0
