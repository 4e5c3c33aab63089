"""What goes wrong in long films: seams, slowing down, freezing, flicker, drift."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from longtake.errors import InputError
from longtake.metrics.distances import slope
from longtake.metrics.film import Curve, Frames, Meter, Stretch, early_and_late, measure
from longtake.metrics.ramps import changes, ramps
from longtake.metrics.scores import Score

FROZEN = 0.02  # levels of mean difference under which two frames count as one
AROUND = 8  # transitions on each side that a jump is held against
_LEAST = 0.1  # levels added to both sides of a local ratio, so that stillness is no denominator
# The same where no border is known: an encoder's keyframe changes a still picture by one or two levels.
_SEEN = 2.0
_SPARED = 2  # larger jumps around a seam
SEAM = 2.0  # times the jumps around it that make a jump a seam
_LISTED = 16  # seams, and frozen stretches, that are told one by one
_BRIDGE = (
    2.0  # levels of change, once, that do not end a stretch that stands still: keyframes again
)


class Joins:
    """How much more frames differ across borders than elsewhere; 1 is seamless.

    borders: frames at which a new piece begins; cuts: frames that may jump, not counted at all.
    `worst` in the detail holds one border against the median of its neighbours.
    """

    def __init__(self, borders: Collection[int], cuts: Collection[int] = ()) -> None:
        self.borders, self.cuts = frozenset(borders), frozenset(cuts)
        self._sums, self._counts = [0.0, 0.0], [0, 0]
        self._local, self._worst, self._fps = _Local(), (0.0, 0), 1.0

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        for frame, jump in zip(stretch.jumped, stretch.jumps.tolist(), strict=True):
            if frame in self.cuts:
                continue
            across = frame in self.borders
            self._sums[across] += jump
            self._counts[across] += 1
            self._weigh(self._local.add(frame, jump))

    def _weigh(self, ratios: Iterable[tuple[int, float]]) -> None:
        for frame, ratio in ratios:
            if frame in self.borders:
                self._worst = max(self._worst, (ratio, frame))

    def score(self) -> Score:
        if not all(self._counts):
            raise InputError("no border inside the film", "joins", "borders from the film's plan")
        self._weigh(self._local.rest())
        inside, across = (total / n for total, n in zip(self._sums, self._counts, strict=True))
        value = across / inside if inside else (1.0 if not across else math.inf)
        ratio, frame = self._worst
        detail = {
            "borders": self._counts[1],
            "across": across,
            "inside": inside,
            "worst": ratio,
            "worst_at": frame / self._fps,
        }
        return Score(value, "join-ratio-v1", "low", detail=detail)


class Seams:
    """The largest jump of a film against the third largest around it, where no border is known.

    A gesture has several large jumps together, a seam has one: two more beside it are borne. Jumps are
    looked at pixel by pixel and between means of 8 x 8 places, where moving by less than a place hardly
    counts; the larger ratio is told.

    cuts: frames that may jump. An unknown cut, or lightning, counts as a seam: nothing tells it apart.
    Two levels are added to both sides of the ratio, one to those of places, so that coding of a still picture
    is none. The detail lists up to 16 jumps over twice their neighbours, as (second, ratio).
    """

    def __init__(self, cuts: Collection[int] = ()) -> None:
        self.cuts = frozenset(cuts)
        self._fine, self._coarse = _Local(_SEEN, _SPARED), _Local(_SEEN / 2, _SPARED)
        self._worst = (0.0, 0)
        self._fps, self._over, self._count = 1.0, 0, 0
        self._found: list[tuple[float, int]] = []

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        both = zip(stretch.jumps.tolist(), stretch.leaps.tolist(), strict=True)
        for frame, (jump, leap) in zip(stretch.jumped, both, strict=True):
            if frame not in self.cuts:
                self._weigh(self._fine.add(frame, jump), self._coarse.add(frame, leap))

    def _weigh(
        self, fine: Iterable[tuple[int, float]], coarse: Iterable[tuple[int, float]]
    ) -> None:
        for (centre, one), (_, other) in zip(fine, coarse, strict=True):
            ratio = max(one, other)
            self._worst = max(self._worst, (ratio, centre))
            self._count += 1
            if ratio > SEAM:
                self._over += 1
                self._found = sorted([*self._found, (ratio, centre)])[-_LISTED:]

    def score(self) -> Score:
        self._weigh(self._fine.rest(), self._coarse.rest())
        if not self._count:
            raise InputError("a single frame has no seams", "seams", "a longer film")
        value, centre = self._worst
        found = sorted([frame / self._fps, round(ratio, 3)] for ratio, frame in self._found)
        over = {"over_twice": self._over / self._count, "seams": found}
        detail = {"at": centre / self._fps, **over}
        return Score(value, "largest-jump-v3", "low", detail=detail)


class _Local:
    """Jumps against those of the AROUND on each side, told as soon as they are known.

    spared: how many of them may be larger than what counts as usual; None: half, the median.
    """

    def __init__(self, least: float = _LEAST, spared: int | None = None) -> None:
        self._held: deque[tuple[int, float]] = deque(maxlen=2 * AROUND + 1)
        self._least, self._spared = least, spared
        self._full = False

    def add(self, frame: int, jump: float) -> list[tuple[int, float]]:
        """(frame, ratio) of the jumps that can now be judged."""
        self._held.append((frame, jump))
        if len(self._held) <= 2 * AROUND:
            return []
        places = (AROUND,) if self._full else range(AROUND + 1)
        self._full = True
        return [self._ratio(place) for place in places]

    def rest(self) -> list[tuple[int, float]]:
        """The jumps at the film's end, whose right side is short."""
        begin = AROUND + 1 if self._full else 0
        return [self._ratio(place) for place in range(begin, len(self._held))]

    def _ratio(self, place: int) -> tuple[int, float]:
        others = sorted(jump for n, (_, jump) in enumerate(self._held) if n != place)
        half = len(others) // 2
        rank = half if self._spared is None else max(half, len(others) - 1 - self._spared)
        usual = others[rank] if others else self._held[place][1]
        frame, jump = self._held[place]
        return frame, (jump + self._least) / (usual + self._least)


