"""Length without observing: overlapping windows denoised together.

A pipeline is asked for the whole film as one clip. At every step its network sees windows no longer
than the clip it was made for, and where windows overlap their predictions are averaged (Bar-Tal et al.
2023, MultiDiffusion, equation 5, in time). Windows couple all frames: a longer film does not begin as a
shorter one, and the latents of the whole film are in memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from longtake.models.pretrained.instead import instead


def spans_of(length: int, size: int, step: int) -> list[tuple[int, int]]:
    """Windows [first, stop) of `size` every `step`; the last one ends with the film."""
    if length <= size:
        return [(0, length)]
    starts = [*range(0, length - size, step), length - size]
    return [(start, start + size) for start in starts]


def weights_of(size: int) -> Tensor:
    """How much a window's frames count, (size,): most in its middle, where a window sees both sides."""
    places = torch.arange(size)
    return torch.minimum(places + 1, size - places).float()


@contextlib.contextmanager
def codenoised(net: Any, size: int, step: int) -> Iterator[None]:
    """While it lasts, `net` predicts clips (b, c, s, h, w) longer than `size` window by window.

    Clips no longer than that it sees as ever.
    """
    forward = net.forward

    def windowed(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        length = hidden_states.shape[2]
        if length <= size:
            return forward(hidden_states, *args, **kwargs)
        total = torch.zeros_like(hidden_states, dtype=torch.float32)
        counted = torch.zeros(length, device=hidden_states.device)
        weights = weights_of(size).to(hidden_states.device)
        for first, stop in spans_of(length, size, step):
            made = forward(hidden_states[:, :, first:stop], *args, **kwargs)[0]
            total[:, :, first:stop] += made.float() * weights[:, None, None]
            counted[first:stop] += weights
        return ((total / counted[:, None, None]).to(hidden_states.dtype),)

    with instead(net, "forward", windowed):
        yield
