"""A toy system for the faces' tests: clips that drift from what they observe, four frames in an index."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from longtake.clip import Clip, ClipRequest, ClipSpec, CodecSpec
from longtake.controls import Shot
from longtake.schemes import find_scheme
from longtake.system import Part, Stage, System

if TYPE_CHECKING:
    from torch import Tensor

SIDE, STRIDE = 8, 4
CALLS = "TOY_CALLS"  # where calls are counted, if anywhere


class Drift:
    """What it observed last, a little noise, and a brightness told by the prompt."""

    def __init__(self, spec: ClipSpec, slow: float) -> None:
        self.spec, self.slow = spec, slow

    def sample(self, request: ClipRequest) -> Clip:
        if CALLS in os.environ:  # a byte for every call, whichever process made it
            with open(os.environ[CALLS], "ab", buffering=0) as file:
                file.write(b".")
        time.sleep(self.slow)
        noise = request.noise.clip(request.samples, request.targets, request.frame)
        seen = request.observed
        mean = 0.5 if seen is None else seen.frames.mean(dim=1, keepdim=True)
        start = request.start
        if start is not None:
            mean = mean + (1 - request.strength) * (start.frames - mean)
        text = request.controls.at(request.targets).get("text")
        light = 0.0 if text is None else text[:, 0].view(1, -1, 1, 1, 1)
        return Clip((mean + 0.05 * noise + light).clamp(0, 1), request.targets)


class Blocks:
    """Means of 8x8 pixels and 4 frames; back again by repeating."""

    def __init__(self, spec: CodecSpec) -> None:
        self.spec = spec

    def encode(self, video: Tensor) -> Tensor:
        b, t, c, h, w = video.shape
        cells = video.reshape(b, t // STRIDE, STRIDE, c, h // SIDE, SIDE, w // SIDE, SIDE)
        return cells.mean(dim=(2, 5, 7))

    def decode(self, latents: Tensor) -> Tensor:
        wide = latents.repeat_interleave(SIDE, -1).repeat_interleave(SIDE, -2)
        return wide.repeat_interleave(STRIDE, 1)


class Letters:
    """A prompt is as bright as its first letter is late."""

    fingerprint = "letters"

    def encode(self, prompts: Sequence[str]) -> Tensor:
        import torch

        return torch.tensor([[(ord(p[:1].lower() or "a") - 97) / 100] for p in prompts])


class Halves:
    """Sentences share the time evenly."""

    def plan(self, brief: str, seconds: float) -> tuple[Shot, ...]:
        parts = [part.strip() for part in brief.split(".") if part.strip()] or [brief]
        return tuple(Shot(part, seconds / len(parts), cut=False) for part in parts)


def toy(
    *, window: int = 8, scheme: str = "", slow: float = 0.0, weights: str = "", plans: bool = False
) -> System:
    model = ClipSpec(window, (3, None, None), f"drift {window}")
    codec = CodecSpec(3, SIDE, STRIDE, (0, 0), "blocks")

    def make() -> Drift:
        if weights == "damaged":
            raise ValueError("not a safetensors file")
        return Drift(model, slow)

    return System(
        "toy",
        (
            Stage(
                find_scheme(scheme or f"autoregressive:step={window // 2}", window),
                {"clip": Part(model, make)},
                Part(codec, lambda: Blocks(codec)),
            ),
        ),
        encoder=Letters(),
        planner=Halves() if plans else None,
        size=(64, 48),
        canvas=lambda size: (-(-size[0] // SIDE) * SIDE, -(-size[1] // SIDE) * SIDE),
    )


def fixed(*, window: int = 8) -> System:
    """As `toy`, without a knob for the scheme."""
    return toy(window=window)


def wrong() -> str:
    return "not a system"
