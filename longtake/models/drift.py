"""Against drift: clip models that hold on to what a take began with.

Errors that a model makes it observes in the next call, and adds to. `NoiseAugmented` hides them from
it; the two here tell it, call after call, where the take came from.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from longtake.clip import Clip, ClipModel, ClipRequest, ClipSpec
from longtake.errors import InputError
from longtake.keys import fingerprint

LOOK = "look"  # mean and spread of a take's first frame, (2, b, 1, c, 1, 1)
FIRST, FIRST_AT = "first", "first at"  # a take's first frame, (b, 1, *frame), and its index, (1,)


@dataclasses.dataclass(frozen=True)
class Anchored:
    """Draws every frame's statistics towards those of the frame that its take began with.

    Mean and spread per channel, `amount` of the way (adaptive instance normalisation: Huang and Belongie
    2017, equation 8, in latents). Colour and contrast then cannot wander, nor follow a change of light.
    Frame by frame, so that a longer film still begins as a shorter one.
    """

    model: ClipModel
    amount: float

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= 1:
            raise InputError(f"amount={self.amount}", "Anchored", "0 to 1")

    @property
    def spec(self) -> ClipSpec:
        """The inner model's, under a fingerprint of its own."""
        inner = self.model.spec
        mark = fingerprint(["anchored", self.amount, inner.fingerprint])
        return dataclasses.replace(inner, fingerprint=mark)

    def sample(self, request: ClipRequest) -> Clip:
        """The inner model's clip, drawn towards the anchor; the frame that is the anchor stays."""
        clip, seen = self.model.sample(request), request.observed
        look = None if seen is None else seen.carry.get(LOOK)
        if look is None:
            first = _first(clip) if seen is None else _first(seen)
            look = torch.stack(_statistics(first.frames))
        mean, spread = _statistics(clip.frames)
        alike = (clip.frames - mean) / spread * look[1] + look[0]
        frames = torch.lerp(clip.frames, alike.to(clip.frames), self.amount)
        return Clip(frames, clip.at, {**clip.carry, LOOK: look})


@dataclasses.dataclass(frozen=True)
class Sunk:
    """Shows a model that observes any frames the one its take began with, beside what the scheme shows it.

    What attention sinks do for streaming transformers (Xiao et al. 2024, section 3.2), in frames: a call
    holds one frame less, and identity is looked up instead of handed on.
    """

    model: ClipModel

    @property
    def spec(self) -> ClipSpec:
        """The inner model's with a window that leaves room for the frame."""
        inner = self.model.spec
        mark = fingerprint(["sunk", inner.fingerprint])
        return dataclasses.replace(inner, window=inner.window - 1, fingerprint=mark)

    def sample(self, request: ClipRequest) -> Clip:
        seen = request.observed
        first = None if seen is None else _kept(seen)
        if seen is not None and first is not None and first.at[0] not in request.at:
            whole = dataclasses.replace(Clip.join([first, seen]), carry=seen.carry)
            request = dataclasses.replace(request, observed=whole)
        clip = self.model.sample(request)
        if first is None:
            first = _first(clip if seen is None else seen)
        at = torch.tensor(first.at)
        return dataclasses.replace(clip, carry={**clip.carry, FIRST: first.frames, FIRST_AT: at})


def _kept(seen: Clip) -> Clip | None:
    """The first frame as earlier calls kept it."""
    if FIRST not in seen.carry:
        return None
    return Clip(seen.carry[FIRST], (int(seen.carry[FIRST_AT]),))


def _first(clip: Clip) -> Clip:
    return clip.pick([min(clip.at)])


def _statistics(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of every frame and channel, (b, t, c, 1, 1); a flat channel has spread 1e-6."""
    dims = tuple(range(3, frames.ndim))
    return frames.mean(dims, keepdim=True), frames.std(dims, keepdim=True).clamp(min=1e-6)
