"""Films that a picture begins: carefully at first, where a model knows least what it sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from longtake.schemes.base import Paradigm
from longtake.steps import Step, Timeline

ROLE = "near"  # of the keys near a picture, so that a system may have another model make them


@dataclasses.dataclass(frozen=True)
class Begun:
    """`usual`, but for takes of which only the first place is given: those begin by `near`, for `first` places.

    Frames far from a single picture are guessed from it alone; a scheme that makes few at a time and
    not far away sees what stands still and what moves, and `usual` then goes on from that. A take with
    another place given within twice as far is `usual` altogether, for it must arrive there.
    """

    usual: Paradigm
    near: Paradigm
    first: int

    @property
    def endless(self) -> bool:
        """Whether the usual scheme can go on without end."""
        return self.usual.endless

    @property
    def name(self) -> str:
        """The usual scheme's."""
        return self.usual.name

    @property
    def window(self) -> int:
        """The larger one."""
        return max(self.usual.window, self.near.window)

    @property
    def reach(self) -> int | None:
        """The farther one; None if either looks back without bound."""
        found = [getattr(scheme, "reach", None) for scheme in (self.usual, self.near)]
        return None if None in found else max(found)

    def steps(self, timeline: Timeline) -> Iterator[Step]:
        """Take after take."""
        for start, take in zip(timeline.starts, timeline.takes(), strict=True):
            for step in self._take(take):
                yield step.moved(start)

    def _take(self, take: Timeline) -> Iterator[Step]:
        pictured = take.given[:1] == (0,) and all(i >= 2 * self.first for i in take.given[1:])
        if pictured:
            end = self.first if take.length is None else min(self.first, take.length)
            for step in self.near.steps(Timeline(end, (0,))):
                yield dataclasses.replace(step, role=ROLE) if step.role == "keys" else step
            if end == take.length:
                return
            take = Timeline(take.length, (*range(end), *take.given[1:]))
        yield from self.usual.steps(take)
