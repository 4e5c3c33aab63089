"""A film's noise taken apart: what all frames share, by a net of pictures; what is each frame's own, by another.

VideoFusion (Luo et al. 2023, section 3.2), for `Mixed` noise whose frame in the middle of the targets is the
shared noise alone, on a variance-preserving path, predicting eps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Decomposed(nn.Module):
    """eps = sqrt(share) b + sqrt(1 - share) r, b found from one frame and taken out before r is sought.

    base, residual: `FrameNet`s; base is shown the middle frame of the targets alone, so a net trained
    on pictures will do. The residual's loss does not train the base through what was taken out.
    """

    def __init__(self, base: nn.Module, residual: nn.Module, share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise ValueError(f"share={share}; try 0.5")
        self.base, self.residual, self.share = base, residual, share
        self.shape = residual.shape

    def forward(
        self,
        x: Tensor,
        level: Tensor,
        observed: Tensor,
        times: Tensor,
        text: Tensor,
        clean: Tensor,
        **tracks: Tensor,
    ) -> Tensor:
        """As `FrameNet`: noise of every frame, (b, t, c, h, w)."""
        row = torch.arange(len(x), device=x.device)
        middle = centre(observed)

        def one(y: Tensor) -> Tensor:
            return y[row, middle][:, None]

        alone = [one(y) for y in (x, level, observed, times, text, clean)]
        common = self.base(*alone, **{name: one(track) for name, track in tracks.items()})
        is_middle = torch.zeros_like(observed, dtype=torch.bool)
        is_middle[row, middle] = True
        share = torch.where(is_middle, 1.0, self.share)[:, :, None, None, None]
        # sigma of the path; 0 at observed frames, which have no noise to take out.
        sigma = (level * math.pi / 2).sin()[:, :, None, None, None]
        left = x - share.sqrt() * sigma * common.detach()
        own = self.residual(left, level, observed, times, text, clean, **tracks)
        return share.sqrt() * common + (1 - share).sqrt() * own


def centre(observed: Tensor) -> Tensor:
    """(b, t) flags -> (b,): where the middle one of a row's targets stands, the later one of two."""
    targets = observed == 0
    half = targets.sum(1, keepdim=True) // 2
    return (targets & (targets.cumsum(1) - 1 == half)).int().argmax(1)
