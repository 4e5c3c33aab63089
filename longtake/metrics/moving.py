"""How much a film moves, and whether what stands still trembles."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import (
    adaptive_avg_pool2d,
    avg_pool2d,
    conv2d,
    grid_sample,
    interpolate,
    pad,
)

from longtake.errors import InputError
from longtake.metrics.film import Stretch
from longtake.metrics.scores import Score

LINES = 64  # of the picture in which motion is looked for
CELL = 16  # lines of a place with one motion
_SCALES = (4, 2, 1)  # coarse to fine
_TURNS = 4  # steps at each scale
_INSIDE = 0.3  # of a place that must stay in the picture
_FLAT = 0.5  # levels squared a pixel: less slope than that is no structure
GRID = 16  # places of a picture's side that stand still or not
STILL = 0.95  # correlation of a place's structure with itself from which on it stands still
REACH = 0.1  # seconds before and after over which it does
_STRUCTURE = 1.0  # levels of deviation without which a place has none
_CHANCE = 0.02  # of the places seem to stand still where none does
_QUIET, _GRAINS = 0.25, 0.7  # share of the places that tell the grain; times its power


class Dynamic:
    """Dynamic degree: the mean length of optical flow, in picture heights a second.

    Lucas-Kanade (1981) on 64 lines, coarse to fine, a motion for each place of 16 lines; places
    without structure have none, nor have those whose motion drowns in grain. `moving` in the detail is
    the share of places past 1% a second.
    """

    def __init__(self) -> None:
        self._before: Tensor | None = None
        self._sum, self._moving, self._count, self._fps = 0.0, 0.0, 0, 1.0

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        height, width = stretch.frames.shape[-2:]
        wide = max(LINES // 2, min(4 * LINES, round(width * LINES / height / 8) * 8))
        # Equal lines of luma whatever the size: then a motion is a share of the height.
        luma = stretch.luma[:, None]
        luma = interpolate(luma, (LINES, wide), mode="bilinear", antialias=height > LINES)
        if self._before is not None:
            luma = torch.cat([self._before, luma])
        self._before = luma[-1:].clone()
        if len(luma) > 1:
            lengths = flow(luma[:-1], luma[1:]).square().sum(1).sqrt() / LINES * stretch.fps
            self._sum += float(lengths.double().mean((1, 2)).sum())
            self._moving += float((lengths > 0.01).double().mean((1, 2)).sum())
            self._count += len(lengths)

    def score(self) -> Score:
        if not self._count:
            raise InputError("a single frame does not move", "dynamic", "2 frames or more")
        detail = {"moving": self._moving / self._count}
        return Score(self._sum / self._count, "dynamic-degree-v2", detail=detail)


def flow(before: Tensor, after: Tensor) -> Tensor:
    """Motions (n, 2, h/16, w/16) in pixels, x and y, from pictures (n, 1, h, w) to the next."""
    before, after = _smooth(before), _smooth(after)
    size = [max(1, side // CELL) for side in before.shape[-2:]]
    moved = torch.zeros(len(before), 2, *size)
    for scale in _SCALES:
        small = [avg_pool2d(z, scale) if scale > 1 else z for z in (before, after)]
        for _ in range(_TURNS):
            there, inside = _shifted(small[1], moved / scale)
            step = _step(small[0], there, inside, size) * scale
            # A place keeps a step only if its picture fits better then.
            missed = _missed(small[0], there, inside, size)
            fits = _missed(small[0], *_shifted(small[1], (moved + step) / scale), size) < missed
            moved = moved + step * fits[:, None]
    missed, unmoved = (_missed(before, *_shifted(after, way), size) for way in (moved, 0 * moved))
    # Any shift fits grain a little better than none: a motion must explain more than the grain's own power.
    grain = missed.flatten(1).quantile(_QUIET, 1)[:, None, None]
    return moved * (unmoved - missed > grain)[:, None]


def _smooth(pictures: Tensor) -> Tensor:
    """(n, 1, h, w), each pixel the mean of those around it, weighed by a Gaussian of a pixel's deviation."""
    line = torch.exp(-torch.arange(-3.0, 4.0).square() / 2)
    line = line / line.sum()
    wide = pad(pictures, (3, 3, 3, 3), mode="replicate")
    return conv2d(conv2d(wide, line[None, None, None]), line[None, None, :, None])