def jumps_against_neighbours() -> _Local:
    """Told a film's jumps, says how each compares with those around it, a picture's coding counted out."""
    return _Local(_SEEN)


class Motion:
    """Mean frame difference late in a film over that early on (`early_and_late`); below 1 it slows down."""

    def __init__(self) -> None:
        self._curve, self._fps = Curve(1), 1.0

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        self._curve.add(stretch.jumps[:, None])

    def score(self) -> Score:
        if self._curve.frames < 3:
            raise InputError("too few frames for motion", "motion", "4 frames or more")
        early, late, _ = early_and_late(self._curve, self._fps)
        before, after = float(early), float(late)
        value = after / before if before else (1.0 if not after else math.inf)
        return Score(value, "motion-ratio-v2", detail={"early": before, "late": after})


class Frozen:
    """The share of frames that repeat the one before.

    The longest stretch in the detail bears single frames that change by less than two levels, as an
    encoder's keyframes do; the share does not count them.
    """

    def __init__(self, under: float = FROZEN) -> None:
        self.under, self._still, self._count = under, 0, 0
        self._run, self._end, self._fps = 0, 0, 1.0
        self._stretches: list[tuple[int, int]] = []  # frames, and the last of them
        self._was = self._bridged = False

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        for frame, jump in zip(stretch.jumped, stretch.jumps.tolist(), strict=True):
            still = jump < self.under
            self._still, self._count = self._still + still, self._count + 1
            bridged = not still and self._was and jump < _BRIDGE
            if still:
                self._run, self._end = self._run + 1 + self._bridged, frame
            elif self._run and not bridged:
                self._stretches, self._run = self._known(), 0
            self._bridged, self._was = bridged, still

    def _known(self) -> list[tuple[int, int]]:
        """The longest stretches so far, in order of length."""
        now = [(self._run, self._end)] if self._run else []
        return sorted([*self._stretches, *now])[-_LISTED:]

    def score(self) -> Score:
        if not self._count:
            raise InputError("a single frame cannot freeze", "frozen", "a longer film")
        stretches = [((last - n) / self._fps, n / self._fps) for n, last in self._known()]
        at, longest = stretches[-1] if stretches else (0.0, 0.0)
        verdict = f"still for {longest:.1f} s" if longest >= 1 else "never still for a second"
        listed = [[round(at, 3), round(n, 3)] for at, n in sorted(stretches)]
        detail = {"longest": longest, **({"at": at} if longest else {}), "stretches": listed}
        return Score(self._still / self._count, "frozen-share-v1", "low", verdict, detail)


