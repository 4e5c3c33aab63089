"""What the tests of recipes ask of every one of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

import longtake
from longtake.errors import InputError
from longtake.lab.takes import Takes
from longtake.steps import Plan, Timeline
from longtake.worlds import WORLDS


def stands(name: str, net: Callable[[str], Any], paper: tuple[float, float]) -> None:
    """It plans, knows its sizes, and its proof compares arms that it has.

    paper: least and most weights of the published size, which is built without memory.
    """
    recipe = importlib.import_module(f"longtake.recipes.{name}")
    system = longtake.load(name)
    plan = Plan.of(system.stages[0].scheme, Timeline(100))
    assert sorted(i for step in plan.steps for i in step.targets) == list(range(100))
    with pytest.raises(InputError, match="unknown size 'huge'"):
        longtake.load(name, size="huge")
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in net(size).parameters()) for size in ("paper", "proof")]
    assert paper[0] <= sizes[0] <= paper[1] and sizes[1] < 6e6, sizes
    proof = recipe.PROOF
    sides = {side for e in proof.expectations for side in (e.less, e.more)}
    assert {side for side in sides if isinstance(side, str)} <= set(proof.arms)
    assert proof.world in WORLDS and proof.minutes <= 20
    assert any(e.less == 0.8 and e.quantity.find("frames read") >= 0 for e in proof.expectations)


class Bench:
    """A bench that trains nothing: takes of numbered frames, batches and losses to look at."""

    seed = 3

    def __init__(self) -> None:
        self.batches: dict[str, Any] = {}
        self.losses: dict[str, Any] = {}
        self.steps: dict[str, int] = {}

    def takes(self, world: str, count: int, frames: int, **knobs: Any) -> Takes:
        """Four takes whose frames hold their own number."""
        place = torch.arange(frames).float()[None, :, None, None, None]
        return Takes(place.expand(4, -1, 8, 8, 8).clone(), {}, ())

    def train(self, arm: str, net: Any, losses: Any, batch: Any, steps: int) -> Any:
        """Keeps what would be trained."""
        self.batches[arm], self.losses[arm], self.steps[arm] = batch, losses, steps
        return iter(())
