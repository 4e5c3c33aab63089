"""Pictures out of codes: styles, motion in continuous time, and two painters.

A video is one style for all of its frames and a motion code for every moment, both made of noise,
so any real time can be painted by itself (StyleGAN-V, Skorokhodov et al. 2022; DIGAN, Yu et al. 2022).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.dit import waves

Seen = Sequence[
    Tensor
]  # of observed frames, coarsest first: what each of a painter's filters takes


@dataclasses.dataclass(frozen=True)
class SynthesisShape:
    """Sizes of a generator. channels: of a frame.

    style, motion: numbers in a video's style, in a moment's motion code. widths: of the painter,
    coarsest first, each level twice the size of the one before. depth: filters of a level. spacing:
    seconds between motion anchors. reach: anchors on each side that shape an anchor. limit: that
    painted numbers near, but never reach; 0 for none.
    """

    channels: int = 3
    style: int = 64
    motion: int = 32
    widths: tuple[int, ...] = (64, 64, 32, 32)
    depth: int = 1
    spacing: float = 1.6
    reach: int = 2
    limit: float = 0.0

    def __post_init__(self) -> None:
        if not self.spacing > 0:
            raise ValueError(f"spacing={self.spacing}; try 1.6 seconds")
        if not 0 <= self.limit < math.inf:
            raise ValueError(f"limit={self.limit}; try 1, 0 for none")
        if self.reach < 0 or min(self.style, self.motion, self.depth, *self.widths) < 1:
            raise ValueError(f"sizes of {self}; try 1 or more")


class StyleMapping(nn.Module):
    """Noise to styles; keeps the running mean of what it makes, for truncation."""

    mean: Tensor

    def __init__(self, width: int, layers: int = 3) -> None:
        super().__init__()
        made = [nn.Linear(width, width) for _ in range(layers)]
        self.layers = nn.ModuleList(made)
        for layer in made:  # as wide at the end as the noise is: else all films begin alike
            nn.init.normal_(layer.weight, std=width**-0.5)
            nn.init.zeros_(layer.bias)
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """(b, width) noise -> styles; below 1, nearer to their mean (Karras et al. 2019, appendix B)."""
        x = F.rms_norm(z, z.shape[-1:])
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2) * math.sqrt(2)
        if self.training:
            self.mean.lerp_(x.detach().mean(0), 0.01)
        return x if truncation == 1 else self.mean + truncation * (x - self.mean)


class MotionCode(nn.Module):
    """Codes of any real times out of noise at anchors (StyleGAN-V, section 3.1, equations 1 to 3).

    Anchors stand every `spacing` seconds, from minus to plus infinity; a filter without padding runs
    over their noise, so a code depends on the few anchors around it and films never end. Between
    anchors run waves whose amplitude, frequency and phase the left anchor sets; a line is taken off
    so that codes are continuous at anchors, and nothing in them is periodic.
    """

    def __init__(self, shape: SynthesisShape) -> None:
        super().__init__()
        self.spacing, self.reach, width = shape.spacing, shape.reach, shape.motion
        self.filter = nn.Conv1d(width, width, 2 * shape.reach + 1)
        self.waves = nn.Linear(width, 3 * width)
        self.level = nn.Linear(width, width, bias=False)
        rates = torch.logspace(0, -2, width) * math.pi  # radians from an anchor to the next
        self.register_buffer("rates", rates, persistent=False)

    def anchors(self, times: Tensor) -> range:
        """Numbers of the anchors whose noise the codes of `times` (seconds) depend on."""
        first, last = (math.floor(float(t) / self.spacing) for t in (times.min(), times.max()))
        return range(first - self.reach, last + 2 + self.reach)

    def forward(self, noise: Tensor, times: Tensor) -> Tensor:
        """Noise of `anchors(times)` (b, a, width), times (t,) in seconds, float64 -> (b, t, width)."""
        first = self.anchors(times).start + self.reach
        u = self.filter(noise.transpose(1, 2)).transpose(1, 2)
        place = times.double() / self.spacing
        left = place.floor()
        part = (place - left).to(u)[
            None, :, None
        ]  # of the way; local, so that late times stay exact
        row = (left.long() - first).to(u.device)
        here, there = u[:, row], u[:, row + 1]
        size, rate, phase = self.waves(here).chunk(3, -1)
        rate = self.rates * (1 + rate.tanh())

        def wave(x: Tensor) -> Tensor:
            return size * torch.sin(rate * x + phase)

        start, end = torch.zeros_like(part), torch.ones_like(part)
        straight = torch.lerp(wave(start), wave(end), part)
        return wave(part) - straight + torch.lerp(self.level(here), self.level(there), part)


class ModulatedConv(nn.Module):
    """A filter whose inputs a style scales and whose outputs are scaled back (StyleGAN2, Karras et al. 2020, eq. 1-3).

    Written on activations instead of weights, which is the same and needs no grouped filters.
    """

    def __init__(
        self, width: int, out: int, style: int, side: int = 3, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, width, side, side))
        self.bias = nn.Parameter(torch.zeros(out))
        self.style = nn.Linear(style, width)
        nn.init.ones_(self.style.bias)
        self.gain, self.demodulate = 1 / math.sqrt(width * side**2), demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(n, width, h, w), (n, style) -> (n, out, h, w)."""
        scale, weight = self.style(style), self.weight * self.gain
        y = F.conv2d(x * scale[:, :, None, None], weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            size = scale.square() @ weight.square().sum((2, 3)).T
            y = y * (size + 1e-8).rsqrt()[:, :, None, None]
        return y + self.bias[:, None, None]


class PicturePainter(nn.Module):
    """A StyleGAN2 painter: from a learned coarse picture, level by level, colours added up (skip design).

    Codes of motion join the style of every filter, and the coarse picture, of every frame.
    """

    def __init__(self, shape: SynthesisShape) -> None:
        super().__init__()
        self.shape, code = shape, shape.style + shape.motion
        coarse, widths = shape.widths[0], shape.widths
        self.begin = nn.Parameter(torch.randn(coarse, 4, 4))
        self.move = nn.Linear(shape.motion, coarse)
        self.filters = nn.ModuleList(
            ModulatedConv(width if again else before, width, code)
            for before, width in zip((coarse, *widths), widths, strict=False)
            for again in range(shape.depth)
        )
        self.colours = nn.ModuleList(
            ModulatedConv(width, shape.channels, code, 1, False) for width in widths
        )
        for colour in self.colours:  # pale at first: levels add up
            nn.init.normal_(colour.weight, std=0.1)

    @property
    def down(self) -> int:
        """Pixels along an edge of a place of the coarse picture."""
        return int(2 ** (len(self.shape.widths) - 1))

    def forward(
        self, style: Tensor, motion: Tensor, size: tuple[int, int], seen: Seen | None = None
    ) -> Tensor:
        """style (n, style), motion (n, motion), pixels (h, w), and what is `seen`, added before the
        filter of every level -> frames (n, channels, h, w); ValueError if h or w is no multiple of `down`."""
        h, w = size
        if h % self.down or w % self.down:
            raise ValueError(f"a picture of {w}x{h}; try multiples of {self.down}")
        grid = (h // self.down, w // self.down)
        x = F.interpolate(self.begin[None], grid, mode="bilinear")
        x = x + self.move(motion)[:, :, None, None]
        code = torch.cat([style, motion], 1)
        total = x.new_zeros(())
        depth = self.shape.depth
        for level, colour in enumerate(self.colours):
            if level:
                x = F.interpolate(x, scale_factor=2.0, mode="bilinear")
                total = F.interpolate(total, scale_factor=2.0, mode="bilinear")
            x = x if seen is None else x + seen[level]
            for mix in self.filters[level * depth : (level + 1) * depth]:
                x = F.leaky_relu(mix(x, code), 0.2) * math.sqrt(2)
            total = total + colour(x, code)
        return total


class CoordinatePainter(nn.Module):
    """A function of place and time (DIGAN, section 3.2): waves over the picture, whose phase moves with time.

    The style sets the waves' frequencies and directions; the motion code enters as a phase alone,
    so that time bends what is there rather than replacing it. Any size can be painted.
    """

    def __init__(self, shape: SynthesisShape) -> None:
        super().__init__()
        self.shape, width = shape, shape.widths[0]
        self.frequencies = nn.Linear(shape.style, 2 * width)
        self.phases = nn.Linear(shape.style, width)
        self.bend = nn.Sequential(
            nn.Linear(shape.style + shape.motion, width), nn.LeakyReLU(0.2), nn.Linear(width, width)
        )
        self.filters = nn.ModuleList(
            ModulatedConv(before, out, shape.style, 1)
            for before, out in zip((2 * width, *shape.widths[1:]), shape.widths[1:], strict=False)
        )
        last = shape.widths[-1] if len(shape.widths) > 1 else 2 * width
        self.colour = ModulatedConv(last, shape.channels, shape.style, 1, False)
        spread = torch.randn(2 * width) * 2 * math.pi  # about two waves over the picture
        self.register_buffer("spread", spread)

    def forward(
        self, style: Tensor, motion: Tensor, size: tuple[int, int], seen: Seen | None = None
    ) -> Tensor:
        """As `PicturePainter`, at any size; ValueError if something is `seen`."""
        if seen is not None:
            raise ValueError("coordinates have no coarse picture to add to; try PicturePainter")
        h, w = size
        rows = (torch.arange(h, device=style.device) + 0.5) / h - 0.5
        columns = (torch.arange(w, device=style.device) + 0.5) / w - 0.5
        grid = torch.stack(torch.meshgrid(rows * (h / w), columns, indexing="ij"))
        turns = (self.spread + self.frequencies(style)).unflatten(1, (2, -1))
        phase = self.phases(style) + self.bend(torch.cat([style, motion], 1))
        angle = torch.einsum("nkc,khw->nchw", turns, grid) + phase[:, :, None, None]
        x = torch.cat([angle.sin(), angle.cos()], 1)
        for mix in self.filters:
            x = F.leaky_relu(mix(x, style), 0.2) * math.sqrt(2)
        frames: Tensor = self.colour(x, style)
        return frames


class FrameObserver(nn.Module):
    """What observed frames say of every frame to be painted: an encoder beside the generator.

    Two branches at every level of the painter, after REncGAN3 (Yang and Bors 2023): content, the mean
    over all observed frames, and motion, the frames nearest in time with how far off they are. Fine
    levels carry what a coarse picture has no room for.
    """

    def __init__(self, shape: SynthesisShape) -> None:
        super().__init__()
        fine = shape.widths[::-1]
        self.levels = nn.ModuleList([nn.Conv2d(shape.channels, fine[0], 3, padding=1)])
        for width, out in zip(fine, fine[1:], strict=False):
            down = nn.Conv2d(width, out, 4, stride=2, padding=1)
            self.levels.append(nn.Sequential(nn.LeakyReLU(0.2), down))
        entered = (shape.widths[0], *shape.widths)[: len(fine)][::-1]  # the painter's filters take
        pairs = list(zip(fine, entered, strict=True))
        self.content = nn.ModuleList(nn.Conv2d(width, out, 1) for width, out in pairs)
        self.motion = nn.ModuleList(nn.Conv2d(width + 8, out, 1) for width, out in pairs)
        self.sharpness = nn.Parameter(torch.tensor(20.0))  # a tenth of a second off counts e^-2

    def forward(self, frames: Tensor, at: Tensor, times: Tensor) -> Seen:
        """frames (b, o, c, h, w) at seconds `at` (o,) -> what `PicturePainter` adds for `times` (t,)."""
        apart = (times[:, None] - at[None]).to(frames)
        near = (-apart.abs() * F.softplus(self.sharpness)).softmax(1)
        gap = waves((near * apart).sum(1).clamp(-100, 100), 4, 40.0, 1.0)[:, :, None, None]
        found, seen = frames.flatten(0, 1), []
        for level, content, motion in zip(self.levels, self.content, self.motion, strict=True):
            found = level(found)
            each = found.unflatten(0, frames.shape[:2])
            nearest = torch.einsum("to,bochw->btchw", near, each)
            told = gap.to(found).expand(*nearest.shape[:2], -1, *nearest.shape[3:])
            moving = motion(torch.cat([nearest, told], 2).flatten(0, 1))
            still = content(each.mean(1))[:, None]
            seen.append((still + moving.unflatten(0, nearest.shape[:2])).flatten(0, 1))
        return seen[::-1]


class Generator(nn.Module):
    """Mapping, motion and a painter, with or without an observer."""

    def __init__(
        self, shape: SynthesisShape, painter: nn.Module, observer: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.shape, self.painter, self.observer = shape, painter, observer
        self.mapping = StyleMapping(shape.style)
        self.motion = MotionCode(shape)

    def forward(
        self,
        style: Tensor,
        anchors: Tensor,
        times: Tensor,
        size: tuple[int, int],
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """style (b, style) as mapped, noise of the motion's anchors, times (t,) in seconds, pixels
        (h, w), seen: observed frames and their seconds -> (b, t, channels, h, w)."""
        b, t = len(style), len(times)
        motion = self.motion(anchors, times).flatten(0, 1)
        told = None
        if seen is not None and self.observer is not None:
            told = self.observer(*seen, times)
        styles = style.repeat_interleave(t, 0)
        frames: Tensor = self.painter(styles, motion, size, told).unflatten(0, (b, t))
        most = self.shape.limit
        return most * (frames / most).tanh() if most else frames
