"""Critics: scores of how real frames look, of single frames, few sparse ones, pairs, clips and patches.

All take frames (b, t, c, h, w) and seconds (t,), and answer (b,). `frames` is how many they look at, None
for as many as there are.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.dit import waves


@dataclasses.dataclass(frozen=True)
class CriticShape:
    """Sizes: channels of a frame; widths, finest first, each level half the size of the one before."""

    channels: int = 3
    widths: tuple[int, ...] = (32, 32, 64, 64)


class Critic(nn.Module):
    """What all critics have."""

    frames: int | None

    def forward(self, frames: Tensor, times: Tensor) -> Tensor:
        """frames (b, t, c, h, w) at `times` (t,) in seconds -> (b,); higher is more real."""
        raise NotImplementedError


class _Down(nn.Module):
    """Two filters and half the size, residual (Karras et al. 2020, StyleGAN2, figure 7c)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, out, 3, padding=1)
        self.skip = nn.Conv2d(width, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))
        return F.avg_pool2d(y + self.skip(x), 2) / 2**0.5


def trunk(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Frames to features, halved once for every width past the first."""
    levels = (_Down(a, b) for a, b in zip(widths, widths[1:], strict=False))
    return nn.Sequential(nn.Conv2d(channels, widths[0], 3, padding=1), *levels)


def _pooled(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, 2c): mean and root-mean-square over places, at any size."""
    x = F.leaky_relu(x, 0.2)
    return torch.cat([x.mean((2, 3)), (x.square().mean((2, 3)) + 1e-8).sqrt()], 1)


class FrameCritic(Critic):
    """One frame, whenever it is."""

    frames = 1

    def __init__(self, shape: CriticShape) -> None:
        super().__init__()
        self.trunk = trunk(shape.channels, shape.widths)
        self.score = nn.Linear(2 * shape.widths[-1], 1)

    def forward(self, frames: Tensor, times: Tensor) -> Tensor:
        """The mean over the frames there are."""
        b, t = frames.shape[:2]
        scores = self.score(_pooled(self.trunk(frames.flatten(0, 1))))
        return scores.view(b, t).mean(1)


class PairCritic(Critic):
    """Two frames and the seconds between them as one picture of 2c + 1 channels (DIGAN, section 3.3)."""

    frames = 2

    def __init__(self, shape: CriticShape) -> None:
        super().__init__()
        self.trunk = trunk(2 * shape.channels + 1, shape.widths)
        self.score = nn.Linear(2 * shape.widths[-1], 1)

    def forward(self, frames: Tensor, times: Tensor) -> Tensor:
        apart = (times[1] - times[0]).to(frames).expand(len(frames), 1, *frames.shape[-2:])
        pair = torch.cat([frames.flatten(1, 2), apart], 1)
        return self.score(_pooled(self.trunk(pair)))[:, 0]


class SparseCritic(Critic):
    """Few frames at any times: each through the same trunk, joined on channels, then judged for its gaps.

    The score is a product of features with an embedding of the times between frames, so that a
    still pair a second apart and one an hour apart are judged differently (StyleGAN-V, section 3.2).
    """

    def __init__(self, shape: CriticShape, frames: int = 3) -> None:
        super().__init__()
        if frames < 2:
            raise ValueError(f"{frames} frames; try 2 or more, or FrameCritic")
        self.frames = frames
        last = shape.widths[-1]
        self.trunk = trunk(shape.channels, shape.widths[:-1])
        self.join = _Down(frames * shape.widths[-2], last)
        self.features = nn.Linear(2 * last, last)
        self.gaps = nn.Sequential(
            nn.Linear(16 * (frames - 1), last), nn.LeakyReLU(0.2), nn.Linear(last, last)
        )

    def forward(self, frames: Tensor, times: Tensor) -> Tensor:
        b, t = frames.shape[:2]
        each = self.trunk(frames.flatten(0, 1)).unflatten(0, (b, t)).flatten(1, 2)
        found = self.features(_pooled(self.join(each)))
        gaps = self.gaps(waves(times.diff(), 8, 100.0, 0.2).flatten().to(found))
        return (found * gaps).sum(1) / found.shape[1] ** 0.5


class ClipCritic(Critic):
    """All frames, patch by patch, the score their mean (Isola et al. 2017, section 3.2.2).

    taps: in time; 3 judges motion as well (TATS, Ge et al. 2022, section 3.1), 1 pictures alone.
    """

    frames = None

    def __init__(self, shape: CriticShape, taps: int = 3) -> None:
        super().__init__()
        if taps % 2 == 0:
            raise ValueError(f"taps={taps}; try {taps + 1}")
        widths = (shape.channels, *shape.widths)
        self.layers = nn.ModuleList(
            nn.Conv3d(a, b, (taps, 4, 4), stride=(1, 2, 2), padding=(taps // 2, 1, 1))
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.score = nn.Conv3d(widths[-1], 1, 1)

    def features(self, frames: Tensor) -> list[Tensor]:
        """Of every layer, finest first: what feature matching compares."""
        x, found = frames.transpose(1, 2), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            found.append(x)
        return found

    def forward(self, frames: Tensor, times: Tensor) -> Tensor:
        scores: Tensor = self.score(self.features(frames)[-1])
        return scores.flatten(1).mean(1)
