"""How much a film moves, and whether what stands still trembles."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, grid_sample, interpolate

from longtake.errors import InputError
from longtake.metrics.film import Stretch
from longtake.metrics.scores import Score

LINES = 64  # of the picture in which motion is looked for
CELL = 16  # lines of a place with one motion
_SCALES = (4, 2, 1)  # coarse to fine
_TURNS = 4  # steps at each scale
_INSIDE = 0.3  # of a place that must stay in the picture
_FLAT = 0.5  # levels squared a pixel: less slope than that is no structure
_ENDS = (slice(0, -2), slice(2, None))  # of three pictures in a row
GRID = 16  # places of a picture's side that stand still or not
STILL = 0.95  # correlation of a place's structure with itself from which on it stands still
_STRUCTURE = 1.0  # levels of deviation without which a place has none


class Dynamic:
    """Dynamic degree: the mean length of optical flow, in picture heights a second.

    Lucas-Kanade (1981) on 64 lines, coarse to fine, a motion for each place of 16 lines; places
    without structure have none. `moving` in the detail is the share of places past 1% a second.
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
        return Score(self._sum / self._count, "dynamic-degree-v1", detail=detail)


def flow(before: Tensor, after: Tensor) -> Tensor:
    """Motions (n, 2, h/16, w/16) in pixels, x and y, from pictures (n, 1, h, w) to the next."""
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
    return moved


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
    over three frames, by 0.95; brightness does not count for that. As `flicker`, from second
    differences.
    """

    def __init__(self) -> None:
        self._tail: Tensor | None = None
        self._power, self._still, self._count = 0.0, 0, 0

    def see(self, stretch: Stretch) -> None:
        luma = stretch.luma[:, None]
        if self._tail is not None:
            luma = torch.cat([self._tail, luma])
        self._tail = luma[-2:].clone()
        if len(luma) < 3:
            return
        fine = luma - avg_pool2d(luma, 5, 1, 2, count_include_pad=False)
        power = adaptive_avg_pool2d(fine * fine, GRID)
        still = torch.minimum(power[2:], power[:-2]) > _STRUCTURE**2
        for a, b in ((slice(0, -2), slice(1, -1)), (slice(1, -1), slice(2, None)), _ENDS):
            both = adaptive_avg_pool2d(fine[a] * fine[b], GRID)
            still &= both > STILL * (power[a] * power[b]).sqrt()
        cells = adaptive_avg_pool2d(luma, GRID).double()
        bend = cells[2:] - 2 * cells[1:-1] + cells[:-2]
        self._power += float(bend[still].square().sum())
        self._still += int(still.sum())
        self._count += still.numel()

    def score(self) -> Score:
        if not self._still:
            raise InputError("nothing stands still", "still-flicker", "flicker, of all places")
        detail = {"still": self._still / self._count}
        value = math.sqrt(self._power / self._still / 6)
        return Score(value, "still-flicker-v1", "low", detail=detail)
