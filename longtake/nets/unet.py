"""Space-time U-Nets: a net of pictures for every frame, with layers across time between its own.

The spatial half is the usual U-Net of diffusion models (Ronneberger et al. 2015; Dhariwal and Nichol
2021). What crosses time is a factory of `nets.temporal`, so one net is that of Video LDM, NUWA-XL,
FDM or of pictures alone; filters of three taps in time make it RaMViD's. What it is told stands in
`Told`; how observed frames get there is a route's business (`nets.routes`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.dit import Attention, place_angles, waves
from longtake.nets.temporal import NoTime, TimeFactory, conv_then_attention
from longtake.nets.tokens import PlacedAttention


@dataclasses.dataclass(frozen=True)
class UNetShape:
    """Sizes of a U-Net.

    channels: of a frame, out and in. extra: channels a route adds to those that come in. text: width
    of the per-frame control track, 0 for none. widths: of the features, finest scale first. attends: at
    which scales places look at each other and at the context. taps: of the filters, in frames. maps:
    channels of pictures that scale and shift features at every scale. context: width of the vectors to
    which places attend.
    """

    channels: int = 4
    extra: int = 0
    text: int = 0
    widths: tuple[int, ...] = (48, 96)
    blocks: int = 1
    attends: tuple[bool, ...] = (False, True)
    head: int = 16
    taps: int = 1
    maps: int = 0
    context: int = 0

    def __post_init__(self) -> None:
        if len(self.attends) != len(self.widths):
            raise ValueError(f"{len(self.attends)} of attends for {len(self.widths)} scales")
        if self.taps % 2 != 1:
            raise ValueError(f"taps={self.taps}; try 1 or 3")
        for width in self.widths:
            if width % self.head or self.head % 8:
                raise ValueError(
                    f"heads of {self.head} in width {width}; try a common divisor, a multiple of 8"
                )

    @property
    def vector(self) -> int:
        """Width of what a frame as a whole is told: its noise level, its text."""
        return 4 * self.widths[0]


@dataclasses.dataclass(frozen=True)
class Told:
    """What a net is told of its frames, beside their noise.

    observed (b, t), 1 where a frame is known. text (b, t, d). context (b, t, m, d): vectors to attend
    to. maps (b, t, k, h, w): pictures of any size, resized to every scale. sides: what is added to
    what passes from the way down to the way up, coarsest last, as `ControlBranch` makes it.
    """

    observed: Tensor
    text: Tensor | None = None
    context: Tensor | None = None
    maps: Tensor | None = None
    sides: Sequence[Tensor] = ()


class Filter(nn.Module):
    """A 3x3 filter of every frame, or of `taps` frames, the first and the last repeated."""

    def __init__(self, width: int, out: int, taps: int) -> None:
        super().__init__()
        self.taps = taps
        self.conv = (
            nn.Conv2d(width, out, 3, padding=1)
            if taps == 1
            else nn.Conv3d(width, out, (taps, 3, 3), padding=(0, 1, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, c, h, w) -> (b, t, out, h, w)."""
        if self.taps == 1:
            return self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        ends = (0, 0, 0, 0, self.taps // 2, self.taps // 2)
        y: Tensor = self.conv(F.pad(x.transpose(1, 2), ends, mode="replicate"))
        return y.transpose(1, 2)


class GroupNorm(nn.GroupNorm):
    """Of each frame by itself."""

    def __init__(self, width: int) -> None:
        super().__init__(math.gcd(width, 32), width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, c, h, w) -> the same."""
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Spread(nn.Module):
    """Scales and shifts features place by place, as pictures say (Park et al. 2019, SPADE).

    NUWA-XL's visual condition (Yin et al. 2023, section 3.2) and MCVD's SPATIN (Voleti et al. 2022)
    are this, at every scale. Nothing is changed at first.
    """

    def __init__(self, maps: int, width: int) -> None:
        super().__init__()
        self.read = nn.Conv2d(maps, width, 3, padding=1)
        self.tell = nn.Conv2d(width, 2 * width, 3, padding=1)
        nn.init.zeros_(self.tell.weight)
        nn.init.zeros_(self.tell.bias)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        small = F.interpolate(maps.flatten(0, 1), x.shape[-2:], mode="nearest")
        scale, shift = self.tell(F.silu(self.read(small))).unflatten(0, x.shape[:2]).chunk(2, 2)
        return x * (1 + scale) + shift


class ResBlock(nn.Module):
    """Two filters, residual; the frame's vector scales and shifts between them."""

    def __init__(self, width: int, out: int, shape: UNetShape) -> None:
        super().__init__()
        self.norm, self.middle = GroupNorm(width), GroupNorm(out)
        self.spread = Spread(shape.maps, width) if shape.maps else None
        self.first = Filter(width, out, shape.taps)
        self.vector = nn.Linear(shape.vector, 2 * out)
        self.second = Filter(out, out, shape.taps)
        self.past = nn.Conv2d(width, out, 1) if width != out else nn.Identity()
        for zero in (self.vector, self.second.conv):
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)

    def forward(self, x: Tensor, vector: Tensor, told: Told) -> Tensor:
        y = self.norm(x)
        if self.spread is not None and told.maps is not None:
            y = self.spread(y, told.maps)
        y = self.first(F.silu(y))
        scale, shift = self.vector(F.silu(vector))[..., None, None].chunk(2, 2)
        y = self.second(F.silu(self.middle(y) * (1 + scale) + shift))
        return self.past(x.flatten(0, 1)).unflatten(0, x.shape[:2]) + y


