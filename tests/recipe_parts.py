"""What the tests of recipes share: that a proof is sane, that the published size can be built; a bench to look at."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import nn

import longtake
from longtake.errors import InputError
from longtake.lab.catalogue import provable
from longtake.lab.prove import proof_of
from longtake.lab.takes import Takes


def check_proof(name: str) -> None:
    """Expectations compare arms that are described, and one asks that frames are read."""
    proof = proof_of(name)
    assert name in provable() and proof.expectations and proof.minutes <= 20
    sides = {side for e in proof.expectations for side in (e.less, e.more)}
    assert {side for side in sides if isinstance(side, str)} <= set(proof.arms)
    read = [e for e in proof.expectations if e.quantity.startswith("frames read")]
    assert read and all(e.less == 0.8 for e in read)
    assert all(e.words() and e.factor > 0 for e in proof.expectations)


def check_plan(name: str, frames: int = 200) -> dict[str, object]:
    """A film of more than 100 frames is planned, without weights; the total."""
    *steps, total = longtake.plan("the red square moves left", model=name, frames=frames)
    assert steps and total["calls"] == len(steps)
    return total


def paper_size(name: str, least: float, most: float) -> nn.Module:
    """The published size on the meta device, its parameters between `least` and `most` millions."""
    with torch.device("meta"):
        net: nn.Module = importlib.import_module(f"longtake.recipes.{name}").network("paper")
    count = sum(p.numel() for p in net.parameters()) / 1e6
    assert least < count < most, count
    return net


def check_recipe(name: str, least: float, most: float) -> None:
    """All of the above, and that a size that is not known is refused before anything is built."""
    check_proof(name)
    check_plan(name)
    paper_size(name, least, most)
    with pytest.raises(InputError, match="unknown size 'huge'"):
        longtake.load(name, size="huge")


class Bench:
    """A bench that trains nothing: takes of numbered frames, batches and losses to look at."""

    seed = 3

    def __init__(self) -> None:
        self.batches: dict[str, Any] = {}
        self.losses: dict[str, Any] = {}
        self.steps: dict[str, int] = {}

    def takes(self, world: str, count: int, frames: int, /, **knobs: Any) -> Takes:
        """Four takes whose frames hold their own number."""
        place = torch.arange(frames).float()[None, :, None, None, None]
        return Takes(place.expand(4, -1, 8, 8, 8).clone(), {}, ())

    def train(
        self, arm: str, net: Any, losses: Any, batch: Any, steps: int, **schedule: Any
    ) -> Any:
        """Keeps what would be trained."""
        self.batches[arm], self.losses[arm], self.steps[arm] = batch, losses, steps
        return iter(())
