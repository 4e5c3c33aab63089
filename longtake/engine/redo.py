"""A finished film with stretches made again: which indices are free, who wrote what, which take is seen.

A film is layers. The lowest is the film as first made; each redo lays a stretch over what it was made
upon, pinned at both ends because all other indices are given to its steps. No torch here.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from longtake.steps import Indices, Plan, Step, Take, Timeline

if TYPE_CHECKING:
    from longtake.engine.job import Job

MOST = 99  # takes of a stretch: the numbers of their steps are set aside
REDOS = 100  # of one film, one upon the other
MARGIN = (
    1  # indices beside a pin that are decoded anew but not made anew, if the decoder looks beyond
)

Layer = tuple[int, int] | None  # (number of the redo, take); None: the film as first made


@dataclasses.dataclass(frozen=True)
class Redo:
    """A stretch made again: film frames [first, end).

    takes: those to be made or found, from 1 on; 0 is what was there before. upon: how many of the
    film's redos lay beneath it when it was first asked for. pick: the take to see (None: the best).
    made: the most takes that were ever asked for.
    """

    first: int
    end: int
    takes: Indices = (1,)
    upon: int = 0
    pick: int | None = None
    made: int = 1

    @property
    def chosen(self) -> int | None:
        """The take the film has; None where the scores of several will say."""
        return self.takes[0] if self.pick is None and len(self.takes) == 1 else self.pick

    def taking(self, take: int) -> Redo:
        """The same with this take alone."""
        return dataclasses.replace(self, takes=(take,), pick=None)


@dataclasses.dataclass(frozen=True)
class View:
    """What is seen: a redo's take in its places, and elsewhere the film after `upon` redos."""

    redo: int
    take: int
    upon: int


@dataclasses.dataclass(frozen=True)
class Part:
    """The part of a stretch that lies in one take of the film.

    frames: whole indices of it, as film frames [first, end): nothing else of the film changes.
    free: the indices that are made again. before, after: frames over which the picture goes from the
    old decoding to the new and back, since a decoder looks beyond the index it decodes.
    """

    take: Take
    frames: tuple[int, int]
    free: Indices
    before: int
    after: int

    def weights(self) -> list[float]:
        """How much of each of its frames is decoded anew, above 0 to 1."""
        count = self.frames[1] - self.frames[0]
        rise = [min(1.0, (n + 1) / (self.before + 1)) for n in range(count)]
        fall = [min(1.0, (count - n) / (self.after + 1)) for n in range(count)]
        return [min(pair) for pair in zip(rise, fall, strict=True)]


