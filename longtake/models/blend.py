"""What lies between two frames, without a model: for drafts."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import FitError


@dataclasses.dataclass(frozen=True)
class Blend:
    """A cross-fade from the nearest observed frame before to the nearest after; beyond the last it stays.

    Codes cannot be mixed: there each target is the nearer of the two.
    """

    spec: ClipSpec

    def sample(self, request: ClipRequest) -> Clip:
        """The targets, by their places alone: no chance, no controls."""
        seen = request.observed
        if seen is None:
            raise FitError("nothing to blend", "Blend", "a step that observes something")
        frames = [self._between(seen, place) for place in request.targets]
        return Clip(torch.stack(frames, dim=1), request.targets)

    def _between(self, seen: Clip, place: int) -> Tensor:
        before = max((i for i in seen.at if i < place), default=None)
        after = min((i for i in seen.at if i > place), default=None)
        a = seen.at.index(after if before is None else before)
        b = seen.at.index(before if after is None else after)
        share = 0.0 if before is None or after is None else (place - before) / (after - before)
        if self.spec.codes:
            return seen.frames[:, b if share > 0.5 else a]
        return torch.lerp(seen.frames[:, a], seen.frames[:, b], share)
