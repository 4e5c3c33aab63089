"""Motion in the walker's world: flow of its figure's joints, and a net that learns to see it in latents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from longtake.lab.bench import Lab
    from longtake.lab.takes import Takes


def motion(joints: Tensor, later: Tensor, side: int = 8) -> Tensor:
    """Flow of a figure whose joints (n, 11, 2) come to lie at `later`: (n, 2, side, side), in places.

    A place moves as the joint next to it, and not at all where none is near.
    """
    centres = (torch.arange(side) + 0.5) / side
    grid = torch.cartesian_prod(centres, centres).flip(-1)  # x, y; rows first
    near, which = torch.cdist(grid.expand(len(joints), -1, -1), joints).min(-1)
    moved = (later - joints).gather(1, which[..., None].expand(-1, -1, 2)) * side
    moved = moved * (near < 0.1)[..., None]
    return moved.flip(-1).transpose(1, 2).unflatten(-1, (side, side))


def learn_flow(lab: Lab, takes: Takes, flow: nn.Module, far: int, steps: int) -> Iterator[Any]:
    """Trains `flow` on pairs of frames up to `far` apart, as the arm "flow"."""

    def pairs(step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([lab.seed, step])
        rows = torch.from_numpy(rng.integers(len(takes), size=64))
        first = rng.integers(takes.latents.shape[1] - far, size=64)
        places = torch.from_numpy(np.stack([first, first + rng.integers(far + 1, size=64)], 1))
        joints = takes.truth["joints"][rows[:, None], places]
        return takes.at(rows, places), motion(*joints.unbind(1))

    def missed(pair: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        frames, moved = pair
        return {"flow": (flow(*frames.unbind(1)) - moved).abs().mean((1, 2, 3))}

    yield from lab.train("flow", flow, missed, pairs, steps)
