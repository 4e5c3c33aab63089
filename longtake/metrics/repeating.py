"""Does a film come back to itself? Each small picture beside those before it, and autocorrelation at every lag."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from longtake.errors import InputError
from longtake.metrics.film import Frames, Stretch, measure
from longtake.metrics.scores import Score

RATE = 10.0  # most pictures a second that are compared
GRID, NEAR = (
    24,
    5,
)  # a picture is GRID x GRID means of brightness, less the mean of NEAR x NEAR of them
LONGEST = 120.0  # seconds of lag
BLOCK = 20.0  # seconds over which a lag must hold
REPEATS = 0.6  # a dip this deep below the trend is called a repetition
AGAIN = 0.1  # of a film: so much that was seen before is called one too
_LEAST_PAIRS = 8.0  # seconds of pairs without which a lag says nothing
_LEAST_SHARE = 0.4  # of a film, or of BLOCK, that is enough
_FLOOR = 1e-3  # levels squared: less is no difference at all
_BESIDE = 0.7  # seconds on each side of a lag at which one picture is compared
_TWICE = 1.5  # times the least difference that counts as equal to it
_RUNS, _LISTED = 64, 8  # runs of likeness that are kept, and told
_AROUND = (1.5, 4.0, 10.0)  # seconds on each side that make the trend


class Repetition:
    """The share of a film's time that shows what it has shown before, 0 to 1; and autocorrelation beside it.

    A picture repeats when it is far nearer to the one some lag before it than to those around that one,
    and so do its neighbours at the same lag. `dip` in the detail is how far the difference at one lag
    dips below that at the lags around it: D(l), the mean square difference of pictures l seconds apart, is
    2 var (1 - r) of the autocorrelation r, so a peak of r above its trend is a dip of D. It is told of the
    whole film and of every BLOCK seconds of it; the deepest counts. Only fine structure is compared: a few
    large clouds look alike by chance. A film that runs backwards and forwards is not found.
    """

    def __init__(self, longest: float = LONGEST) -> None:
        self.longest = longest
        self._rate = 0.0
        self._seen = self._again = self._told = 0
        self._ring = torch.zeros(0)
        self._runs: dict[int, tuple[int, int]] = {}  # by lag, first and last picture
        self._ended: list[tuple[int, int, int]] = []  # the longest: pictures, lag, first picture
        self._best = (0.0, 0)

    def see(self, stretch: Stretch) -> None:
        step = max(1, round(stretch.fps / RATE))
        if not self._rate:
            self._begin(stretch.fps / step)
        places = [n for n in range(len(stretch.luma)) if (stretch.first + n) % step == 0]
        if places:
            small = adaptive_avg_pool2d(stretch.luma[places, None], GRID).double()
            near = avg_pool2d(small, NEAR, 1, NEAR // 2, count_include_pad=False)
            self._take((small - near).flatten(1) / GRID)

    def _begin(self, rate: float) -> None:
        self._rate = rate
        self._lags = max(2, int(self.longest * rate))
        self._ring = torch.zeros(self._lags, GRID * GRID, dtype=torch.float64)
        self._film, self._block = _Lagged(self._lags), _Lagged(self._lags)

    def _take(self, rows: Tensor) -> None:
        """Compare each new picture with those up to the longest lag before it, newest last."""
        line = torch.cat([self._ring, rows])
        power = line.square().sum(1)
        begin = self._lags
        apart = power[begin:, None] + power - 2 * rows @ line.T
        lags = torch.arange(1, self._lags + 1)
        there = begin + torch.arange(len(rows))[:, None] - lags
        known = there >= begin - self._seen
        found = torch.where(known, apart.gather(1, there.clamp(min=0)).clamp(min=0), 0.0)
        for lagged in (self._film, self._block):
            lagged.add(found.sum(0), known.sum(0), len(rows))
        self._mark(found, known)
        self._ring = line[len(rows) :].clone()
        self._seen += len(rows)
        if self._block.count >= BLOCK * self._rate:
            self._judge(self._block)
            self._block = _Lagged(self._lags)

    def _mark(self, found: Tensor, known: Tensor) -> None:
        """Notes runs of pictures that are far nearer to those one lag ago than to those around that lag."""
        near, wide = math.ceil(self._rate), math.ceil(_BESIDE * self._rate)
        for row, (line, heard) in enumerate(zip(found, known.sum(1).tolist(), strict=True)):
            if heard < near + wide:
                continue
            seen = line[:heard]
            alike = seen[near:] <= _TWICE * float(seen[near:].min()) + _FLOOR
            place = near + int(alike.int().argmax())  # of equals the shortest lag
            around = min(float(seen[place - wide]), float(seen[min(place + wide, heard - 1)]))
            if float(seen[place]) + _FLOOR < (1 - REPEATS) * (around + _FLOOR):
                now, lag = self._seen + row, place + 1
                begin, last = self._runs.get(lag, (now, now))
                if now - last > wide:
                    self._ended = sorted([*self._ended, (last - begin, lag, begin)])[-_RUNS:]
                    begin = last = now
                self._runs[lag] = (begin, now)
                self._again += now - max(last, self._told)
                self._told = now

    def _stretches(self) -> list[tuple[int, int, int]]:
        """The longest runs that do not overlap, the longest first."""
        runs = self._ended + [(b - a, lag, a) for lag, (a, b) in self._runs.items()]
        found: list[tuple[int, int, int]] = []
        for length, lag, begin in sorted(runs, reverse=True):
            apart = (begin > b + n or b > begin + length for n, _, b in found)
            if length and all(apart):
                found.append((length, lag, begin))
        return found[:_LISTED]

    def _judge(self, lagged: _Lagged) -> None:
        depth, lag = _dip(lagged.mean(self._least(lagged.count)), self._rate)
        self._best = max(self._best, (depth, lag))

    def score(self) -> Score:
        if not self._rate:
            raise InputError("no frames", "repetition", "a longer film")
        self._judge(self._film)
        share, (depth, lag) = self._again / self._seen, self._best
        runs = [[count / self._rate for count in run] for run in self._stretches()]
        length, again, begin = runs[0] if runs else (0.0, 0.0, 0.0)
        if depth > REPEATS:
            verdict = f"repeats after {lag / self._rate:.1f} s"
        else:
            verdict = f"repeats after {again:.1f} s" if share > AGAIN else "does not repeat"
        detail = {
            "dip": depth,
            "lag": lag / self._rate,
            "stretch": length,
            "stretch_lag": again,
            "at": begin,
            "stretches": sorted([round(at, 3), round(n, 3), round(lag, 3)] for n, lag, at in runs),
            "longest_lag": min(self.longest, (self._seen - self._least(self._seen)) / self._rate),
        }
        return Score(share, "repetition-v2", "low", verdict, detail)

    def _least(self, pictures: int) -> float:
        """Pairs without which a lag says nothing about so many pictures."""
        return min(_LEAST_PAIRS * self._rate, _LEAST_SHARE * pictures)


class _Lagged:
    """Sums by lag."""

    def __init__(self, lags: int) -> None:
        self.sums = torch.zeros(lags, dtype=torch.float64)
        self.pairs = torch.zeros(lags, dtype=torch.int64)
        self.count = 0

    def add(self, sums: Tensor, pairs: Tensor, count: int) -> None:
        self.sums += sums
        self.pairs += pairs
        self.count += count

    def mean(self, least: float) -> Tensor:
        """D by lag, as far as there are `least` pairs."""
        enough = self.pairs >= least
        return self.sums[enough] / self.pairs[enough]


def _dip(course: Tensor, rate: float) -> tuple[float, int]:
    """The deepest dip of D below its trend, and its lag in pictures; of about equals the shortest lag.

    The trend is the lower of the medians on either side, so that a slope is no dip.
    """
    depths = torch.zeros(len(course) + 1, dtype=torch.float64)  # by lag
    for around in _AROUND:
        wide, near = math.ceil(around * rate), math.ceil(around * rate / 4)
        for lag in range(max(near + 1, round(rate)), len(course) - near):
            left = course[max(0, lag - 1 - wide) : lag - near]
            right = course[lag - 1 + near : lag + wide]
            trend = min(float(left.median()), float(right.median()))
            depth = 1 - (float(course[lag - 1]) + _FLOOR) / (trend + _FLOOR)
            depths[lag] = max(float(depths[lag]), depth)
    deepest = float(depths.max())
    first = int(torch.nonzero(depths >= 0.95 * deepest)[0])
    lag = first + int(depths[first : first + round(rate)].argmax())
    return deepest, lag if deepest else 0


def repetition(frames: Frames, fps: float = 10.0, longest: float = LONGEST) -> Score:
    """How much of a film shows what it has shown before; see Repetition."""
    return measure(frames, fps, [Repetition(longest)])[0]
