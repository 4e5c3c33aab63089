"""Optical flow between frames, learned: in place of SPyNet (Ranjan and Black 2017) where frames are latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FlowNet(nn.Module):
    """Where each place of a frame has gone in another, in places, rows first.

    layers: each sees one place farther; a place must see as far as things move.
    """

    def __init__(self, channels: int, width: int = 48, layers: int = 5) -> None:
        super().__init__()
        widths = [2 * channels, *[width] * (layers - 1), 2]
        self.filters = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:], strict=False)
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, c, h, w) twice -> (n, 2, h, w)."""
        x = torch.cat([a, b], 1)
        for number, layer in enumerate(self.filters):
            x = layer(nn.functional.silu(x) if number else x)
        return x