class Look(nn.Module):
    """Each frame's places attend to each other, then to the frame's context."""

    def __init__(self, width: int, shape: UNetShape) -> None:
        super().__init__()
        self.head = shape.head
        self.around = Attention(width, shape.head)
        if shape.context:
            self.read = nn.Linear(shape.context, width)
            self.context = PlacedAttention(width, shape.head)

    def forward(self, x: Tensor, told: Told) -> Tensor:
        b, t, c, h, w = x.shape
        y = x.flatten(3).transpose(2, 3).flatten(0, 1)
        y = y + self.around(F.rms_norm(y, (c,)), self._places(h, w, x.device))
        if told.context is not None:
            k, v = self.context.keys(F.rms_norm(self.read(told.context.flatten(0, 1)), (c,)), None)
            q = self.context.queries(F.rms_norm(y, (c,)), None)
            y = y + self.context.mix(q, k, v, None, None)
        return y.transpose(1, 2).reshape(x.shape)

    def _places(self, h: int, w: int, device: torch.device) -> Tensor:
        """(1, h*w, head/2) rotary angles."""
        quarter = self.head // 4
        rows, columns = (
            place_angles(torch.arange(n, device=device) - n / 2, quarter) for n in (h, w)
        )
        grid = [rows[:, None].expand(h, w, -1), columns[None].expand(h, w, -1)]
        return torch.cat(grid, -1).flatten(0, 1)[None]


class Block(nn.Module):
    """Filters of every frame, looks within every frame if the scale attends, then a layer across time."""

    def __init__(
        self, width: int, out: int, attends: bool, shape: UNetShape, time: TimeFactory
    ) -> None:
        super().__init__()
        self.filters = ResBlock(width, out, shape)
        self.look = Look(out, shape) if attends else None
        self.time = time(out, shape.vector)

    def forward(self, x: Tensor, times: Tensor, vector: Tensor, told: Told) -> Tensor:
        x = self.filters(x, vector, told)
        if self.look is not None:
            x = self.look(x, told)
        found: Tensor = self.time(x, times, vector)
        return found


class Signal(nn.Module):
    """What a frame as a whole is told, as one vector: its noise level and its text."""

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        self.level = nn.Sequential(
            nn.Linear(32, shape.vector), nn.SiLU(), nn.Linear(shape.vector, shape.vector)
        )
        self.text = nn.Linear(shape.text, shape.vector) if shape.text else None
        self.outer = True

    def forward(self, level: Tensor, told: Told) -> Tensor:
        """(b, t) noise levels from 0 to 1 -> (b, t, d)."""
        vector: Tensor = self.level(waves(level, 16, 4.0, 0.02))
        if self.text is not None and told.text is not None:
            vector = vector + self.text(told.text)
        return vector


