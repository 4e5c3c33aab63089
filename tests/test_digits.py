"""Digits: what is read from pixels is the truth, and every planted break of a law is found."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from planting import Truth, caught, false_alarms, pick, sign

from longtake.worlds import make
from longtake.worlds.digits import FASTEST


def world(seed: int = 0, **settings: Any) -> Any:
    return make("digits", seed=seed, **settings)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 128)])
def test_pixels_tell_the_truth(size: tuple[int, int]) -> None:
    right = total = 0
    for seed, count in itertools.product(range(3), (1, 2, 3)):
        here = world(seed, size=size, count=count)
        truth = here.truth(range(0, 200, 4))
        seen = here.read(here.render(range(0, 200, 4)))
        off = (seen["position"][:, :count] - truth["position"]).abs().amax(-1) * 64
        right += int(((seen["digit"][:, :count] == truth["digit"]) & (off < 0.3)).sum())
        right += int((seen["digit"][:, count:] == -1).sum())
        total += seen["digit"].numel()
    assert right / total >= 0.99, (right, total)


def test_flight_is_straight_between_walls_and_speeds_change_at_them() -> None:
    here = world(3, fps=1000)
    truth = here.truth(range(20_000))
    place, speed = truth["position"].double(), truth["velocity"].double()
    moved = (place[1:] - place[:-1]) * 1000
    same = (speed[1:] == speed[:-1]).all(-1)
    assert (moved[same] - speed[1:][same]).abs().max() < 2e-4
    turns = (speed[1:] != speed[:-1]).sum(0)
    assert 0.05 < float(turns.float().mean() / 20) < 2
    assert (speed.abs() <= FASTEST + 1e-6).all()
    assert speed[:, 0, 0].abs().unique().numel() > 5  # chance, not a billiard
    assert ((speed[1:] * speed[:-1] < 0) == (speed[1:] != speed[:-1])).all()


def test_far_frames_cost_nothing() -> None:
    truth = world(1).truth([10**12, 10**12 + 1])
    assert (truth["position"][1] - truth["position"][0]).abs().max() <= FASTEST / 10 + 1e-6


def teleport(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    n, axis = pick(rng, truth["position"].shape[1]), pick(rng, 2)
    place = truth["position"][at:, n, axis]
    place += 0.3 if float(place[0]) < 0.5 else -0.3


def turn(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    """At rest in the open, then off at a speed that nothing gave."""
    n, axis = pick(rng, truth["position"].shape[1]), pick(rng, 2)
    place = truth["position"][:, n, axis]
    place[:] = 0.5
    place[at:] += 0.05 * sign(rng) * torch.arange(1, len(place) - at + 1).clamp(max=4)


def identity(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    n = pick(rng, truth["digit"].shape[1])
    truth["digit"][at:, n] = (truth["digit"][at, n] + 1 + pick(rng, 9)) % 10


def vanish(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    truth["position"][at : at + 1, pick(rng, truth["position"].shape[1])] = -9.0


BREAKS = {"teleport": teleport, "off-path": turn, "identity": identity, "vanishing": vanish}


@pytest.mark.parametrize("law", BREAKS)
def test_planted_breaks_are_found(law: str) -> None:
    hits, stray = caught("digits", law, BREAKS[law], films=40, frames=24)
    assert hits == 40
    assert not stray


@pytest.mark.parametrize("size", [(64, 64), (128, 96)])
def test_lawful_films_pass(size: tuple[int, int]) -> None:
    assert len(false_alarms("digits", films=8, size=size, count=3)) == 0  # of 800 frames
