"""Chains: autoregression in time, with or without a long memory, forward and backward."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Iterator
from typing import ClassVar

from longtake.errors import PlanError
from longtake.schemes.base import Stepping, gaps, unique
from longtake.steps import Indices, Step, Timeline


@dataclasses.dataclass(frozen=True)
class Known:
    """What a chain may read, in its direction of travel.

    given: places there from the start, rising. since: from here up to the head all is written.
    """

    given: Indices
    since: int

    def __contains__(self, place: int) -> bool:
        return place >= self.since or self.is_given(place)

    def is_given(self, place: int) -> bool:
        """Whether `place` was there from the start."""
        n = bisect_left(self.given, place)
        return n < len(self.given) and self.given[n] == place

    def before(self, head: int, count: int) -> list[int]:
        """What is known of the `count` places before `head`."""
        return [place for place in range(head - count, head) if place in self]

    def nearest_given(self, head: int) -> Iterator[int]:
        """Given places, nearest to `head` first (of two as near, the earlier)."""
        after = bisect_left(self.given, head)
        before = after - 1
        while before >= 0 or after < len(self.given):
            early = before >= 0 and (
                after == len(self.given) or head - self.given[before] <= self.given[after] - head
            )
            yield self.given[before if early else after]
            before, after = (before - 1, after) if early else (before, after + 1)

    def landmarks(self, head: int, count: int) -> list[int]:
        """At most `count` known places spread from the first known one to `head`.

        They sit a power of two apart, so a landmark once dropped is never asked for again and an
        endless chain needs to hold only `count` of them.
        """
        if count == 0:
            return []
        origin = min(self.since, self.given[0])
        stride = 1
        while count * stride < head - origin:
            stride *= 2
        return [place for place in range(origin, head, stride) if place in self]


@dataclasses.dataclass(frozen=True)
class Autoregressive(Stepping):
    """Each call continues what the frames just before it show (Harvey et al. 2022, "autoreg").

    Given frames are skipped; a gap that a given frame closes ends in a call that sees both sides;
    what lies before the first given frame is made backward in time.
    """

    name: ClassVar[str] = "autoregressive"
    endless: ClassVar[bool] = True

    @property
    def reach(self) -> int:
        """Most places that the steps of an endless film use between two uses of the same place."""
        return 2 * self.window

    def take(self, take: Timeline, start: int = 0) -> Iterator[Step]:
        """Steps of one take: the part before the first given frame backward, then all gaps forward."""
        length, given = take.length, take.given
        if not given:
            given = tuple(range(self.window if length is None else min(self.window, length)))
            yield Step(given)
        for first, stop in gaps(Timeline(length, given)):
            if first == 0:
                back = Known(tuple(-place for place in reversed(given)), 1 - given[0])
                for step in self._gap(1 - given[0], 1, back):
                    yield Step(unique(-i for i in step.targets), *_mirrored(step))
            else:
                yield from self._gap(first, stop, Known(given, 0))

    def _gap(self, first: int, stop: int | None, known: Known) -> Iterator[Step]:
        """Steps from `first` to before `stop`, in the direction of travel."""
        closed = stop is not None and known.is_given(stop)
        for head, size in _chunks(first, stop, self.writes, self._landing if closed else 0):
            targets = tuple(range(head, head + size))
            if closed and head + size == stop:
                room = self.window - size
                ahead = tuple(i for i in range(stop, stop + room // 2) if known.is_given(i))
                observed, choose = self._land(head, room - len(ahead), known, ahead), None
            else:
                observed, choose = self._see(head, self.window - self.writes, known)
            yield Step(targets, unique(observed), choose=choose)

    @property
    def _landing(self) -> int:
        """Targets of the call that meets a given frame: it leaves room to see both sides."""
        return max(1, min(self.writes, self.window - 2))

    def _see(self, head: int, room: int, known: Known) -> tuple[list[int], int | None]:
        """What a call at `head` observes, and how many of that are chosen at run time (None: all)."""
        return known.before(head, room), None

    def _land(self, head: int, room: int, known: Known, ahead: Indices) -> list[int]:
        """What the call that meets the given frames `ahead` observes."""
        return [*known.before(head, room), *ahead]


def _mirrored(step: Step) -> tuple[Indices, str, int | None]:
    return unique(-i for i in step.observed), step.role, step.choose


def _chunks(first: int, stop: int | None, size: int, landing: int) -> Iterator[tuple[int, int]]:
    """(head, size) of the calls that fill a gap; with a landing the short call comes first, not last."""
    head = first
    if landing and stop is not None:
        rest = max(stop - first - landing, 0)
        if rest % size:
            yield head, rest % size
            head += rest % size
        while head < first + rest:
            yield head, size
            head += size
        yield head, stop - head
        return
    while stop is None or head < stop:
        yield head, size if stop is None else min(size, stop - head)
        head += size


@dataclasses.dataclass(frozen=True)
class LongRange(Autoregressive):
    """Half of what a call observes is recent, half are the first frames (Harvey et al. 2022, "long-range").

    The first frames are the given ones, nearest first, or those of the first call.
    """

    name: ClassVar[str] = "long-range"

    def _see(self, head: int, room: int, known: Known) -> tuple[list[int], int | None]:
        return self._recent_and_far(head, room, known, ()), None

    def _land(self, head: int, room: int, known: Known, ahead: Indices) -> list[int]:
        return self._recent_and_far(head, room + len(ahead), known, ahead)

    def _recent_and_far(self, head: int, room: int, known: Known, ahead: Indices) -> list[int]:
        seen = {*ahead, *known.before(head, max((room - len(ahead)) // 2, 1))}
        for place in known.nearest_given(head):
            if len(seen) >= room:
                break
            seen.add(place)
        return sorted(seen)


@dataclasses.dataclass(frozen=True)
class Adaptive(Autoregressive):
    """Which frames a call observes is chosen at run time, out of a static pool.

    The pool holds the latest frames and landmarks spread over all the past: `Step.observed`, of which
    the stage's selector picks `Step.choose` (Harvey et al. 2022, "adaptive", choose by LPIPS out of
    all frames; a bounded pool lets an endless film run in bounded memory).
    """

    name: ClassVar[str] = "adaptive"

    pool: int = 64

    @property
    def reach(self) -> int:
        """The pool is looked at anew by every call."""
        return 2 * (self.pool + self.window)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool < self.window - self.writes:
            raise PlanError(
                f"pool={self.pool}", self.name, f"pool={self.window - self.writes} or more"
            )

    def _see(self, head: int, room: int, known: Known) -> tuple[list[int], int | None]:
        recent = known.before(head, self.pool - self.pool // 2)
        pool = unique((*recent, *known.landmarks(head, self.pool // 2)))
        return list(pool), room if len(pool) > room else None


@dataclasses.dataclass(frozen=True)
class Landmarked(Autoregressive):
    """Half recent, half landmarks over all the past and the next given place ahead: the chain of `unified`."""

    name: ClassVar[str] = "landmarked"

    def _see(self, head: int, room: int, known: Known) -> tuple[list[int], int | None]:
        goal = bisect_left(known.given, head)
        ahead = known.given[goal : goal + 1] if room > 2 else ()
        return self._land(head, room - len(ahead), known, ahead), None

    def _land(self, head: int, room: int, known: Known, ahead: Indices) -> list[int]:
        far = known.landmarks(head, room // 2)
        seen = {*ahead, *far}
        recent = known.before(head, room + len(far))
        for place in reversed(recent):
            if len(seen) >= room + len(ahead):
                break
            seen.add(place)
        return sorted(seen)
