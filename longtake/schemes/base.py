"""What every scheme shares: takes are independent, knobs are checked, numbers are spread as numpy would."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import ClassVar

from longtake.errors import PlanError
from longtake.steps import Indices, Step, Timeline


@dataclasses.dataclass(frozen=True)
class Paradigm(ABC):
    """A scheme that treats every take of a timeline by itself.

    window: the most frames a call holds, observed and targets together.
    """

    name: ClassVar[str]
    endless: ClassVar[bool] = False
    least: ClassVar[int] = 2  # the smallest window that can work

    window: int = 16

    def __post_init__(self) -> None:
        if self.window < self.least:
            raise PlanError(f"window={self.window}", self.name, f"window={self.least} or more")

    def steps(self, timeline: Timeline) -> Iterator[Step]:
        """Steps in an order in which they may run; nothing is observed across a cut."""
        if timeline.length is None and not self.endless:
            raise PlanError(
                "an endless timeline", self.name, "a length, or an autoregressive or unified scheme"
            )
        return self._all_takes(timeline)

    def _all_takes(self, timeline: Timeline) -> Iterator[Step]:
        for start, take in zip(timeline.starts, timeline.takes(), strict=True):
            for step in self.take(take, start):
                yield step.moved(start) if start else step

    @abstractmethod
    def take(self, take: Timeline, start: int = 0) -> Iterator[Step]:
        """Steps of one take, which begins at 0 here and at `start` in the film."""


@dataclasses.dataclass(frozen=True)
class Stepping(Paradigm):
    """A scheme whose calls write at most `step` targets (None: half the window)."""

    step: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step is not None and not 1 <= self.step < self.window:
            raise PlanError(f"step={self.step}", self.name, f"1 to {self.window - 1}")

    @property
    def writes(self) -> int:
        """Targets per call."""
        return self.window // 2 if self.step is None else self.step


def gaps(take: Timeline) -> Iterator[tuple[int, int | None]]:
    """Runs of missing places as (first, stop); stop is None where an endless take goes on."""
    edges: Iterable[int] = (-1, *take.given)
    for left, right in pairwise(edges):
        if right - left > 1:
            yield left + 1, right
    last = take.given[-1] + 1 if take.given else 0
    if take.length is None or last < take.length:
        yield last, take.length


def linspace(start: float, stop: float, count: int) -> list[float]:
    """Evenly spaced numbers, both ends included, rounded as numpy.linspace rounds them."""
    if count == 1:
        return [start]
    gap = (stop - start) / (count - 1)
    return [n * gap + start for n in range(count - 1)] + [stop]


def unique(places: Iterable[int]) -> Indices:
    """Each place once, in rising order."""
    return tuple(sorted(set(places)))
