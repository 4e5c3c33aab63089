"""One pass over a film in constant memory: stretches of frames, curves over time, and what measures.

Frames are uint8 or floats in 0..255, RGB; differences are told in levels of 255.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from longtake.errors import InputError
from longtake.metrics.scores import Score

Frames = Tensor | Iterable[Tensor]
"""(t, 3, h, w) at once, or one by one as (3, h, w), or chunk by chunk as (t, 3, h, w)."""

CHUNK = 16  # frames looked at together
GRID = 8  # places along each side for `leaps`
MINUTE = 60.0
_LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Some consecutive frames of a film: (t, 3, h, w), the first of them at `first`.

    before: the frame ahead of them, None at the film's beginning.
    """

    frames: Tensor
    first: int
    fps: float
    before: Tensor | None

    @cached_property
    def pixels(self) -> Tensor:
        """(t, 3, h, w) float32."""
        return self.frames.float()

    @cached_property
    def luma(self) -> Tensor:
        """Brightness (t, h, w)."""
        return torch.einsum("tchw,c->thw", self.pixels, _LUMA)

    @cached_property
    def looks(self) -> Tensor:
        """By frame (t, 6): brightness, red, green, blue, deviation of brightness, difference of neighbouring pixels."""
        luma = self.luma
        across, down = (luma[:, :, 1:] - luma[:, :, :-1]), (luma[:, 1:] - luma[:, :-1])
        # A picture one pixel wide has no neighbours that way.
        edges = sum(ways.abs().mean((1, 2)).nan_to_num(0.0) for ways in (across, down)) / 2
        spread = luma.flatten(1).std(1, correction=0)
        return torch.stack(
            [luma.mean((1, 2)), *self.pixels.mean((2, 3)).unbind(1), spread, edges], 1
        )

    @cached_property
    def jumps(self) -> Tensor:
        """Mean absolute difference of each frame from the one before it; the film's first has none."""
        return _apart(self._joined)

    @cached_property
    def leaps(self) -> Tensor:
        """The same of means over GRID x GRID places: motion within a place hardly counts."""
        return _apart(adaptive_avg_pool2d(self._joined, GRID))

    @property
    def _joined(self) -> Tensor:
        """The frames and the one before them, where there is one."""
        if self.before is None:
            return self.pixels
        return torch.cat([self.before.float()[None], self.pixels])

    @property
    def jumped(self) -> range:
        """The frames that `jumps` tells about."""
        return range(self.first + (self.before is None), self.first + len(self.frames))


def _apart(frames: Tensor) -> Tensor:
    """The mean absolute difference of each frame from the one before it (n - 1,)."""
    return (frames[1:] - frames[:-1]).abs().mean((1, 2, 3)).double()


class Meter(Protocol):
    """Watches a film go by and says one number."""

    def see(self, stretch: Stretch) -> None: ...

    def score(self) -> Score:
        """What was seen; InputError when the film was too short to tell."""


def measure(frames: Frames, fps: float, meters: Sequence[Meter]) -> list[Score]:
    """One pass over the film; a score for each meter."""
    for stretch in stretches(frames, fps):
        for meter in meters:
            meter.see(stretch)
    return [meter.score() for meter in meters]


def stretches(frames: Frames, fps: float) -> Iterator[Stretch]:
    """The film in pieces of at most CHUNK frames; InputError for what is not a film."""
    if not (fps > 0 and math.isfinite(fps)):
        raise InputError(f"fps {fps}", "metrics", "10")
    first, before = 0, None
    for chunk in _chunks(frames):
        if not len(chunk):
            continue
        if before is not None and chunk.shape[1:] != before.shape:
            shapes = f"{tuple(chunk.shape[1:])} after {tuple(before.shape)}"
            raise InputError(f"a frame of {shapes}", f"frame {first}", "frames of one size")
        yield Stretch(chunk, first, fps, before)
        first, before = first + len(chunk), chunk[-1]
    if first == 0:
        raise InputError("a film without frames", "metrics", "one frame or more")


def _chunks(frames: Frames) -> Iterator[Tensor]:
    if isinstance(frames, Tensor):
        yield from _checked(frames).split(CHUNK)  # type: ignore[no-untyped-call]
        return
    held: list[Tensor] = []
    for item in frames:
        if item.ndim == 4:
            if held:
                yield torch.stack(held)
                held = []
            yield from _checked(item).split(CHUNK)  # type: ignore[no-untyped-call]
            continue
        if held and item.shape != held[-1].shape:
            yield torch.stack(held)
            held = []
        held.append(_checked(item[None])[0])
        if len(held) == CHUNK:
            yield torch.stack(held)
            held = []
    if held:
        yield torch.stack(held)


def _checked(frames: Tensor) -> Tensor:
    if frames.ndim != 4 or frames.shape[1] != 3:
        raise InputError(f"frames of shape {tuple(frames.shape)}", "metrics", "(t, 3, h, w)")
    return frames


class Curve:
    """Means of `width` quantities over a film's course in at most `room` bins.

    A bin holds one frame at first; whenever there are too many, neighbours merge.
    """

    def __init__(self, width: int, room: int = 4096) -> None:
        self.per_bin, self.frames = 1, 0
        self._sums = torch.zeros(room, width, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Takes in one row for each of the next frames (t, width)."""
        while self.frames + len(rows) > self.per_bin * len(self._sums):
            pairs = self._sums.view(len(self._sums) // 2, 2, -1).sum(1)
            self._sums = torch.cat([pairs, torch.zeros_like(pairs)])
            self.per_bin *= 2
        bins = torch.arange(self.frames, self.frames + len(rows)) // self.per_bin
        self._sums.index_add_(0, bins, rows.double())
        self.frames += len(rows)

    def points(self) -> tuple[Tensor, Tensor]:
        """Middles of the bins in frames (n,), and the means there (n, width)."""
        starts = torch.arange(0, self.frames, self.per_bin, dtype=torch.float64)
        counts = (self.frames - starts).clamp(max=self.per_bin)
        return starts + counts / 2, self._sums[: len(starts)] / counts[:, None]

    def mean(self, begin: float, end: float) -> Tensor:
        """The mean over bins whose middle lies in frames [begin, end): (width,)."""
        middles, means = self.points()
        inside = (middles >= begin) & (middles < end)
        if not bool(inside.any()):
            raise InputError(f"a film of {self.frames} frames", "metrics", "a longer film")
        return means[inside].mean(0)


def early_and_late(curve: Curve, fps: float) -> tuple[Tensor, Tensor, float]:
    """A curve's means over the second and the last minute, and the seconds from one to the other.

    The first minute is left out: there a model may still be finding its way. A film under three minutes is
    cut in thirds instead, of which the first and the last count.
    """
    window = min(MINUTE * fps, curve.frames / 3)
    first = window if window == MINUTE * fps else 0.0
    early = curve.mean(first, first + window)
    apart = (curve.frames - window - first) / fps
    return early, curve.mean(curve.frames - window, curve.frames), apart
