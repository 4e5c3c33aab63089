"""The probe's network: what stands still is read by a small convnet, what moves by a cost volume."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 64  # pixels of the square it sees
FRAMES = 8  # of a window
SPACING = 0.2  # seconds from one of them to the next
WIDTH = 64  # of its features
SHIFTS = range(-9, 10)  # pixels by which frames are compared, to the right
GAPS = (1, 3, 7)  # how many frames apart


def shrink(frames: Tensor) -> Tensor:
    """The middle square of pictures at SIDE x SIDE: (t, 3, h, w) uint8 or floats 0..255 alike, floats 0..1.

    The world counts in picture heights, so a wide picture is cut, not squeezed; of a high one the
    lower end is kept, where the land is.
    """
    height, width = frames.shape[-2:]
    side = min(height, width)
    left = (width - side) // 2
    square = frames[..., height - side :, left : left + side].float() / 255
    if side == SIDE:
        return square
    return F.interpolate(square, (SIDE, SIDE), mode="bilinear", antialias=side > SIDE)


def motion(luma: Tensor) -> Tensor:
    """How well frames agree when shifted (b, gaps*shifts, 15, 15), from brightness (b, t, h, w).

    Normalised cross-correlation of the fine structure over 8x8 patches: a cost volume, as optical
    flow networks use it, along x alone, for wind blows along x.
    """
    fine = luma - F.avg_pool2d(luma, 7, 1, 3, count_include_pad=False)
    fine = fine / (fine.square().mean((-1, -2), keepdim=True) + 1e-5).sqrt()
    reach = max(SHIFTS)
    wide = F.pad(fine, (reach, reach))
    planes = []
    for gap in GAPS:
        early, late = fine[:, :-gap], wide[:, gap:]
        power = _pool(early.square().mean(1))
        for shift in SHIFTS:
            begin = reach + shift
            there = late[..., begin : begin + luma.shape[-1]]
            both = _pool((early * there).mean(1))
            planes.append(both / (power * _pool(there.square().mean(1)) + 1e-3).sqrt())
    return torch.stack(planes, 1)


def _pool(field: Tensor) -> Tensor:
    return F.avg_pool2d(field[:, None], 8, 4)[:, 0]


class ProbeNet(nn.Module):
    """Windows (b, 8, 3, 64, 64) in 0..1 -> features (b, 64) and logits (b, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.look = nn.Sequential(
            _layer(15, 32, 2), _layer(32, 64, 2), _layer(64, 64), _layer(64, 96, 2), _layer(96, 96)
        )
        self.move = nn.Sequential(
            _layer(len(GAPS) * len(SHIFTS), 64, kernel=1), _layer(64, 64), _layer(64, 48, 2)
        )
        self.join = nn.Sequential(_layer(144, 96), _layer(96, 96, 2), _layer(96, 48, kernel=1))
        self.features = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(48 * 16, WIDTH), nn.LayerNorm(WIDTH), nn.GELU()
        )
        self.heads = nn.Linear(WIDTH, classes)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; logits stand in the order of the attributes' classes."""
        middle = windows[:, windows.shape[1] // 2]
        shifted = windows - 0.5
        spread = windows.std(1, correction=0)
        jump = (windows[:, 1:] - windows[:, :-1]).abs().amax(1)
        ends = shifted[:, [0, -1]].flatten(1, 2)
        seen = self.look(torch.cat([middle - 0.5, ends, 6 * spread, 4 * jump], 1))
        luma = windows.mean(2)
        moved = self.move(motion(luma))
        joined = self.join(torch.cat([seen, moved], 1))
        features = self.features(joined.flatten(1))
        return features, self.heads(features)


def _layer(into: int, out: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(into, out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(out // 16, out), nn.GELU())
