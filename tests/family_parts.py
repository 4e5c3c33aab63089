"""What the tests of the families share: requests for codes under a prompt, and nets that say something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from longtake.clip import Clip, ClipRequest, Noise
from longtake.controls import Clock, Controls, Cue
from longtake.steps import Indices

Net = TypeVar("Net", bound=nn.Module)


class Letters:
    """An encoder whose row for a prompt is its first letters."""

    fingerprint = "letters"

    def encode(self, prompts: Sequence[str]) -> Tensor:
        return torch.tensor([[float(ord(c)) / 50 for c in f"{p:3}"[:3]] for p in prompts])


def request(
    targets: Indices,
    observed: Clip | None = None,
    *,
    samples: Indices = (0,),
    frame: tuple[int, ...] = (1, 2, 3),
    prompt: str = "abc",
    seed: int = 1,
) -> ClipRequest:
    controls = Controls((Cue(0.0, None, prompt),), Letters(), clock=Clock(((0, 0.0),), 0.4))
    return ClipRequest(targets, observed, controls, Noise(seed), frame, samples, interval=0.4)


def codes(
    frames: int, *, seed: int = 0, frame: tuple[int, ...] = (1, 2, 3), samples: int = 1
) -> Tensor:
    """Any codes of five, (samples, frames, *frame)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 5, (samples, frames, *frame), generator=generator)


def shaken(net: Net, amount: float = 0.2) -> Net:
    """With noise on every weight: zero-initialised layers would hide what they are fed."""
    generator = torch.Generator().manual_seed(0)
    for p in net.parameters():
        p.data.add_(amount * torch.randn(p.shape, generator=generator))
    return net.eval()
