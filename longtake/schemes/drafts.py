"""A quick pass first: frames that a scheme makes far apart, and later the film that keeps them.

Many schemes begin with sparse frames and fill in what lies between. Those first steps alone are a draft,
and the whole film has the very same steps: what was approved stays. Where a scheme makes no frame
apart from others, key frames are made before it begins, and it finds them given.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from longtake.errors import PlanError
from longtake.schemes.linked import KeysThenFill
from longtake.steps import Indices, Scheme, Step, Timeline

SPACING = 4  # places from key to key in takes in which a scheme makes no frame apart from others
ROLE = "draft"  # of steps that only blend what they observe


@dataclasses.dataclass(frozen=True)
class Draft:
    """The keyframes of a film of `scheme`, and blends of the nearest two in all other places."""

    scheme: Scheme

    @property
    def window(self) -> int:
        """The scheme's own."""
        return self.scheme.window

    def steps(self, timeline: Timeline) -> Iterator[Step]:
        """Keyframes first, then blends, each of the known frames at both ends of a gap."""
        added, own = keyframes(self.scheme, timeline)
        known = set(timeline.given)
        for step in (*added, *own):
            known.update(step.targets)
            yield step
        stops = (*timeline.starts[1:], timeline.length or 0)
        for start, stop in zip(timeline.starts, stops, strict=True):
            edges = [start - 1, *(i for i in range(start, stop) if i in known), stop]
            for left, right in pairwise(edges):
                seen = tuple(i for i in (left, right) if i in known and start <= i < stop)
                room = self.window - len(seen)
                for first in range(left + 1, right, room):
                    yield Step(tuple(range(first, min(first + room, right))), seen, ROLE)


@dataclasses.dataclass(frozen=True)
class Kept:
    """A film of `scheme` that keeps the keyframes of its draft."""

    scheme: Scheme

    @property
    def window(self) -> int:
        """The scheme's own."""
        return self.scheme.window

    def steps(self, timeline: Timeline) -> Iterator[Step]:
        """Keyframes that the scheme would not make, and then its own steps."""
        added, _ = keyframes(self.scheme, timeline)
        yield from added
        yield from self.scheme.steps(_knowing(timeline, added))


def keyframes(scheme: Scheme, timeline: Timeline) -> tuple[list[Step], list[Step]]:
    """The steps of a draft that are no blends: those put before the scheme's own, and some of its own.

    Of its own, those that write a frame on neither side of which one is known.
    """
    if timeline.length is None:
        raise PlanError("a draft of an endless film", "draft", "a length")
    starts = timeline.starts
    known, sparse = set(timeline.given), list[Step]()
    written = set(timeline.given)
    for step in scheme.steps(timeline):
        written.update(step.targets)
        if known.issuperset(step.observed) and _apart(step, written, starts, timeline.length):
            sparse.append(step)
            known.update(step.targets)
    begun = {_take(step.targets[0], starts) for step in sparse}
    added = []
    for number, take in enumerate(timeline.takes()):
        if number not in begun and scheme.window >= KeysThenFill.least:
            keys = KeysThenFill(scheme.window, spacing=SPACING).take(take)
            added += [step.moved(starts[number]) for step in keys if step.role == "keys"]
    return added, sparse


def _knowing(timeline: Timeline, steps: Sequence[Step]) -> Timeline:
    """The timeline on which these steps have run."""
    made = (i for step in steps for i in step.targets)
    return dataclasses.replace(timeline, given=tuple(sorted({*timeline.given, *made})))


def _take(place: int, starts: Indices) -> int:
    return bisect_right(starts, place) - 1


def _apart(step: Step, written: set[int], starts: Indices, length: int) -> bool:
    """Whether a target's neighbours, as far as its take has any, are not written with it or before."""
    for place in step.targets:
        take = _take(place, starts)
        end = starts[take + 1] if take + 1 < len(starts) else length
        beside = [i for i in (place - 1, place + 1) if starts[take] <= i < end]
        if beside and written.isdisjoint(beside):
            return True
    return False
