"""Films of one call, and films of shots made apart and joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

from longtake.errors import PlanError
from longtake.schemes.base import Paradigm, Stepping
from longtake.schemes.chain import Autoregressive
from longtake.steps import Indices, Step, Timeline


@dataclasses.dataclass(frozen=True)
class OneShot(Paradigm):
    """Everything in a single call: for films no longer than the window."""

    name: ClassVar[str] = "one-shot"
    least: ClassVar[int] = 1

    def take(self, take: Timeline, start: int = 0) -> Iterator[Step]:
        """The one step of a take."""
        assert take.length is not None
        if take.length > self.window:
            raise PlanError(
                f"{take.length} frames in one call of {self.window}",
                self.name,
                f"window={take.length}, or autoregressive",
            )
        given = set(take.given)
        targets = tuple(i for i in range(take.length) if i not in given)
        if targets:
            yield Step(targets, take.given)


@dataclasses.dataclass(frozen=True)
class PerShot(Stepping):
    """Shots made apart, each by autoregression, then joined by transitions that see both (Chen et al. 2023).

    borders: where shots meet inside a take, as places of the film; cuts of the timeline are never joined.
    shot: one length for all shots instead. transition: frames about a border that its join writes
    (None: half the window); it leaves each shot at least one frame and every given frame where it is.
    """

    name: ClassVar[str] = "per-shot"
    least: ClassVar[int] = 3

    borders: Indices = ()
    shot: int | None = None
    transition: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.transition is not None and not 0 <= self.transition <= self.window - 2:
            raise PlanError(f"transition={self.transition}", self.name, f"0 to {self.window - 2}")
        if self.shot is not None and self.shot < 1:
            raise PlanError(f"shot={self.shot}", self.name, "shot=1 or more")

    def take(self, take: Timeline, start: int = 0) -> Iterator[Step]:
        """Steps of one take: a shot, the next shot, the transition between them, and so on."""
        assert take.length is not None
        edges = self._edges(take.length, start)
        zones = [self._zone(edges, n, take.given) for n in range(1, len(edges) - 1)]
        cores = list(pairwise([0, *(i for zone in zones for i in zone), take.length]))[::2]
        inside = Autoregressive(self.window, self.step)
        for n, (first, stop) in enumerate(cores):
            given = tuple(i - first for i in take.given if first <= i < stop)
            for step in inside.take(Timeline(stop - first, given)):
                yield step.moved(first)
            if n and cores[n - 1][1] < first:
                yield self._join(cores[n - 1], (first, stop))

    def _edges(self, length: int, start: int) -> list[int]:
        """First places of the shots of a take, and its end."""
        if self.shot is not None:
            return [*range(0, length, self.shot), length]
        inner = {b - start for b in self.borders if 0 < b - start < length}
        return [0, *sorted(inner), length]

    def _zone(self, edges: list[int], number: int, given: Indices) -> tuple[int, int]:
        """[first, stop) of the transition about border `number`."""
        size = self.window // 2 if self.transition is None else self.transition
        size = min(size, self.window - 2)
        early, border, late = edges[number - 1 : number + 2]
        first = border - min(size // 2, (border - early - 1) // 2)
        stop = border + min(size - size // 2, (late - border - 1) // 2)
        for place in given:
            if first <= place < border:
                first = place + 1
            elif border <= place < stop:
                stop = place
        return first, stop

    def _join(self, before: tuple[int, int], after: tuple[int, int]) -> Step:
        """The transition between two shots, seeing as much of one as of the other."""
        targets = tuple(range(before[1], after[0]))
        side = (self.window - len(targets)) // 2
        seen = (
            *range(max(before[0], before[1] - side), before[1]),
            *range(after[0], min(after[1], after[0] + side)),
        )
        return Step(targets, seen, "join")
