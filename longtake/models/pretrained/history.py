"""History guidance: what the past says about what comes is weighed more, against errors that add up.

v0 + scale (v - v0), where v0 is what the network predicts when it knows nothing of the past (Song et
al. 2025, "History-guided video diffusion", equation 5, its vanilla form). Not knowing is what the network met
in training: pure noise at the last noise level under diffusion forcing, an empty past where films begin.
Every prediction then costs two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from longtake.models.pretrained.instead import instead

Told = Mapping[str, Any]  # what a network is called with
Forget = Callable[[Told], Told | None]  # the same without the past; None where there is no past
NEAR = "latents_clean"  # FramePack: the picture, then the latent frame just before
PASTS = ("latents_history_short", "latents_history_mid", "latents_history_long")
COARSE = ("latents_history_2x", "latents_history_4x")


@contextlib.contextmanager
def guided_by_past(net: Any, scale: float, forget: Forget) -> Iterator[None]:
    """While it lasts, `net` predicts under history guidance."""
    forward = net.forward

    def guided(*args: Any, **told: Any) -> Any:
        full = forward(*args, **told)
        alone = None if args else forget(told)
        if alone is None:
            return full
        without = forward(**alone)[0]
        return (without + scale * (full[0] - without),)

    with instead(net, "forward", guided):
        yield


def noisy_prefix(noise: Tensor, seen: int, scheduler: Any) -> Forget:
    """Of diffusion forcing: the first `seen` frames are `noise` (b, c, s, h, w) at a scheduler's first time."""

    def forget(told: Told) -> Told | None:
        x, time = told["hidden_states"], told["timestep"]
        if x.shape[2] != noise.shape[2] or time.ndim != 2 or not seen:
            return None
        x, time = x.clone(), time.clone()
        x[:, :, :seen] = noise[:, :, :seen].to(x)
        time[:, :seen] = scheduler.timesteps[0].to(time)
        return {**told, "hidden_states": x, "timestep": time}

    return forget


def empty_past(told: Told) -> Told | None:
    """Of chunks and sections: zeros, as when a film begins; a picture it began with stays."""
    empty = {name: torch.zeros_like(told[name]) for name in (*PASTS, *COARSE) if name in told}
    if NEAR in told:
        empty[NEAR] = told[NEAR][:, :, :1].expand_as(told[NEAR])
    known = any(bool(told[name].any()) for name in empty if name != NEAR)
    return {**told, **empty} if known else None
