"""Soft-edged shapes, many frames at once, and the frame that worlds share.

Lengths count short sides of the picture; x goes right and y down from its upper left corner.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from longtake.errors import InputError

CHUNK = 8  # frames painted together: small enough to stay in cache
_ASPECT = 6  # the longest side over the shortest


class Framed:
    """A seed, a size and a rate that can be."""

    name: str

    def __init__(
        self, *, seed: int = 0, size: tuple[int, int] = (64, 64), fps: float = 10.0
    ) -> None:
        width, height = size
        short, long = min(size), max(size)
        if short < 32 or long > 4096 or long > _ASPECT * short:
            near = min(max(short, 32), 4096)
            fits = [min(max(side, near), _ASPECT * near, 4096) for side in size]
            raise InputError(f"size {width}x{height}", self.name, f"{fits[0]}x{fits[1]}")
        if not (fps > 0 and math.isfinite(fps)):
            raise InputError(f"fps {fps}", self.name, "10")
        if not 0 <= seed < 2**63:
            raise InputError(f"seed {seed}", self.name, "0 or more")
        self.seed, self.size, self.fps = seed, (width, height), float(fps)
        self.scale = float(short)  # pixels a short side
        self.extent = (width / short, height / short)
        self.x = ((torch.arange(width) + 0.5) / short)[None, None]
        self.y = ((torch.arange(height) + 0.5) / short)[None, :, None]

    def seconds(self, indices: Sequence[int]) -> Tensor:
        """The times of frames, float64; raises InputError for a frame before the first."""
        places = [int(index) for index in indices]
        if any(place < 0 for place in places):
            raise InputError(f"frame {min(places)}", self.name, "0 or more")
        return torch.tensor(places, dtype=torch.float64) / self.fps


class Painted(Framed, abc.ABC):
    """A world whose pictures are painted from its truth, so the truth is all there is to see."""

    @abc.abstractmethod
    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame, by name; every tensor is t long in its first axis."""

    @abc.abstractmethod
    def compose(self, truth: Mapping[str, Tensor]) -> Tensor:
        """The picture of a few frames in 0..1: t 3 h w."""

    def render(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`: uint8, t 3 h w; a frame alone has its bytes of a run."""
        return self.paint(self.truth(indices))

    def paint(self, truth: Mapping[str, Tensor]) -> Tensor:
        """What a course of states looks like, true of this world or not: uint8, t 3 h w."""
        count = len(next(iter(truth.values())))
        out = torch.empty(count, 3, self.size[1], self.size[0], dtype=torch.uint8)
        with torch.no_grad():
            for begin in range(0, count, CHUNK):
                part = {name: value[begin : begin + CHUNK] for name, value in truth.items()}
                out[begin : begin + CHUNK] = in_bytes(self.compose(part))
        return out


def in_bytes(picture: Tensor) -> Tensor:
    """A picture in 0..1 as uint8."""
    return picture.mul(255).add_(0.5).clamp_(0, 255).byte()


def colour(text: str) -> Tensor:
    """`#rrggbb` as (3, 1, 1) in 0..1."""
    values = [int(text[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    return torch.tensor(values)[:, None, None]


def per_frame(values: Tensor) -> Tensor:
    """A number a frame (t), to stand against pictures (t h w)."""
    return values.float()[:, None, None]


def lay(picture: Tensor, tint: Tensor, cover: Tensor) -> None:
    """Lay a colour (3 1 1, or t 3 h w) over a picture (t 3 h w) where `cover` (t h w), in place."""
    layer = tint - picture
    layer *= cover[:, None]
    picture += layer


def disc(x: Tensor, y: Tensor, centre: Tensor, radius: float | Tensor, scale: float) -> Tensor:
    """The share of every pixel inside a disc: t h w, for centres (t 2)."""
    dx, dy = x - per_frame(centre[:, 0]), y - per_frame(centre[:, 1])
    return ((radius - (dx * dx + dy * dy).sqrt()) * scale + 0.5).clamp_(0, 1)


def capsule(x: Tensor, y: Tensor, a: Tensor, b: Tensor, radius: float, scale: float) -> Tensor:
    """The share of every pixel inside a line from `a` to `b` (t 2 each) with round ends: t h w."""
    ax, ay = per_frame(a[:, 0]), per_frame(a[:, 1])
    bx, by = per_frame(b[:, 0]) - ax, per_frame(b[:, 1]) - ay
    px, py = x - ax, y - ay
    along = ((px * bx + py * by) / (bx * bx + by * by).clamp(min=1e-9)).clamp_(0, 1)
    px, py = px - along * bx, py - along * by
    return ((radius - (px * px + py * py).sqrt()) * scale + 0.5).clamp_(0, 1)
