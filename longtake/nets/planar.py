"""A U-Net on tri-planes: filters shared by the three planes of a clip, attention over all their places together.

PVDM (Yu et al. 2023, section 3.2). A latent frame is a whole clip, its planes packed as `nets.planes.packed`
has it; hw + th + tw places stand for thw.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.dit import Attention
from longtake.nets.planes import Planes, packed, unpacked
from longtake.nets.rotary import angles, frequencies, shares
from longtake.nets.unet import GroupNorm, ResBlock, Signal, Told, UNetShape

Three = list[Tensor]  # features of the planes over time, rows and columns, each (b, 1, d, *, *)


class Together(nn.Module):
    """The planes' places attend to each other; each knows its place along the two axes that it has."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.attention = Attention(width, head)
        self.rates = [frequencies(pairs, 100.0) for pairs in shares(head // 2, 3)]

    def forward(self, planes: Three) -> Three:
        rows = [plane.flatten(3)[:, 0].transpose(1, 2) for plane in planes]
        places = torch.cat([_places(n, plane) for n, plane in enumerate(planes)])
        y = torch.cat(rows, 1)
        y = y + self.attention(F.rms_norm(y, y.shape[-1:]), angles(places[None], self.rates))
        parts = y.split([row.shape[1] for row in rows], 1)
        return [
            part.transpose(1, 2).reshape(plane.shape)
            for part, plane in zip(parts, planes, strict=True)
        ]


class PlaneBlock(nn.Module):
    """Two filters of every plane, then attention across them."""

    def __init__(self, width: int, out: int, shape: UNetShape) -> None:
        super().__init__()
        self.filters = ResBlock(width, out, shape)
        self.together = Together(out, shape.head)

    def forward(self, planes: Three, vector: Tensor, told: Told) -> Three:
        found: Three = self.together([self.filters(plane, vector, told) for plane in planes])
        return found


class PlaneUNet(nn.Module):
    """Answers as `FactorisedUNet` does, each latent frame a clip of `frames` in three planes.

    Clips do not see each other but through routes: `routes.Nearest` joins the clip before. Of extra
    channels as many as fill whole latents are unpacked like them, the others are cut to each plane.
    shape: channels is that of the packed latent, three times a plane's.
    """

    def __init__(self, shape: UNetShape, frames: int) -> None:
        super().__init__()
        if shape.channels % 3 or shape.maps or shape.context:
            raise ValueError(f"{shape}; try channels of three planes, no maps and no context")
        self.shape, self.frames = shape, frames
        each, widths = shape.channels // 3, shape.widths
        self.groups, rest = divmod(shape.channels + shape.extra, shape.channels)
        self.enter = nn.Conv2d(self.groups * each + rest, widths[0], 3, padding=1)
        self.which = nn.Parameter(0.1 * torch.randn(3, widths[0], 1, 1))
        self.signal = Signal(shape)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        width = widths[0]
        for number, out in enumerate(widths):
            if number:
                self.shrink.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
            self.down.append(_blocks([width, *[out] * (shape.blocks - 1)], out, shape))
            width = out
        self.middle = PlaneBlock(width, width, shape)
        for number, out in enumerate(reversed(widths)):
            if number:
                self.grow.append(nn.Conv2d(width, width, 3, padding=1))
            self.up.append(_blocks([width + out, *[2 * out] * (shape.blocks - 1)], out, shape))
            width = out
        self.norm, self.leave = GroupNorm(width), nn.Conv2d(width, each, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        for edge in (self.enter, self.leave):
            edge.outer = True  # type: ignore[assignment]

    def forward(self, x: Tensor, level: Tensor, times: Tensor, told: Told) -> Tensor:
        """x (b, t, channels + extra, h, w) of t clips at noise `level` (b, t) -> (b, t, channels, h, w)."""
        size, clips = x.shape[:2], x.flatten(0, 1)
        planes = self._planes(clips)
        vector = self.signal(level, told).flatten(0, 1)[:, None]
        passed: list[Three] = []
        for number, row in enumerate(self.down):
            if number:
                planes = [_each(self.shrink[number - 1], plane) for plane in planes]
            for block in row:
                planes = block(planes, vector, told)
                passed.append(planes)
        planes = self.middle(planes, vector, told)
        for number, row in enumerate(self.up):
            if number:
                sizes = [skip.shape[-2:] for skip in passed[-1]]
                wide = [
                    F.interpolate(plane[:, 0], size)[:, None]
                    for plane, size in zip(planes, sizes, strict=True)
                ]
                planes = [_each(self.grow[number - 1], plane) for plane in wide]
            for block in row:
                pairs = zip(planes, passed.pop(), strict=True)
                planes = block([torch.cat(pair, 2) for pair in pairs], vector, told)
        found = [_each(self.leave, F.silu(self.norm(plane)))[:, 0] for plane in planes]
        return packed(Planes(*found)).unflatten(0, size)

    def _planes(self, clips: Tensor) -> Three:
        """Packed latents and what is joined to them (n, c, h, w) -> the planes' first features."""
        end = self.groups * self.shape.channels
        groups = [
            unpacked(part, self.frames) for part in clips[:, :end].split(self.shape.channels, 1)
        ]
        rest = clips[:, end:]
        cut = (rest, rest[:, :, : self.frames], rest[..., : self.frames].transpose(2, 3))
        return [
            (self.enter(torch.cat([*(group[n] for group in groups), cut[n]], 1)) + self.which[n])[
                :, None
            ]
            for n in range(3)
        ]


def _blocks(widths: list[int], out: int, shape: UNetShape) -> nn.ModuleList:
    return nn.ModuleList(PlaneBlock(width, out, shape) for width in widths)


def _each(layer: nn.Module, plane: Tensor) -> Tensor:
    """A filter of pictures on (b, 1, d, *, *)."""
    found: Tensor = layer(plane[:, 0])[:, None]
    return found


def _places(plane: int, features: Tensor) -> Tensor:
    """(n, 3) places in time, rows, columns, the axis that a plane does not have at 0."""
    first, second = (torch.arange(n, device=features.device) for n in features.shape[-2:])
    grid = torch.cartesian_prod(first, second)
    missing = torch.zeros_like(grid[:, 0])
    columns = [
        (missing, grid[:, 0], grid[:, 1]),  # over time: rows and columns
        (grid[:, 0], missing, grid[:, 1]),  # over rows: time and columns
        (grid[:, 0], grid[:, 1], missing),  # over columns: time and rows
    ]
    return torch.stack(columns[plane], -1)
