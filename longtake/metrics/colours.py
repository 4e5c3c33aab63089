"""How alike the colours of a film stay as time goes by: histogram intersection against lag."""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.metrics.film import Stretch
from longtake.metrics.scores import Score

BINS = 20  # of each channel, as LongVideoGAN (Brooks et al. 2022) has it
MOST = 1024  # frames of a film that are kept
LAG = 10.0  # seconds at which the score is told; half the film, where that is shorter
_POINTS = 24


class ColourLag:
    """The mean intersection of colour histograms of frames LAG seconds apart: 1 for the same colours.

    Histograms have BINS bins a channel; the intersection is the sum of the smaller shares, averaged
    over channels. At most MOST evenly spread frames are kept. The detail holds the course over lags.
    """

    def __init__(self) -> None:
        self._step, self._fps, self._frames = 1, 1.0, 0
        self._rows: list[tuple[int, Tensor]] = []

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        for place in range(len(stretch.frames)):
            number = stretch.first + place
            if number % self._step == 0:
                self._rows.append((number, _histogram(stretch.frames[place])))
        self._frames = stretch.first + len(stretch.frames)
        while len(self._rows) > MOST:
            self._step *= 2
            self._rows = [item for item in self._rows if item[0] % self._step == 0]

    def score(self) -> Score:
        if len(self._rows) < 4:
            raise InputError(f"a film of {self._frames} frames", "colours", "4 frames or more")
        rows = torch.stack([row for _, row in self._rows])
        most = len(rows) // 2
        places = torch.linspace(1, most, min(_POINTS, most)).round().long().tolist()
        means = [float(torch.minimum(rows[lag:], rows[:-lag]).sum(1).mean()) for lag in places]
        seconds = [lag * self._step / self._fps for lag in places]
        wanted = min(LAG, seconds[-1])
        near = min(range(len(places)), key=lambda n: abs(seconds[n] - wanted))
        course = [[round(s, 3), round(m, 5)] for s, m in zip(seconds, means, strict=True)]
        detail = {"lag": seconds[near], "course": course}
        return Score(means[near], "colour-histogram-lag-v1", "high", detail=detail)


def _histogram(frame: Tensor) -> Tensor:
    """(3 * BINS,) shares that sum to 1."""
    levels = (frame.float() * (BINS / 256)).floor().clamp(0, BINS - 1).long().flatten(1)
    counts = torch.zeros(3, BINS).scatter_add_(1, levels, torch.ones(levels.shape))
    return (counts / counts.sum()).flatten()
