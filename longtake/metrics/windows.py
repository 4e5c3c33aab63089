"""Does a film grow worse? The Frechet distance of its windows and blocks, and the slope of that curve."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from longtake.errors import InputError
from longtake.metrics.clips import FLOOR, Clips, protocol_of
from longtake.metrics.distances import frechet, slope
from longtake.metrics.extractors import Extractor
from longtake.metrics.film import Stretch
from longtake.metrics.moments import Moments
from longtake.metrics.scores import Score

MOST = 256  # clips of one window
_PARTS = 4  # windows side by side that a film must hold


class Windows:
    """The distance's rise a minute over sliding windows (as in TATS and MeBT); 0 where a film stays as good.

    Windows hold an equal number of clips, a power of two and at most a quarter of them, and lap
    over by half; that number is in the protocol's name, for a distance depends on it. `distances` in
    the detail are of the windows around `seconds`.
    """

    step = 2  # windows begin so many to a window's length

    def __init__(self, reference: Tensor | Moments, extractor: Extractor) -> None:
        self.reference, self.extractor = reference, extractor
        self.clips = Clips(extractor)

    def see(self, stretch: Stretch) -> None:
        self.clips.see(stretch)

    def course(self) -> tuple[list[float], list[float], int]:
        """Middles of the windows in seconds, their distances, and the clips of one."""
        seconds, rows = self.clips.course()
        if len(rows) < _PARTS * FLOOR:
            what = f"a film of {self.clips.frames} frames"
            least = self.clips.span + (_PARTS * FLOOR - 1) * self.clips.hop
            raise InputError(what, self.extractor.name, f"{least} frames or more")
        count = min(MOST, 1 << ((len(rows) // _PARTS).bit_length() - 1))
        starts = range(0, len(rows) - count + 1, max(1, count // self.step))
        at = [sum(seconds[n : n + count]) / count for n in starts]
        return at, [frechet(rows[n : n + count], self.reference) for n in starts], count

    def score(self) -> Score:
        at, distances, count = self.course()
        value = slope(at, distances) * 60
        detail = {"mean": sum(distances) / len(distances), **_told(at, distances)}
        return Score(value, self._name("slope", count), "low", detail=detail)

    def _name(self, kind: str, count: int) -> str:
        size = self.reference.count if isinstance(self.reference, Moments) else len(self.reference)
        clips = f"{count} clips every {self.clips.hop} frames"
        known = protocol_of(self.extractor, "frechet")
        title = f"{known.title}-{kind}"
        return dataclasses.replace(known, title=title, clips=clips, samples=count, real=size).name


class Blocks(Windows):
    """The mean distance of blocks side by side (B-FVD of NUWA-XL, Yin et al. 2023)."""

    step = 1

    def score(self) -> Score:
        at, distances, count = self.course()
        worst = max(range(len(distances)), key=distances.__getitem__)
        detail = {"worst": distances[worst], "worst_at": at[worst], **_told(at, distances)}
        value = sum(distances) / len(distances)
        return Score(value, self._name("blocks", count), "low", detail=detail)


def _told(at: list[float], distances: list[float]) -> dict[str, list[float]]:
    return {
        "seconds": [round(second, 3) for second in at],
        "distances": [round(distance, 5) for distance in distances],
    }
