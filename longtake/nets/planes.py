"""Three planes in place of a volume: over (h, w), (t, w) and (t, h), and a net that makes them of video.

After PVDM (Yu et al. 2023, "Video Probabilistic Diffusion Models in Projected Latent Space",
section 3.1). A clip of t frames costs hw + tw + th numbers a channel instead of thw.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from longtake.nets.autoencoder import ChannelNorm
from longtake.nets.convolutional import VideoDecoder, VideoEncoder, VideoShape


class Planes(NamedTuple):
    """over_time (b, c, h, w), over_rows (b, c, t, w), over_columns (b, c, t, h)."""

    over_time: Tensor
    over_rows: Tensor
    over_columns: Tensor


def projected(volume: Tensor) -> Planes:
    """(b, c, t, h, w) -> planes whose `expanded` sum is nearest to it in mean square.

    Means along each axis overlap: what two planes share (lines) and what all three share (the mean)
    is counted once, in the plane that comes first, as in an analysis of variance.
    """
    time = volume.mean(2)
    rows = volume.mean(3)
    columns = volume.mean(4)
    lines_t = volume.mean((3, 4))[..., None]  # (b, c, t, 1)
    rows = rows - volume.mean((2, 3))[:, :, None]  # the mean over (t, h) is in `time` already
    columns = (
        columns
        - volume.mean((2, 4))[:, :, None]
        - lines_t
        + volume.mean((2, 3, 4))[..., None, None]
    )
    return Planes(time, rows, columns)


def expanded(planes: Planes) -> Tensor:
    """Planes -> (b, c, t, h, w): the sum of all three at every place."""
    time, rows, columns = planes
    return time[:, :, None] + rows[:, :, :, None] + columns[..., None]


def packed(planes: Planes) -> Tensor:
    """As one picture (b, 3c, h, w): the planes of time fill its first t rows and its first t columns."""
    time, rows, columns = planes
    h, w = time.shape[-2:]
    t = rows.shape[2]
    if t > min(h, w):
        raise ValueError(f"planes of {t} frames in {h}x{w} places; try {min(h, w)} frames at most")
    row = torch.zeros_like(time)
    row[:, :, :t] = rows
    column = torch.zeros_like(time)
    column[..., :t] = columns.transpose(2, 3)
    return torch.cat([time, row, column], 1)


def unpacked(picture: Tensor, frames: int) -> Planes:
    """(b, 3c, h, w) -> planes of `frames`."""
    time, row, column = picture.chunk(3, 1)
    return Planes(time, row[:, :, :frames], column[..., :frames].transpose(2, 3))


class PlaneAutoencoder(nn.Module):
    """Clips of `frames` to planes and back: convolutions, a projection, and a mixer of each plane.

    Where PVDM pools an axis with a transformer, features here are averaged along it and mixed by
    two filters of the plane.
    """

    def __init__(self, shape: VideoShape, frames: int) -> None:
        super().__init__()
        if frames % shape.stride:
            raise ValueError(f"{frames} frames; try a multiple of {shape.stride}")
        self.shape, self.frames = shape, frames
        c = shape.channels
        self.encoder = VideoEncoder(shape, c)
        self.mixers = nn.ModuleList(
            nn.Sequential(
                ChannelNorm(c), nn.Conv2d(c, 4 * c, 3, padding=1), nn.SiLU(), nn.Conv2d(4 * c, c, 1)
            )
            for _ in range(3)
        )
        self.decoder = VideoDecoder(shape)

    def planes(self, video: Tensor) -> Planes:
        """(b, frames, 3, h, w) in [-1, 1] -> planes of values in (-1, 1)."""
        means = projected(self.encoder(video).transpose(1, 2))
        mixed = (plane + mix(plane) for plane, mix in zip(means, self.mixers, strict=True))
        return Planes(*(plane.tanh() for plane in mixed))

    def made(self, planes: Planes) -> Tensor:
        """Planes -> (b, frames, 3, h, w), about [-1, 1]."""
        video: Tensor = self.decoder(expanded(planes).transpose(1, 2))
        return video

    def forward(self, video: Tensor) -> Tensor:
        """There and back, for training."""
        return self.made(self.planes(video))