class Flicker:
    """Trembling of brightness: what is left of local means (8x8 over the picture) after smooth change.

    The root mean square of second differences over sqrt(6): independent noise of deviation s on
    the brightness of a still scene gives s, in levels.
    """

    def __init__(self) -> None:
        self._tail = torch.zeros(0, 64, dtype=torch.float64)
        self._power, self._whole, self._count = 0.0, 0.0, 0

    def see(self, stretch: Stretch) -> None:
        cells = adaptive_avg_pool2d(stretch.luma[:, None], 8).flatten(1).double()
        cells = torch.cat([self._tail, cells])
        self._tail = cells[-2:]
        if len(cells) < 3:
            return
        bend = cells[2:] - 2 * cells[1:-1] + cells[:-2]
        self._power += float(bend.square().mean(1).sum())
        self._whole += float(bend.mean(1).square().sum())
        self._count += len(bend)

    def score(self) -> Score:
        if not self._count:
            raise InputError("too few frames for flicker", "flicker", "3 frames or more")
        value, whole = (math.sqrt(p / self._count / 6) for p in (self._power, self._whole))
        return Score(value, "flicker-v1", "low", detail={"whole_picture": whole})


class Drift:
    """How far brightness, colour, contrast and sharpness have gone from early to late (`early_and_late`).

    The root of the sum of their squared relative changes, so that each counts beside a larger one.
    `ramps` in the detail lists (begin, end, what, by how much) wherever they are. A film whose script
    changes the light drifts rightly: compare with the same script's truth.
    """

    def __init__(self) -> None:
        self._curve, self._fps = Curve(6), 1.0

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        self._curve.add(stretch.looks)

    def score(self) -> Score:
        if self._curve.frames < 3:
            raise InputError("too few frames for drift", "drift", "3 frames or more")
        early, late, apart = early_and_late(self._curve, self._fps)
        gone = changes(early, late)
        name = max(gone, key=lambda key: abs(gone[key]))
        middles, means = self._curve.points()
        brightness = slope((middles / self._fps).tolist(), means[:, 0].tolist()) * 60
        at = float(_steepest(middles, means, name)) / self._fps
        listed = [
            [round(ramp.begin, 3), round(ramp.end, 3), ramp.name, round(ramp.size, 4)]
            for ramp in ramps(means, self._curve.per_bin / self._fps)
        ]
        detail = {**gone, "brightness_per_minute": brightness, "seconds": apart, "at": at}
        value = math.sqrt(sum(change**2 for change in gone.values()))
        return Score(value, "drift-v3", "low", f"mostly {name}", {**detail, "ramps": listed})


def _steepest(middles: Tensor, means: Tensor, name: str) -> Tensor:
    """The frame around which a quantity changes most, by windows of an eighth of the film on either side."""
    window = max(1, len(means) // 8)
    if len(means) < 2 * window + 1:
        return middles[len(middles) // 2]
    sums = torch.cat([torch.zeros(1, 6, dtype=torch.float64), means.cumsum(0)])
    held = (sums[window:] - sums[:-window]) / window
    sizes = [abs(changes(a, b)[name]) for a, b in zip(held[:-window], held[window:], strict=True)]
    return middles[window + max(range(len(sizes)), key=sizes.__getitem__)]


def _one(meter: Meter, frames: Frames, fps: float) -> Score:
    return measure(frames, fps, [meter])[0]


def joins(
    frames: Frames, borders: Collection[int], fps: float = 10.0, cuts: Collection[int] = ()
) -> Score:
    """Frame difference across borders over that inside; see Joins."""
    return _one(Joins(borders, cuts), frames, fps)


def motion(frames: Frames, fps: float = 10.0) -> Score:
    """Motion late in the film over motion early on; see Motion."""
    return _one(Motion(), frames, fps)


def frozen(frames: Frames, fps: float = 10.0) -> Score:
    """The share of frames that repeat the one before; see Frozen."""
    return _one(Frozen(), frames, fps)


def flicker(frames: Frames, fps: float = 10.0) -> Score:
    """Trembling of brightness in levels; see Flicker."""
    return _one(Flicker(), frames, fps)


def drift(frames: Frames, fps: float = 10.0) -> Score:
    """How far a film's look goes from early to late; see Drift."""
    return _one(Drift(), frames, fps)


def seams(frames: Frames, fps: float = 10.0) -> Score:
    """The largest jump against its neighbours; see Seams."""
    return _one(Seams(), frames, fps)
