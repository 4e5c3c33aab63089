"""A painter of volumes: 3D filters whose styles change with time, out of noise that is low-pass filtered in time.

After LongVideoGAN's first stage (Brooks et al. 2022, section 3.1). Frames lie on a grid of moments;
filters have no padding in time, so a film has no ends, and any stretch of it is the same whatever is
painted with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.synthesis import ModulatedConv, StyleMapping, SynthesisShape


class LowPassBank(nn.Module):
    """White noise under `filters` fixed low-pass filters, from nearly none to `reach` steps wide.

    Windowed sines over their argument, of cut-offs in equal ratios; each of unit energy, so what comes
    out has the variance that came in.
    """

    taps: Tensor

    def __init__(self, filters: int, reach: int) -> None:
        super().__init__()
        if filters < 1 or reach < 1:
            raise ValueError(f"{filters} filters of reach {reach}; try 1 or more of each")
        self.reach = reach
        places = torch.arange(-reach, reach + 1).double()
        cuts = torch.logspace(0, -math.log10(max(reach, 2)), filters).double()  # of half the rate
        window = torch.kaiser_window(2 * reach + 1, periodic=False, beta=6.0, dtype=torch.double)
        taps = torch.sinc(cuts[:, None] * places) * window
        taps = (taps / taps.square().sum(1, keepdim=True).sqrt()).float()
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, noise: Tensor) -> Tensor:
        """(b, a, m) -> (b, a - 2 reach, m * filters)."""
        b, a, m = noise.shape
        rows = F.conv1d(noise.transpose(1, 2).reshape(b * m, 1, a), self.taps[:, None])
        return rows.view(b, m, len(self.taps), -1).permute(0, 3, 1, 2).flatten(2)


class MovingConv(nn.Module):
    """A 3D filter whose inputs a style scales moment by moment, and whose outputs are scaled back by that of theirs.

    `ModulatedConv` with time; one moment at each end goes.
    """

    def __init__(self, width: int, out: int, style: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, width, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out))
        self.style = nn.Linear(style, width)
        nn.init.ones_(self.style.bias)
        self.gain = 1 / math.sqrt(27 * width)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(b, width, t, h, w), (b, t, style) -> (b, out, t - 2, h, w)."""
        scale, weight = self.style(style), self.weight * self.gain
        y = F.conv3d(x * scale.transpose(1, 2)[..., None, None], weight, padding=(0, 1, 1))
        size = scale[:, 1:-1].square() @ weight.square().sum((2, 3, 4)).T
        y = y * (size + 1e-8).rsqrt().transpose(1, 2)[..., None, None]
        return y + self.bias[:, None, None, None]


class Span:
    """Which moments a volume's levels need for frames `first` to `last`, from the finest back to the noise."""

    def __init__(self, doublings: tuple[bool, ...], reach: int, first: int, last: int) -> None:
        for doubles in reversed(doublings):
            first, last = first - 1, last + 1  # of the filter
            if doubles:
                first, last = (first - 1) // 2, (last + 1) // 2  # of the interpolation
        self.first, self.last = first, last
        self.anchors = range(first - reach, last + reach + 1)


class MovingNoise(nn.Module):
    """Codes of moments on a grid: filtered noise under a film's style; in the place of `MotionCode`."""

    def __init__(self, shape: SynthesisShape, filters: int, doublings: tuple[bool, ...]) -> None:
        super().__init__()
        self.bank = LowPassBank(filters, shape.reach)
        self.doublings, self.spacing = doublings, shape.spacing / 2 ** sum(doublings)
        self.code = nn.Sequential(
            nn.Linear(shape.style + filters * shape.motion, shape.style),
            nn.LeakyReLU(0.2),
            nn.Linear(shape.style, shape.style),
        )

    def numbers(self, times: Tensor) -> Tensor:
        """Frames' numbers (t,) of `times` in seconds; ValueError between frames."""
        places = times.double() / self.spacing
        if float((places - places.round()).abs().max()) > 1e-3:
            raise ValueError(f"a moment between frames; try multiples of {self.spacing} s")
        return places.round().long()

    def span(self, times: Tensor) -> Span:
        """What painting `times` needs."""
        numbers = self.numbers(times)
        first, last = int(numbers.min()), int(numbers.max())
        return Span(self.doublings, self.bank.reach, first, last)

    def anchors(self, times: Tensor) -> range:
        """Numbers of the steps whose noise the frames at `times` depend on."""
        return self.span(times).anchors

    def forward(self, style: Tensor, noise: Tensor) -> Tensor:
        """style (b, style), noise (b, a, motion) -> codes (b, a - 2 reach, style)."""
        slow = self.bank(noise)
        found: Tensor = self.code(
            torch.cat([style[:, None].expand(-1, slow.shape[1], -1), slow], -1)
        )
        return found


