"""Frechet and kernel distance of films, clip by clip, in bounded memory."""

from __future__ import annotations

import dataclasses
from collections import deque

import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.metrics.distances import frechet
from longtake.metrics.extractors import Extractor
from longtake.metrics.film import Frames, Stretch, stretches
from longtake.metrics.kernels import kernel_distance
from longtake.metrics.moments import Moments
from longtake.metrics.protocols import Protocol
from longtake.metrics.scores import Score

HOP = 8  # frames from one clip to the next
MOST = 2048  # clips of a film that are kept
FLOOR = 2  # clips without which there is no distance


class Clips:
    """The features of a film's clips as it goes by, evenly spread, at most MOST of them.

    Whenever there are too many, every second one is dropped and clips are taken half as often:
    which clips count depends on the film's length alone, not on how it was cut into stretches.
    """

    def __init__(self, extractor: Extractor, stride: int = 1, hop: int = HOP) -> None:
        self.extractor, self.stride, self.hop = extractor, stride, hop
        self.span = (extractor.frames - 1) * stride + 1
        self._held: deque[Tensor] = deque(maxlen=self.span)
        self._rows: list[tuple[int, Tensor]] = []
        self.frames, self.fps = 0, 1.0

    def see(self, stretch: Stretch) -> None:
        """Takes in the next frames."""
        self.fps = stretch.fps
        starts, waiting = [], []
        for frame in self.extractor.prepare(stretch.frames):
            self._held.append(frame)
            self.frames += 1
            start = self.frames - self.span
            if start >= 0 and start % self.hop == 0:
                starts.append(start)
                waiting.append(torch.stack(list(self._held)[:: self.stride]))
        if waiting:
            rows = self.extractor.features(torch.stack(waiting)).float().cpu()
            self._rows += zip(starts, rows, strict=True)
        while len(self._rows) > MOST:
            self.hop *= 2
            self._rows = [item for item in self._rows if item[0] % self.hop == 0]

    def course(self) -> tuple[list[float], Tensor]:
        """Middles of the clips in seconds, and their features (n, d)."""
        if len(self._rows) < FLOOR:
            what, least = f"a film of {self.frames} frames", self.span + (FLOOR - 1) * self.hop
            raise InputError(what, self.extractor.name, f"{least} frames or more")
        middles = [(start + self.span / 2) / self.fps for start, _ in self._rows]
        return middles, torch.stack([row for _, row in self._rows])

    def rows(self) -> Tensor:
        """The features of a power of two of clips, evenly spread: (n, d).

        A distance depends on the number of clips; this way films of about one length have one number.
        """
        _, rows = self.course()
        count = 1 << (len(rows).bit_length() - 1)
        return rows[torch.arange(count) * len(rows) // count]


def clips_of(frames: Frames, fps: float, extractor: Extractor) -> Tensor:
    """The features of a whole film's clips, as `Clips.rows` has them."""
    clips = Clips(extractor)
    for stretch in stretches(frames, fps):
        clips.see(stretch)
    return clips.rows()


def protocol_of(extractor: Extractor, statistic: str) -> Protocol:
    """The protocol of a film's evenly spread clips through these features."""
    kind = "fd" if statistic == "frechet" else "kd"
    short = extractor.name.partition("-")[0]
    title = _TITLES.get((short, kind), f"{short}-{kind}")
    return Protocol(
        title,
        statistic,
        extractor.name,
        extractor.frames,
        resize=extractor.resize,
        crop=extractor.crop,
        samples=0,
        real=0,
        clips=f"every {HOP} frames evenly spread",
    )


_TITLES = {
    ("i3d", "fd"): "fvd",
    ("i3d", "kd"): "kvd",
    ("tfvd", "fd"): "tfvd",
    ("tfvd", "kd"): "tkvd",
}
_TITLES |= {("inception", "fd"): "fid", ("inception", "kd"): "kid"}


def world_of(extractor: Extractor) -> Moments:
    """The moments of the sky world, where the extractor brings them."""
    world = getattr(extractor, "world", None)
    if not isinstance(world, Moments):
        what = f"no world is kept for '{extractor.name}'"
        raise InputError(what, "--reference", "a film as reference")
    return world


def distance(rows: Tensor | Moments, reference: Tensor | Moments, protocol: Protocol) -> Score:
    """How far features (n, d) are from those of a reference; the protocol says by which statistic.

    The kernel distance needs the reference's rows. Where there are rows, `floor` in the detail is the
    distance between their even and odd halves: what a film as good as the reference cannot go below.
    """
    count, size = _count(rows), _count(reference)
    name = protocol.of(count, size).name
    floor = {}
    if protocol.statistic == "kernel-poly3":
        if isinstance(reference, Moments) or isinstance(rows, Moments):
            what = "the world at large is kept as moments alone"
            raise InputError(what, protocol.title, "a film as --reference, or --metric fvd")
        value = kernel_distance(rows, reference)
        if size >= 2 * FLOOR:
            floor = {"floor": kernel_distance(reference[::2], reference[1::2])}
    else:
        value = frechet(rows, reference)
        if isinstance(reference, Tensor) and size >= 2 * FLOOR:
            floor = {"floor": frechet(reference[::2], reference[1::2])}
    counts = {"clips": count, "reference_clips": size}
    return Score(value, name, "low", detail={**counts, **floor})


def _count(sample: Tensor | Moments) -> int:
    return sample.count if isinstance(sample, Moments) else len(sample)


class ClipDistance:
    """As a meter: how far a film's clips are from a reference's rows or moments of features.

    statistic: "frechet" or "kernel-poly3". `worst_at` in the detail is the middle of the clip that is
    farthest from the reference's mean.
    """

    def __init__(
        self,
        statistic: str,
        reference: Tensor | Moments,
        extractor: Extractor,
    ) -> None:
        self.reference, self.protocol = reference, protocol_of(extractor, statistic)
        self.clips = Clips(extractor)

    def see(self, stretch: Stretch) -> None:
        self.clips.see(stretch)

    def score(self) -> Score:
        found = distance(self.clips.rows(), self.reference, self.protocol)
        seconds, rows = self.clips.course()
        middle = (
            self.reference.mean
            if isinstance(self.reference, Moments)
            else self.reference.double().mean(0)
        )
        worst = int((rows.double() - middle).square().sum(1).argmax())
        return dataclasses.replace(found, detail={**found.detail, "worst_at": seconds[worst]})