class Way(nn.Module):
    """The way down and the middle: what a U-Net and a branch beside it have in common."""

    def __init__(self, shape: UNetShape, time: TimeFactory) -> None:
        super().__init__()
        widths = shape.widths
        self.enter = nn.Conv2d(shape.channels + shape.extra, widths[0], 3, padding=1)
        self.signal = Signal(shape)
        self.scales = nn.ModuleList()
        self.shrink = nn.ModuleList()
        width = widths[0]
        for out, attends in zip(widths, shape.attends, strict=True):
            row = nn.ModuleList()
            for _ in range(shape.blocks):
                row.append(Block(width, out, attends, shape, time))
                width = out
            self.scales.append(row)
            if len(self.scales) < len(widths):
                self.shrink.append(nn.Conv2d(out, out, 3, stride=2, padding=1))
        self.middle = Block(width, width, shape.attends[-1], shape, time)
        self.enter.outer = True  # type: ignore[assignment]

    def forward(
        self, x: Tensor, times: Tensor, vector: Tensor, told: Told
    ) -> tuple[Tensor, list[Tensor]]:
        """(b, t, c, h, w) -> features at the coarsest scale, and those of every block on the way."""
        y = self.enter(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        passed = []
        for number, row in enumerate(self.scales):
            for block in row:
                y = block(y, times, vector, told)
                passed.append(y)
            if number < len(self.shrink):
                y = self.shrink[number](y.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.middle(y, times, vector, told), passed


class FactorisedUNet(nn.Module):
    """A U-Net of pictures applied to every frame, and a layer across time after each of its blocks.

    time: makes those layers, `nets.temporal.NoTime` for a net of pictures. Frames may be any in number
    and size, at any times, each at its own noise level.
    """

    def __init__(
        self, shape: UNetShape | None = None, time: TimeFactory = conv_then_attention
    ) -> None:
        super().__init__()
        self.shape = s = shape or UNetShape()
        self.down = Way(s, time)
        self.scales = nn.ModuleList()
        self.grow = nn.ModuleList()
        width = s.widths[-1]
        for out, attends in zip(reversed(s.widths), reversed(s.attends), strict=True):
            row = nn.ModuleList()
            for _ in range(s.blocks):
                row.append(Block(width + out, out, attends, s, time))
                width = out
            self.scales.append(row)
            if len(self.scales) < len(s.widths):
                self.grow.append(nn.Conv2d(out, out, 3, padding=1))
        self.norm = GroupNorm(width)
        self.leave = nn.Conv2d(width, s.channels, 3, padding=1)
        self.leave.outer = True  # type: ignore[assignment]
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, level: Tensor, times: Tensor, told: Told) -> Tensor:
        """x (b, t, channels + extra, h, w) at noise `level` (b, t), `times` (b, t) in seconds and in
        order -> (b, t, channels, h, w)."""
        vector = self.down.signal(level, told)
        y, passed = self.down(x, times, vector, told)
        if told.sides:
            *sides, middle = told.sides
            y = y + middle
            passed = [skip + side for skip, side in zip(passed, sides, strict=True)]
        for number, row in enumerate(self.scales):
            for block in row:
                y = block(torch.cat([y, passed.pop()], 2), times, vector, told)
            if number < len(self.grow):
                size = passed[-1].shape[-2:]
                wide = F.interpolate(y.flatten(0, 1), size, mode="nearest")
                y = self.grow[number](wide).unflatten(0, x.shape[:2])
        return self.leave(F.silu(self.norm(y)).flatten(0, 1)).unflatten(0, x.shape[:2])

    def time_layers(self) -> Iterator[nn.Module]:
        """All that crosses time, for training it alone (filters of several taps are not among them)."""
        return (block.time for block in self.modules() if isinstance(block, Block))

    def freeze_space(self) -> None:
        """Trains from now on only what crosses time: weights of pictures stay as they are."""
        self.requires_grad_(False)
        for layer in self.time_layers():
            layer.requires_grad_(True)


def pictures(shape: UNetShape) -> FactorisedUNet:
    """The same net without time: what is trained on pictures before time is added."""
    return FactorisedUNet(shape, lambda width, vector: NoTime())


def inflated(net: FactorisedUNet, time: TimeFactory = conv_then_attention) -> FactorisedUNet:
    """A net of pictures with layers across time added; until they learn, frames come out as before."""
    made = FactorisedUNet(net.shape, time)
    missing, unknown = made.load_state_dict(net.state_dict(), strict=False)
    assert not unknown and all(".time." in name for name in missing)
    return made
