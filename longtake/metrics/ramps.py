"""Where a film's look goes from one level to another, and by how much."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

LEAST = 0.1  # of a change that is told
MOST = 4  # ramps told of a film
_USUAL = 3.0  # times the film's usual change over as long a time
_JUMP, _AROUND = 8.0, 4  # times the median step of the nine around it: a cut, and no ramp
_STILL = 2e-3  # of a step, so that stillness makes no jumps
_SHORTEST = 0.5  # seconds
_SLACK = 0.9  # of the largest change: the shortest span that has so much is taken

# Levels that are added so that black is no denominator: brightness, red, green, blue, contrast, sharpness.
_FLOOR = torch.tensor([8.0, 8, 8, 8, 2, 0.2], dtype=torch.float64)
_NAMES = (
    "brightness",
    "colour",
    "colour",
    "colour",
)  # contrast and sharpness come and go with motion


@dataclasses.dataclass(frozen=True)
class Ramp:
    """A change of look by `size`, from `begin` to `end` seconds."""

    begin: float
    end: float
    name: str
    size: float


def signals(means: Tensor) -> Tensor:
    """Looks (n, 6) of which differences are relative changes.

    means: brightness, red, green, blue, deviation of brightness, difference of neighbouring pixels, in levels.
    Logarithms; colour in shares of the three, times 3; sharpness is that of equal contrast.
    """
    raised = means.double() + _FLOOR
    light, tints = raised[:, :1].log(), 3 * raised[:, 1:4] / raised[:, 1:4].sum(1, keepdim=True)
    contrast, edges = raised[:, 4:5].log(), raised[:, 5:].log()
    return torch.cat([light, tints, contrast, edges - contrast], 1)


def changes(early: Tensor, late: Tensor) -> dict[str, float]:
    """By name, how looks (6,) differ, in shares; of colour the channel that differs most."""
    apart = (signals(late[None]) - signals(early[None]))[0]
    colour = float(apart[1:4].abs().max())
    return {
        "brightness": float(apart[0]),
        "colour": colour,
        "contrast": float(apart[4]),
        "sharpness": float(apart[5]),
    }


def ramps(means: Tensor, step: float) -> list[Ramp]:
    """The ramps of light and colour in a course of looks (n, 6), a row every `step` seconds; MOST at most.

    Jumps are taken out first, so that a cut is no ramp. A ramp is larger than LEAST and than the
    film's usual change over as long a time.
    """
    course = _without_jumps(signals(means)[:, : len(_NAMES)])
    found: list[Ramp] = []
    free = torch.ones(len(course), dtype=torch.bool)
    while len(found) < MOST and (best := _largest(course, free, step)) is not None:
        ramp, begin, end = best
        free[begin : end + 1] = False
        if ramp.end - ramp.begin >= _SHORTEST:
            found.append(ramp)
    return sorted(found, key=lambda ramp: ramp.begin)


def _without_jumps(course: Tensor) -> Tensor:
    """Less the steps that are far larger than those around them."""
    if len(course) <= 2 * _AROUND:
        return course
    ways = course[1:] - course[:-1]
    ends = [ways[:1].expand(_AROUND, -1), ways, ways[-1:].expand(_AROUND, -1)]
    usual = torch.cat(ends).abs().unfold(0, 2 * _AROUND + 1, 1).median(-1).values
    kept = ways.abs() < _JUMP * usual.clamp(min=_STILL)
    return torch.cat([course[:1], course[:1] + (ways * kept).cumsum(0)])


def _largest(course: Tensor, free: Tensor, step: float) -> tuple[Ramp, int, int] | None:
    """The largest change that is left, and the points it takes."""
    sums = torch.cat([torch.zeros(1, len(_NAMES), dtype=torch.float64), course.cumsum(0)])
    taken = torch.cat([torch.zeros(1, dtype=torch.int64), (~free).cumsum(0)])
    tried = []
    span = max(1, round(_SHORTEST / step))
    while 2 * span < len(course):
        wide = max(1, span // 2)  # of a level, on either side
        held = (sums[wide:] - sums[:-wide]) / wide
        apart = held[wide + span :] - held[: -wide - span]
        inside = taken[2 * wide + span :] == taken[: -2 * wide - span]
        usual = apart.abs().median(0).values
        size = apart.abs() * (apart.abs() > _USUAL * usual) * inside[:, None]
        place = int(size.argmax())
        tried.append((float(size.flatten()[place]), span, *divmod(place, len(_NAMES))))
        span *= 2
    most = max((size for size, *_ in tried), default=0.0)
    if most <= LEAST:
        return None
    size, span, first, channel = next(each for each in tried if each[0] >= _SLACK * most)
    wide = max(1, span // 2)
    line = course[first : first + 2 * wide + span, channel]
    low, high = line[:wide].mean(), line[-wide:].mean()
    gone = (line - low) / (high - low)
    begin = int(torch.nonzero(gone <= 0.15).max()) if bool((gone <= 0.15).any()) else 0
    over = torch.nonzero(gone[begin:] >= 0.85)
    end = begin + int(over.min()) if len(over) else len(line) - 1
    edge = 0.15 / 0.7 * (end - begin)  # the line goes on to both levels
    ramp = Ramp(
        max(0.0, (first + begin - edge + 0.5) * step),
        (first + end + edge + 0.5) * step,
        _NAMES[channel],
        size,
    )
    return ramp, first, first + 2 * wide + span - 1
