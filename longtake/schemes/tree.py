"""Trees: sparse frames first, then what lies between them (divide and conquer)."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import ClassVar

from longtake.errors import PlanError
from longtake.schemes.base import Paradigm, Stepping, linspace, unique
from longtake.steps import Indices, Step, Timeline

_MOST_LEVELS = (
    64  # with more, no film is long enough for each level to be twice as dense as the last
)


@dataclasses.dataclass(frozen=True)
class Hierarchy(Stepping):
    """`levels` passes over the film, each denser than the one before (Harvey et al. 2022, "hierarchy-n").

    Level l writes every S^((n-l)/(n-1))-th frame, S being the spacing of the first level; a call sees all
    that is known between its targets, then the nearest frames after and before them.
    """

    name: ClassVar[str] = "hierarchy"

    levels: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.levels <= _MOST_LEVELS:
            near = "levels=2 or more" if self.levels < 2 else f"levels={_MOST_LEVELS} or fewer"
            raise PlanError(f"levels={self.levels}", self.name, near)

    def take(self, take: Timeline, start: int = 0) -> Iterator[Step]:
        """Steps of one take, level after level."""
        assert take.length is not None
        done = bytearray(take.length)
        for index in take.given:
            done[index] = 1
        top = self._top(take.length, take.given)
        if top:
            yield top
            for index in top.targets:
                done[index] = 1
        begun = len(take.given) or done.count(1)
        yield from self._lower(done, take.length - begun, not take.given)

    def _top(self, length: int, given: Indices) -> Step | None:
        """The first call: frames spread over the film, observing given ones spread as well.

        None where given frames lie so close that the second level can begin with them.
        """
        if len(given) == length:
            return None
        if not given:
            return Step(unique(int(x) for x in linspace(0, length - 1, self.window)), role="keys")
        count = max(1, min(self.writes, self.window - 2))
        room = self.window - count
        if given[-1] == len(given) - 1:
            targets = unique(int(x) for x in linspace(len(given), length - 0.001, count))
            return Step(targets, _spread(given, room), "keys")
        apart = (length - 1) // max(count - 1, 1)
        spread = [int(x) for x in linspace(0, length - 1, count)]
        knots = snapped(spread, apart, given, -1, length)
        taken = set(knots).intersection(given)
        targets = tuple(i for i in knots if i not in taken)
        if apart < 4 or not targets:
            return None
        seen = flanked(targets, tuple(taken), given, self.window)
        more = _spread(given, max(self.window - len(targets) - len(seen), 0))
        return Step(targets, unique((*seen, *more)), "keys")

    def _lower(self, done: bytearray, span: int, free: bool) -> Iterator[Step]:
        """Calls of levels 2 and on. `done` marks what is written, and is written to.

        free: the first level was made of nothing (the released sampler then begins level 2 anew for
        every size it tries, else at `every`; both are kept, for equal index lists).
        """
        level, last = 2, -1
        left = done.count(0)
        while left:
            level, step = self._next(done, span, level, last, free)
            yield step
            for index in step.targets:
                done[index] = 1
            left -= len(step.targets)
            last, free = step.targets[-1], False

    def _next(
        self, done: bytearray, span: int, level: int, last: int, free: bool
    ) -> tuple[int, Step]:
        """The next call, with ever fewer targets until there is room to see before and after them."""
        for count in range(self.writes, 0, -1):
            every = self._every(span, level, count)
            at = last + every if last >= 0 else done.find(0) - 1 + every
            while done.find(0, at) < 0:
                level, last = level + 1, -1
                every = self._every(span, level, count)
                at = done.find(0) - 1 + every
            last = -1 if free else max(last, 0)
            targets = _every_missing(done, at, every, count)
            between = _marked(done, targets[0], targets[-1])
            room = self.window - count - len(between)
            if room >= 2:
                break
        after = _nearest_after(done, targets[-1], room // 2)
        before = _nearest_before(done, targets[0], room - len(after))
        return level, Step(targets, unique((*between, *after, *before)), "fill")

    def _every(self, span: int, level: int, count: int) -> int:
        """Spacing of a level's targets when a call writes `count`."""
        power = max(self.levels - level, 0) / (self.levels - 1)
        return int((span / max(count - 1, 1)) ** power)


def _spread(given: Indices, count: int) -> Indices:
    """At most `count` of the given frames, evenly chosen."""
    places = linspace(0, len(given) - 1 + 0.999, count) if count else []
    return unique(given[int(x)] for x in places)


def _every_missing(done: bytearray, at: int, every: int, count: int) -> Indices:
    """Up to `count` missing places from `at`, each at least `every` after the one before."""
    targets: list[int] = []
    while len(targets) < count and (at := done.find(0, at)) >= 0:
        targets.append(at)
        if every == 0:
            break
        at += every
    return tuple(targets)


def _marked(done: bytearray, first: int, stop: int) -> list[int]:
    """Marked places in [first, stop)."""
    found, at = [], done.find(1, first, stop)
    while at >= 0:
        found.append(at)
        at = done.find(1, at + 1, stop)
    return found


