"""Clip models that hold a clip model and change what it is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from longtake.clip import Clip, ClipModel, ClipRequest, ClipSpec, SamplesBatches
from longtake.errors import FitError, InputError
from longtake.keys import fingerprint


@dataclasses.dataclass(frozen=True)
class NoiseAugmented:
    """Shows the model its observed frames under noise of spread `amount`.

    A model trained and sampled so relies less on fine detail of frames it made itself, which is
    where errors enter and grow from clip to clip (Ho et al. 2022, cascaded diffusion, section 4).
    The noise belongs to the observed frame: every call that reads it sees the same.
    """

    model: ClipModel
    amount: float

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise InputError(f"amount={self.amount}", "NoiseAugmented", "0 or more")

    @property
    def spec(self) -> ClipSpec:
        """The inner model's, under a fingerprint of its own."""
        inner = self.model.spec
        mark = fingerprint(["noise augmented", self.amount, inner.fingerprint])
        return dataclasses.replace(inner, fingerprint=mark)

    def sample(self, request: ClipRequest) -> Clip:
        return self.model.sample(self._noisy(request))

    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        """Together if the inner model can, else one by one."""
        noisy = [self._noisy(request) for request in requests]
        if isinstance(self.model, SamplesBatches):
            return self.model.sample_batch(noisy)
        return [self.model.sample(request) for request in noisy]

    def losses(self, request: ClipRequest, truth: Clip) -> Mapping[str, Tensor]:
        """The inner model's, on noisy observed frames and clean truth."""
        losses = getattr(self.model, "losses", None)
        if losses is None:
            raise FitError(f"{type(self.model).__name__} cannot be trained", "NoiseAugmented")
        named: Mapping[str, Tensor] = losses(self._noisy(request), truth)
        return named

    def _noisy(self, request: ClipRequest) -> ClipRequest:
        seen = request.observed
        if seen is None or not self.amount:
            return request
        frames = seen.frames
        noise = request.noise.clip(request.samples, seen.at, frames.shape[2:], "observed")
        seen = dataclasses.replace(seen, frames=frames + self.amount * noise.to(frames))
        return dataclasses.replace(request, observed=seen)