class Layers:
    """The redos of a job."""

    def __init__(self, job: Job) -> None:
        self.job, self.redone = job, job.redone

    @cached_property
    def parts(self) -> tuple[tuple[Part, ...], ...]:
        """Per redo: its parts."""
        return tuple(parts_of(self.job, redo.first, redo.end) for redo in self.redone)

    @cached_property
    def free(self) -> tuple[frozenset[int], ...]:
        """Per redo: the indices it makes again."""
        return tuple(frozenset(i for part in parts for i in part.free) for parts in self.parts)

    @cached_property
    def plans(self) -> tuple[tuple[Plan, ...], ...]:
        """Per redo and stage: the steps that fill its free indices, all others being given."""
        line, plans = self.job.timeline, []
        for free in self.free:
            given = tuple(i for i in range(line.length or 0) if i not in free)
            timeline = Timeline(line.length, given, line.cuts)
            stages = self.job.system.stages
            plans.append(tuple(Plan.of(stage.scheme, timeline) for stage in stages))
        return tuple(plans)

    def view(self, redo: int, take: int) -> View:
        """What the steps of a take see."""
        return View(redo, take, self.redone[redo].upon)

    def film(self, count: int, last: int | None = None) -> View | None:
        """The film after `count` redos; last: the take of the last of them where it was chosen since."""
        if count == 0:
            return None
        take = self.redone[count - 1].chosen if last is None else last
        assert take is not None, "a film is seen before its take was chosen"
        return View(count - 1, take, count - 1)

    def layer(self, index: int, view: View | None) -> Layer:
        """Which layer's clip is seen at an index."""
        while view is not None:
            if index not in self.free[view.redo]:
                view = self.film(view.upon)
            elif view.take:
                return view.redo, view.take
            else:
                view = self.film(self.redone[view.redo].upon)
        return None

    def steps(self, start: int) -> Iterator[tuple[int, int, Step, View, Indices]]:
        """Number, stage, step, view and needs of all steps; `start`: how many the film has without.

        A take's steps have the same numbers whichever other takes are asked for.
        """
        writer: dict[tuple[int, int, Layer], int] = {}
        for call in self.job.first_made:
            writer.update(((call.stage, i, None), call.number) for i in call.step.targets)
        given = self.job.given_indices
        for number, redo in enumerate(self.redone):
            each = sum(plan.calls for plan in self.plans[number])
            for take in filter(None, redo.takes):
                view, count = self.view(number, take), itertools.count(start + (take - 1) * each)
                for stage, plan in enumerate(self.plans[number]):
                    for step, own in zip(plan.steps, count, strict=False):
                        seen = [(stage, i) for i in step.observed]
                        seen += [(stage - 1, i) for i in (*step.observed, *step.targets) if stage]
                        needs = {
                            writer[s, i, self.layer(i, view)] for s, i in seen if i not in given
                        }
                        writer.update(((stage, i, (number, take)), own) for i in step.targets)
                        yield own, stage, step, view, tuple(sorted(needs))
            start += MOST * each


def parts_of(job: Job, first: int, end: int) -> tuple[Part, ...]:
    """What of film frames [first, end) can be made again, per take; a part may have nothing free.

    An index is the stretch's own if all its frames are. Beside a pin, MARGIN own indices keep their
    latents if the decoder looks beyond the index it decodes: what it shows there and what it showed
    there before are cross-faded, and frames outside stay as they are to the bit.
    """
    spec = job.system.stages[-1].codec.spec
    sees = (MARGIN if spec.streams else spec.context[0], spec.context[1])
    parts = []
    for take in job.takes:
        last = end if take.frames is None else min(end, take.first + take.frames)
        if max(first, take.first) >= last or take.length is None:
            continue
        whole = [
            index
            for index in range(take.start, take.start + take.length)
            if first <= max(job.first_frame(take, index), take.first)
            and _end(job, take, index) <= end
        ]
        if not whole:
            continue
        pinned = whole[0] > take.start, whole[-1] + 1 < take.start + take.length
        # what is made anew shows before itself as far as decoding looks ahead, and after as it looks back
        margins = [min(sees[1 - n], MARGIN) if pinned[n] else 0 for n in range(2)]
        inner = whole[margins[0] : len(whole) - margins[1]]
        free = tuple(index for index in inner if index not in job.given_indices)
        frames = max(job.first_frame(take, whole[0]), take.first), _end(job, take, whole[-1])
        parts.append(Part(take, frames, free, *(margin * job.stride for margin in margins)))
    return tuple(parts)


def widened(job: Job, first: int, end: int) -> tuple[int, int] | None:
    """The least stretch about [first, end) of which something can be made again, if there is one."""
    total = job.frames or 0
    while not any(part.free for part in parts_of(job, first, end)):
        if (first, end) == (0, total):
            return None
        first, end = max(0, first - 1), min(total, end + 1)
    return first, end


def _end(job: Job, take: Take, index: int) -> int:
    """The film frame after an index's last."""
    end = job.first_frame(take, index) + job.stride
    return end if take.frames is None else min(end, take.first + take.frames)


def settled_on(redone: Sequence[Redo], take: int) -> tuple[Redo, ...]:
    """The redos of a film of whose last one this take was chosen."""
    return (*redone[:-1], redone[-1].taking(take))