def _nearest_after(done: bytearray, place: int, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count and (place := done.find(1, place + 1)) >= 0:
        found.append(place)
    return found


def _nearest_before(done: bytearray, place: int, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count and (place := done.rfind(1, 0, place)) >= 0:
        found.append(place)
    return found


@dataclasses.dataclass(frozen=True)
class Cell:
    """A call that fills part of the film between two known places.

    left, right: those places; -1 or the take's length where the film ends and nothing is known.
    whole: it writes all that is missing between them (a leaf of the tree).
    """

    left: int
    right: int
    targets: Indices
    observed: Indices
    whole: bool


@dataclasses.dataclass(frozen=True)
class Tree:
    """How stretches between known places are divided, for one take.

    leaf: the most frames a leaf writes; room beyond that is for frames outside its ends.
    """

    window: int
    leaf: int
    length: int | None
    given: Indices

    def cells(self, left: int, right: int) -> Iterator[Cell]:
        """Calls that fill (left, right), a parent before its children, else in order of time."""
        low, high = bisect_right(self.given, left), bisect_left(self.given, right)
        while low < high and self.given[low] == left + 1:
            left, low = left + 1, low + 1
        while low < high and self.given[high - 1] == right - 1:
            right, high = right - 1, high - 1
        inside = self.given[low:high]
        ends = tuple(i for i in (left, right) if i >= 0 and i != self.length)
        if right - left - 1 <= self.leaf:
            taken = set(inside)
            targets = tuple(i for i in range(left + 1, right) if i not in taken)
            if targets:
                yield Cell(left, right, targets, unique((*ends, *inside)), True)
            return
        knots = self._knots(left, right)
        taken = set(knots).intersection(inside)
        targets = tuple(i for i in knots if i not in taken)
        if targets:
            seen = flanked(targets, (*ends, *taken), inside, self.window)
            yield Cell(left, right, targets, seen, False)
        for a, b in pairwise((left, *knots, right)):
            yield from self.cells(a, b)

    def _knots(self, left: int, right: int) -> Indices:
        """Places that cut (left, right) into parts; evenly, but at a level's own spacing from one known end."""
        apart = self.spacing(right - left)
        parts = -(-(right - left) // apart)
        if left < 0:
            places = [right - n * apart for n in range(parts - 1, 0, -1)]
        elif right == self.length:
            places = [left + n * apart for n in range(1, parts)]
        else:
            places = [left + n * (right - left) // parts for n in range(1, parts)]
        return snapped(places, apart, self.given, left, right)

    def spacing(self, distance: int) -> int:
        """Spacing of the coarsest level that spans `distance` in one call."""
        apart = self.leaf + 1
        while (self.window - 1) * apart < distance:
            apart *= self.window - 1
        return apart


def snapped(places: Sequence[int], apart: int, given: Indices, left: int, right: int) -> Indices:
    """`places`, each moved to the nearest given frame within half of `apart`, inside (left, right)."""
    moved = set()
    for place in places:
        low = max(left + 1, place - apart // 2)
        high = min(right, place - apart // 2 + apart)
        near = given[bisect_left(given, low) : bisect_left(given, high)]
        if not near:
            moved.add(place)
            continue
        after = bisect_left(near, place)
        moved.add(min(near[max(after - 1, 0) : after + 1], key=partial(_apart, place)))
    return tuple(sorted(moved))


def flanked(targets: Indices, observed: Sequence[int], given: Indices, window: int) -> Indices:
    """What a sparse call observes, and the given frames next to its targets while there is room.

    Without them a target could disagree with a given frame that lies nearer than all it sees.
    """
    ours = set(targets)
    near: list[tuple[int, int]] = []
    edges = sorted((*targets, *observed))
    for a, b in pairwise((-1, *edges, max(edges[-1], *given) + 1 if given else edges[-1] + 1)):
        between = given[bisect_right(given, a) : bisect_left(given, b)]
        near += [(between[0] - a, between[0])] if between and a in ours else []
        near += [(b - between[-1], between[-1])] if between and b in ours else []
    seen = set(observed)
    for _, place in sorted(near):
        if len(seen) + len(targets) < window:
            seen.add(place)
    return unique(seen)


def _apart(place: int, other: int) -> tuple[int, int]:
    return abs(other - place), other


def seen_from(cell: Cell, given: Indices, count: int) -> Indices:
    """What a cell observes, and the given frames among the `count` beyond each of its ends."""
    return unique(
        (
            *cell.observed,
            *given[bisect_left(given, cell.left - count) : bisect_left(given, cell.left)],
            *given[bisect_right(given, cell.right) : bisect_right(given, cell.right + count)],
        )
    )


@dataclasses.dataclass(frozen=True)
class CoarseToFine(Paradigm):
    """Key frames over the whole film, then recursively what lies between two neighbours (Yin et al. 2023).

    With window L, depth d makes (L-1)^d + 1 frames in d sequential rounds; other lengths use the least
    depth that suffices, trimmed. Given frames near a place of the tree take that place.
    """

    name: ClassVar[str] = "coarse-to-fine"
    least: ClassVar[int] = 3

    def take(self, take: Timeline, start: int = 0) -> Iterator[Step]:
        """Steps of one take, depth first, so that a film's beginning is done early."""
        length = take.length
        assert length is not None
        tree = Tree(self.window, self.window - 2, length, take.given)
        if length <= self.window:
            knots = tuple(range(length))
        else:
            apart = tree.spacing(length - 1)
            knots = snapped(range(0, length, apart), apart, take.given, -1, length)
        given = set(take.given)
        targets = tuple(i for i in knots if i not in given)
        if targets:
            seen = tuple(i for i in knots if i in given)
            yield Step(targets, flanked(targets, seen, take.given, self.window), "keys")
        for left, right in pairwise((-1, *knots, length)):
            for cell in tree.cells(left, right):
                spare = (self.window - len(cell.targets) - len(cell.observed)) // 2
                seen = seen_from(cell, take.given, spare if cell.whole else 0)
                yield Step(cell.targets, seen, "fill")