class VolumeGenerator(nn.Module):
    """A generator of videos as volumes; stands where `synthesis.Generator` does.

    shape: its `spacing` is that of the coarsest moments, its `reach` half the widest filter, in those
    steps; its `widths`, coarsest first, each level twice the size in space. doublings: levels past the
    first that are twice as fine in time as well, first ones first. Times must lie on the grid of frames,
    and all frames between the first and the last of a call are painted.
    """

    observer = None

    def __init__(self, shape: SynthesisShape, doublings: int = 2, filters: int = 8) -> None:
        super().__init__()
        levels = len(shape.widths)
        if not 0 <= doublings < levels:
            raise ValueError(f"{doublings} doublings of {levels} levels; try 0 to {levels - 1}")
        doubles = tuple(0 < level <= doublings for level in range(levels))
        self.shape, coarse = shape, shape.widths[0]
        self.mapping = StyleMapping(shape.style)
        self.motion = MovingNoise(shape, filters, doubles)
        self.begin = nn.Parameter(torch.randn(coarse, 4, 4))
        self.move = nn.Linear(shape.style, coarse)
        self.filters = nn.ModuleList(
            MovingConv(before, width, shape.style)
            for before, width in zip((coarse, *shape.widths), shape.widths, strict=False)
        )
        self.colour = ModulatedConv(shape.widths[-1], shape.channels, shape.style, 1, False)

    @property
    def down(self) -> int:
        """Pixels along an edge of a place of the coarse volume."""
        return int(2 ** (len(self.shape.widths) - 1))

    def forward(
        self,
        style: Tensor,
        anchors: Tensor,
        times: Tensor,
        size: tuple[int, int],
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """As `Generator`; ValueError for something seen, for sizes off `down`, for times off the grid."""
        h, w = size
        if seen is not None:
            raise ValueError("volumes observe nothing; try Generator with a FrameObserver")
        if h % self.down or w % self.down:
            raise ValueError(f"a picture of {w}x{h}; try multiples of {self.down}")
        first = self.motion.span(times).first
        code = self.motion(style, anchors)
        grid = (h // self.down, w // self.down)
        x = F.interpolate(self.begin[None], grid, mode="bilinear")[:, :, None]
        x = x + self.move(code).transpose(1, 2)[..., None, None]
        for level, (mix, doubles) in enumerate(
            zip(self.filters, self.motion.doublings, strict=True)
        ):
            if level:
                x = F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="trilinear")
            if doubles:
                x, code, first = doubled(x, 2), doubled(code, 1), 2 * first + 1
            x = F.leaky_relu(mix(x, code), 0.2) * math.sqrt(2)
            code, first = code[:, 1:-1], first + 1
        rows = (self.motion.numbers(times) - first).to(x.device)
        frames = x.index_select(2, rows).transpose(1, 2).flatten(0, 1)
        made: Tensor = self.colour(frames, code.index_select(1, rows).flatten(0, 1))
        return made.unflatten(0, (len(style), len(times)))


def doubled(x: Tensor, axis: int) -> Tensor:
    """Twice as many moments by linear interpolation, a quarter and three quarters of the way; 2n - 2 of n."""
    twice = x.repeat_interleave(2, axis)
    count = twice.shape[axis]
    early, middle, late = (twice.narrow(axis, n, count - 2) for n in range(3))
    return (early + 2 * middle + late) / 4
