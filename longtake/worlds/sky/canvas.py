"""A canvas for painting land once a take, far to near, finer than the picture and averaged."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

Colour = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Land:
    """What of the picture is ground, and how it takes light; rows from `top` down, all float32."""

    top: int  # first picture row that holds any land
    mask: Tensor  # 1 h w, the share of each pixel that is land
    albedo: Tensor  # 3 h w
    slope: Tensor  # 1 h w, from -1 (faces right) to 1 (faces left)
    depth: Tensor  # 1 h w, from 0 (near) to 1 (the horizon)
    lamps: Tensor  # 3 h w, light given off at night
    water: Tensor  # 1 h w, the share of each pixel that is open water
    shore: float  # where water begins, picture heights from the top; above 1 where there is none


class Canvas:
    """Paint on a (h w) grid; x is 0 in the middle, and both axes count picture heights."""

    def __init__(self, width: int, height: int) -> None:
        self.scale = max(1, min(3, round(384 / height)))
        shape = (height * self.scale, width * self.scale)
        step = 1 / shape[0]
        self.y = ((torch.arange(shape[0]) + 0.5) * step)[:, None].expand(shape)
        self.x = ((torch.arange(shape[1]) + 0.5) * step - width / height / 2)[None].expand(shape)
        self.mask = torch.zeros(shape)
        self.water = torch.zeros(shape)
        self.slope = torch.zeros(shape)
        self.depth = torch.zeros(shape)
        self.albedo = torch.zeros(3, *shape)
        self.lamps = torch.zeros(3, *shape)
        self.shore = 2.0

    def columns(self, left: float, right: float) -> Canvas:
        """The part between two x, sharing this canvas's paint: for small things, painted fast."""
        line = self.x[0].contiguous()
        begin, end = int(torch.searchsorted(line, left)), int(torch.searchsorted(line, right))
        part = copy.copy(self)
        for name in ("x", "y", "mask", "water", "slope", "depth", "albedo", "lamps"):
            setattr(part, name, getattr(self, name)[..., begin:end])
        return part

    def lay(
        self,
        where: Tensor,
        colour: Colour | Tensor,
        depth: float | Tensor,
        slope: float | Tensor = 0.0,
    ) -> None:
        """Cover what is at `where` (h w, bool) with opaque matter."""
        if isinstance(colour, tuple):
            colour = torch.tensor(colour)[:, None, None]
        self.mask.masked_fill_(where, 1.0)
        self.water.masked_fill_(where, 0.0)
        self.albedo.copy_(torch.where(where, colour, self.albedo))
        self.depth.copy_(torch.where(where, torch.as_tensor(depth), self.depth))
        self.slope.copy_(torch.where(where, torch.as_tensor(slope), self.slope))
        self.lamps.masked_fill_(where, 0.0)

    def flood(self, shore: float, colour: Colour, depth: float | Tensor) -> None:
        """Open water from `shore` down; it will mirror what stands above."""
        self.lay(self.y > shore, colour, depth)
        self.water.masked_fill_(self.y > shore, 1.0)
        self.shore = shore

    def shine(self, where: Tensor, colour: Colour, strength: float | Tensor = 1.0) -> None:
        """Let what is at `where` give off light at night."""
        tint = torch.tensor(colour)[:, None, None] * strength
        self.lamps.copy_(torch.where(where, tint, self.lamps))

    def land(self) -> Land:
        """The painting at picture size, cut to the rows that hold land."""
        solid = self.mask[None]
        mask = self._shrink(solid)
        share = mask.clamp(min=1e-3)
        rows = torch.nonzero(mask[0].amax(1) > 0)
        top = int(rows[0]) if len(rows) else mask.shape[1] - 1
        return Land(
            top=top,
            mask=mask[:, top:].contiguous(),
            albedo=(self._shrink(self.albedo * solid) / share)[:, top:].contiguous(),
            slope=(self._shrink(self.slope[None] * solid) / share)[:, top:].contiguous(),
            depth=(self._shrink(self.depth[None] * solid) / share)[:, top:].contiguous(),
            lamps=self._shrink(self.lamps)[:, top:].contiguous(),
            water=self._shrink(self.water[None])[:, top:].contiguous(),
            shore=self.shore,
        )

    def _shrink(self, picture: Tensor) -> Tensor:
        return avg_pool2d(picture[None], self.scale)[0] if self.scale > 1 else picture


def rolling(rng: np.random.Generator, x: Tensor, waves: float, octaves: int = 4) -> Tensor:
    """A smooth line of height about -1..1: sines from `waves` a picture height upwards."""
    line = torch.zeros_like(x)
    for octave in range(octaves):
        for _ in range(2):
            frequency = waves * 2**octave * rng.uniform(0.8, 1.25)
            phase = rng.uniform(0, 2 * math.pi)
            line = line + torch.sin(2 * math.pi * frequency * x + phase) * 0.5 ** (octave + 1)
    return line


def jagged(rng: np.random.Generator, x: Tensor, waves: float, octaves: int = 5) -> Tensor:
    """A line of peaks, height about 0..1: folded sines, sharp where they fold."""
    line = torch.zeros_like(x)
    bent = x + 0.06 * rolling(rng, x, waves, 2) / waves
    for octave in range(octaves):
        frequency = waves * 1.9**octave * rng.uniform(0.85, 1.15)
        phase = rng.uniform(0, math.pi)
        line = line + (1 - torch.sin(math.pi * frequency * bent + phase).abs()) * 0.5**octave
    return line / 1.5


def across(field: Tensor) -> Tensor:
    """The change from column to column, as long as the field is wide."""
    return torch.diff(field, dim=-1, append=field[..., -1:])
