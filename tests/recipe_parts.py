"""What the tests of recipes share: that a proof is sane, and that the published size can be built."""

from __future__ import annotations

import importlib

import torch
from torch import nn

import longtake
from longtake.lab.catalogue import proven
from longtake.lab.prove import proof_of


def check_proof(name: str) -> None:
    """Expectations compare arms that are described, and one asks that frames are read."""
    proof = proof_of(name)
    assert name in proven() and proof.expectations and proof.minutes <= 20
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
