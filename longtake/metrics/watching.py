"""What a report shows of a film besides its scores: curves over time, pictures, and moments to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from longtake.metrics.film import Curve, Stretch
from longtake.metrics.overlength import SEAM
from longtake.metrics.scores import Score

CURVES = ("brightness", "red", "green", "blue", "contrast", "sharpness", "change")
_ROOM = 512  # points of a curve
_PICTURES = 32  # kept of a film, at most; a power of two of them spread evenly
_HIGH = 96  # pixels of one

# What makes a moment worth marking besides a seam: seconds still, seconds repeated, a change.
STILL, LOOP, DRIFTED = 0.5, 1.5, 0.1
SEAMS = 8  # of a film that are marked, the largest


@dataclasses.dataclass(frozen=True)
class Point:
    """A moment of a film that a metric points at: from `at` to `until` seconds."""

    at: float
    until: float
    metric: str
    text: str


class Watch:
    """Keeps a film's curves, in grey levels, and evenly spread small pictures of it."""

    def __init__(self) -> None:
        self._curve = Curve(2 * len(CURVES), _ROOM)
        self._step, self.frames, self.fps = 1, 0, 1.0
        self._pictures: list[tuple[int, Tensor]] = []

    def see(self, stretch: Stretch) -> None:
        """Takes in the next frames."""
        self.fps = stretch.fps
        change = stretch.jumps
        if (
            stretch.before is None
        ):  # the first frame differs from none; let it count as the second does
            change = torch.cat([change[:1] if len(change) else change.new_zeros(1), change])
        rows = torch.cat([stretch.looks.double(), change[:, None]], 1)
        self._curve.add(torch.cat([rows, rows.square()], 1))
        for place, frame in enumerate(stretch.frames):
            if (stretch.first + place) % self._step == 0:
                self._pictures.append((stretch.first + place, small(frame)))
            if len(self._pictures) > _PICTURES:
                self._step *= 2
                self._pictures = [p for p in self._pictures if p[0] % self._step == 0]
        self.frames = stretch.first + len(stretch.frames)

    def curves(self) -> tuple[list[float], Mapping[str, tuple[list[float], list[float]]]]:
        """Seconds, and by name the means there and the deviations around them."""
        middles, means = self._curve.points()
        mean, square = means.chunk(2, 1)
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        columns = zip(CURVES, mean.T.tolist(), deviation.T.tolist(), strict=True)
        return (middles / self.fps).tolist(), {name: (m, d) for name, m, d in columns}

    def pictures(self) -> list[tuple[float, Tensor]]:
        """Seconds and pictures (3, h, w) uint8."""
        return [(number / self.fps, picture) for number, picture in self._pictures]


def small(frame: Tensor) -> Tensor:
    """A frame (3, h, w) in 0..255 as a picture of at most 96 lines, uint8."""
    height, width = frame.shape[-2:]
    pixels = frame.float()
    if height > _HIGH:
        size = (_HIGH, max(1, round(width * _HIGH / height)))
        pixels = interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]
    return pixels.round().clamp(0, 255).byte()


def points_of(scores: Mapping[str, Score]) -> list[Point]:
    """The moments that scores by metric name point at, in order of time."""
    found = [point for name, score in scores.items() for point in _points(name, score)]
    return sorted(found, key=lambda point: point.at)


def _points(name: str, score: Score) -> Iterator[Point]:
    detail = score.detail
    if name == "seams":
        known = [(detail["worst_at"], detail["worst"])] if "worst" in detail else detail["seams"]
        for at, ratio in sorted(known, key=lambda seam: -seam[1])[:SEAMS]:
            if ratio > SEAM:
                yield Point(at, at, name, f"a seam: the jump is {ratio:.1f} times those around it")
    elif name == "frozen":
        for at, seconds in detail["stretches"]:
            if seconds >= STILL:
                yield Point(at, at + seconds, name, f"frozen for {seconds:.1f} s")
    elif name == "repetition":
        for at, seconds, lag in detail["stretches"]:
            if seconds >= LOOP:
                text = f"a loop: from here on as {lag:.1f} s before"
                yield Point(at, at + seconds, name, text)
    elif name == "drift":
        for begin, end, what, size in detail["ramps"]:
            yield Point(begin, end, name, f"drift, mostly {what}: a ramp by {size:.0%}")
        told = {f"mostly {what}" for *_, what, _ in detail["ramps"]}
        if score.value > DRIFTED and score.verdict not in told:
            text = f"drift, {score.verdict}: {score.value:.0%} from early to late, steepest here"
            yield Point(detail["at"], detail["at"], name, text)
    elif name in ("psnr", "ssim", "ms-ssim") and score.value != float("inf"):
        text = f"farthest from the reference: {name} {detail['worst']:.3g}"
        yield Point(detail["at"], detail["at"], name, text)
    elif name in ("fvd", "kvd"):
        at = detail["worst_at"]
        yield Point(at, at, name, "the clip least like the reference")
