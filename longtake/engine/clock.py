"""When in the film an index is. No torch."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right

from longtake.controls import Clock


@dataclasses.dataclass(frozen=True)
class FilmClock(Clock):
    """A clock whose takes do not run over: times stay between a take's first and last frame.

    A take's last index may reach past its last frame, and must not hear the next take's cue there.
    limits: film time of the first and of the last frame's middle, per take (None: endless).
    """

    limits: tuple[tuple[float, float | None], ...] = ()

    def at(self, index: int) -> float:
        """Film time at the middle of `index`."""
        take = bisect_right(self.starts, index, key=lambda pair: pair[0]) - 1
        start, time = self.starts[take]
        low, high = self.limits[take]
        time = max(low, time + (index - start + 0.5) * self.interval)
        return time if high is None else min(time, high)