def _shifted(after: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
    """The next picture moved back (n, 1, h, w), and where it was inside (n, h, w)."""
    height, width = after.shape[-2:]
    field = interpolate(moved, (height, width), mode="nearest")
    rows = torch.arange(height)[None, :, None] + field[:, 1]
    columns = torch.arange(width)[None, None] + field[:, 0]
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    places = torch.stack([columns / (width - 1), rows / (height - 1)], -1) * 2 - 1
    return grid_sample(after, places, padding_mode="border", align_corners=True), inside


def _missed(before: Tensor, there: Tensor, inside: Tensor, size: list[int]) -> Tensor:
    """The mean square difference of each place, of what is inside: (n, *size)."""
    square = (there - before)[:, 0].square() * inside
    shares = adaptive_avg_pool2d(inside[:, None].float(), size)[:, 0]
    missed = adaptive_avg_pool2d(square[:, None], size)[:, 0] / shares.clamp(min=1e-6)
    return torch.where(shares > _INSIDE, missed, torch.inf)


def _step(before: Tensor, there: Tensor, inside: Tensor, size: list[int]) -> Tensor:
    """One step of Gauss and Newton (n, 2, *size): what is left to move, at most a pixel."""
    across, down = (
        torch.gradient((before + there) / 2, dim=side)[0][:, 0] * inside for side in (-1, -2)
    )
    change = (there - before)[:, 0] * inside
    xx, xy, yy, xt, yt = (
        adaptive_avg_pool2d(z[:, None], size)[:, 0]
        for z in (across * across, across * down, down * down, across * change, down * change)
    )
    held = 0.02 * (xx + yy) + _FLAT  # what has structure along one line only moves across it
    xx, yy = xx + held, yy + held
    area = xx * yy - xy * xy
    step = torch.stack([xy * yt - yy * xt, xy * xt - xx * yt], 1) / area[:, None]
    return step.clamp(-1, 1)


class StillFlicker:
    """Trembling of brightness where nothing moves: independent noise of deviation s on a place gives s.

    A place of 16 x 16 over the picture stands still while its fine structure correlates with itself
    REACH seconds before and after, by 0.95, the grain taken off its power; brightness does not
    count for that. Grain is what trembles in the fine structure of the quietest quarter of the places. As
    `flicker`, from second differences.
    """

    def __init__(self) -> None:
        self._tail: Tensor | None = None
        self._power, self._still, self._count = 0.0, 0, 0

    def see(self, stretch: Stretch) -> None:
        luma, reach = stretch.luma[:, None], max(1, round(REACH * stretch.fps))
        if self._tail is not None:
            luma = torch.cat([self._tail, luma])
        self._tail = luma[-2 * reach :].clone()
        if len(luma) <= 2 * reach:
            return
        still = _standing(luma - avg_pool2d(luma, 5, 1, 2, count_include_pad=False), reach)
        bend = _bend(adaptive_avg_pool2d(luma, GRID).double())[reach - 1 :][: len(still)]
        self._power += float(bend[still].square().sum())
        self._still += int(still.sum())
        self._count += still.numel()

    def score(self) -> Score:
        if self._still <= _CHANCE * self._count:
            raise InputError("nothing stands still", "still-flicker", "flicker, of all places")
        detail = {"still": self._still / self._count}
        value = math.sqrt(self._power / self._still / 6)
        return Score(value, "still-flicker-v2", "low", detail=detail)


def _standing(fine: Tensor, reach: int) -> Tensor:
    """Where fine structure (n, 1, h, w) stands still, from so many frames before to as many after: (n - 2 reach, 1, GRID, GRID)."""
    three = [fine[: -2 * reach], fine[reach:-reach], fine[2 * reach :]]
    grain = _grain(fine)[reach - 1 :][: len(three[0])]
    power = [adaptive_avg_pool2d(frame * frame, GRID) - grain for frame in three]
    # Of less structure than that a few pixels cannot tell whether it moves.
    still = torch.minimum(power[0], power[2]) > _STRUCTURE**2 + _GRAINS * grain
    for a, b in ((0, 1), (1, 2), (0, 2)):
        both = adaptive_avg_pool2d(three[a] * three[b], GRID)
        still &= both > STILL * (power[a].clamp(min=0) * power[b].clamp(min=0)).sqrt()
    return still


def _grain(fine: Tensor) -> Tensor:
    """The power of independent noise in each frame but the ends (n - 2, 1, 1, 1).

    What trembles from frame to frame, or from pixel to pixel, in the quietest quarter of the places: the
    lesser, for motion does the one and texture the other.
    """
    line = torch.tensor([1.0, -2.0, 1.0])
    apart = conv2d(fine[1:-1], (line[:, None] * line)[None, None])
    found = [
        adaptive_avg_pool2d(change.square(), GRID).flatten(1).quantile(_QUIET, 1) / weight
        for change, weight in ((_bend(fine), 6), (apart, 36))
    ]
    return torch.minimum(*found)[:, None, None, None]


def _bend(values: Tensor) -> Tensor:
    """Second differences in time (n - 2, ...)."""
    return values[2:] - 2 * values[1:-1] + values[:-2]
