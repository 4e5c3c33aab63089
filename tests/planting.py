"""Films of worlds with laws broken at known places, and how well a checker finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from longtake.worlds import make
from longtake.worlds.laws import check

Truth = dict[str, Tensor]
Plant = Callable[[Any, Truth, int, torch.Generator], None]
"""Changes a world's course of states (t ...) in place so that it breaks a law on the way to a frame."""


def caught(
    name: str, law: str, plant: Plant, *, films: int, frames: int = 48, **settings: Any
) -> tuple[int, list[str]]:
    """In how many of `films` the law was flagged near its break, and what was flagged elsewhere.

    A break leaves traces on up to two ways on either side, where changes of velocity are read.
    """
    hits, stray = 0, []
    for seed in range(films):
        rng = torch.Generator().manual_seed(seed)
        world: Any = make(name, seed=1000 + seed, **settings)
        first = int(torch.randint(0, 500, (1,), generator=rng))
        truth = world.truth(range(first, first + frames))
        at = int(torch.randint(8, frames - 8, (1,), generator=rng))
        plant(world, truth, at, rng)
        found = check(world, world.paint(truth)).violations
        hits += any(v.law == law and abs(v.frame - at) <= 2 for v in found)
        stray += [f"{seed}: {v} (at {at})" for v in found if v.frame < at - 2]
    return hits, stray


def false_alarms(name: str, *, films: int, frames: int = 100, **settings: Any) -> list[str]:
    """What is flagged in films that keep the laws."""
    found = []
    for seed in range(films):
        world: Any = make(name, seed=500 + seed, **settings)
        frames_ = world.render(range(37 * seed, 37 * seed + frames))
        found += [f"{seed}: {v}" for v in check(world, frames_).violations]
    return found


def pick(rng: torch.Generator, count: int) -> int:
    """One of `count`."""
    return int(torch.randint(0, count, (1,), generator=rng))


def sign(rng: torch.Generator) -> float:
    """1 or -1."""
    return 1.0 if pick(rng, 2) else -1.0
