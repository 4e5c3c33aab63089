"""A long video as a build: timeline, steps, and the plan whose edges nobody types.

No torch here: planning is instant.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol

from longtake.errors import PlanError

Indices = tuple[
    int, ...
]  # places on a stage's timeline: latent frames if the codec compresses time


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What is to be made: `length` places (None: endless), those already `given`, and where new takes begin."""

    length: int | None
    given: Indices = ()
    cuts: Indices = ()

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 1:
            raise PlanError(f"a timeline of {self.length} frames", "length", "1 or more")
        end = math.inf if self.length is None else self.length
        for name, places in (("given", self.given), ("cuts", self.cuts)):
            if list(places) != sorted(set(places)):
                raise PlanError(f"{name} {places} not in rising order", "timeline")
            for place in places:
                if not 0 <= place < end:
                    raise PlanError(
                        f"{name} {place} outside the film", "timeline", f"0 to {end - 1}"
                    )

    def takes(self) -> Iterator[Timeline]:
        """Each unbroken take as a timeline of its own that begins at 0 (see `starts`)."""
        starts = self.starts
        ends: Sequence[int | None] = (*starts[1:], self.length)
        for start, end in zip(starts, ends, strict=True):
            given = tuple(i - start for i in self.given if i >= start and (end is None or i < end))
            yield Timeline(None if end is None else end - start, given)

    @property
    def starts(self) -> Indices:
        """First place of every take."""
        return (0, *(cut for cut in self.cuts if cut > 0))


@dataclasses.dataclass(frozen=True)
class Step:
    """One call of a clip model: write `targets` given `observed`.

    role: which of the stage's models is called. choose: pick this many of `observed` at run time
    (None: all of them), so that adaptive observation keeps a static graph.
    """

    targets: Indices
    observed: Indices = ()
    role: str = "clip"
    choose: int | None = None

    @property
    def size(self) -> int:
        """Frames the call holds at once."""
        seen = len(self.observed) if self.choose is None else min(self.choose, len(self.observed))
        return len(self.targets) + seen

    def moved(self, by: int) -> Step:
        """The same step `by` places later."""
        return dataclasses.replace(
            self,
            targets=tuple(i + by for i in self.targets),
            observed=tuple(i + by for i in self.observed),
        )


class Scheme(Protocol):
    """A paradigm: how a timeline is cut into calls. Endless timelines yield steps forever."""

    @property
    def window(self) -> int:
        """The most frames a call holds, observed and targets together."""

    def steps(self, timeline: Timeline) -> Iterator[Step]:
        """Steps in an order in which they may run: reads only what is given or written before."""


def spans(indices: Iterable[int]) -> list[str]:
    """Indices as texts of their unbroken runs: "0-9", "14", "20-29"."""
    found: list[list[int]] = []
    for index in sorted(indices):
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return [str(a) if a == b else f"{a}-{b}" for a, b in found]


class Ledger:
    """Which step wrote an index; -1 where it was given.

    reach: a step is forgotten once so many others' indices were written or looked up since its own
    last was (None: never). Whether an index was written is always known: as the places below the
    first hole, and those beyond it.
    """

    def __init__(self, given: Iterable[int], reach: int | None = None) -> None:
        self._given, self._reach = frozenset(given), reach
        self._writer: OrderedDict[int, int] = OrderedDict()
        self._hole, self._beyond = 0, set(self._given)
        self._close()

    def __contains__(self, index: int) -> bool:
        return 0 <= index < self._hole or index in self._beyond

    def writer(self, index: int) -> int:
        """Number of the step that wrote `index`, which must be written; PlanError if it is forgotten."""
        if index in self._given:
            return -1
        if self._reach is None:
            return self._writer[index]
        if index not in self._writer:
            raise PlanError(f"frame {index} read too late", "endless film", self._hint)
        self._writer.move_to_end(index)
        return self._writer[index]

    def write(self, index: int, number: int) -> None:
        """Notes that step `number` writes `index`; PlanError if an endless film never fills a hole."""
        self._writer[index] = number
        self._beyond.add(index)
        self._close()
        if self._reach is not None and len(self._writer) > self._reach:
            self._writer.popitem(last=False)
            if len(self._beyond) > self._reach + len(self._given):
                raise PlanError(f"frame {self._hole} not written yet", "endless film", self._hint)

    @property
    def _hint(self) -> str:
        return f"within {self._reach} frames"

    def _close(self) -> None:
        while self._hole in self._beyond:
            self._beyond.discard(self._hole)
            self._hole += 1


def linked(
    steps: Iterable[Step], given: Iterable[int], reach: int | None = None
) -> Iterator[tuple[Step, Indices]]:
    """Each step with the numbers of the steps it needs; refuses double writes and early reads.

    reach: of an endless film, as in `Ledger`; a read that comes too late is then refused as well.
    """
    ledger = Ledger(given, reach)
    for number, step in enumerate(steps):
        where = f"step {number}"
        if not step.targets:
            raise PlanError("a step without targets", where)
        needs = set()
        for index in step.observed:
            if index not in ledger:
                raise PlanError(f"frame {index} read before it is written", where)
            needs.add(ledger.writer(index))
        for index in step.targets:
            if index in ledger:
                raise PlanError(f"frame {index} written twice", where)
            ledger.write(index, number)
        yield step, tuple(sorted(needs - {-1}))


@dataclasses.dataclass(frozen=True)
class Plan:
    """A finite film's steps with their derived edges and exact costs; nothing has run."""

    timeline: Timeline
    steps: tuple[Step, ...]
    needs: tuple[Indices, ...]

    @classmethod
    def of(cls, scheme: Scheme, timeline: Timeline) -> Plan:
        """The whole plan; raises PlanError if the scheme breaks a law (or the timeline is endless)."""
        if timeline.length is None:
            raise PlanError("an endless timeline has no whole plan", "plan", "a length")
        pairs = list(linked(scheme.steps(timeline), timeline.given))
        for number, (step, _) in enumerate(pairs):
            beyond = [i for i in step.targets if not 0 <= i < timeline.length]
            if beyond:
                hint = f"0 to {timeline.length - 1}"
                raise PlanError(f"frame {beyond[0]} is outside the film", f"step {number}", hint)
            if step.size > scheme.window:
                raise PlanError(
                    f"{step.size} frames in one call", f"step {number}", f"at most {scheme.window}"
                )
        plan = cls(timeline, tuple(s for s, _ in pairs), tuple(n for _, n in pairs))
        missing = set(range(timeline.length)) - set(plan.writer) - set(timeline.given)
        if missing:
            raise PlanError(f"frames {sorted(missing)[:5]} are never written", "plan")
        return plan

    @cached_property
    def writer(self) -> Mapping[int, int]:
        """Which step writes an index."""
        return {index: n for n, step in enumerate(self.steps) for index in step.targets}

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Per step: the longest chain of steps that must run, itself included (its wave + 1)."""
        depths: list[int] = []
        for needs in self.needs:
            depths.append(1 + max((depths[n] for n in needs), default=0))
        return tuple(depths)

    def waves(self) -> tuple[Indices, ...]:
        """Step numbers that may run together, wave after wave."""
        waves: list[list[int]] = [[] for _ in range(self.critical_path)]
        for number, depth in enumerate(self.depths):
            waves[depth - 1].append(number)
        return tuple(tuple(wave) for wave in waves)

    @property
    def calls(self) -> int:
        """Model calls in all."""
        return len(self.steps)

    @property
    def critical_path(self) -> int:
        """Sequential rounds with unlimited workers."""
        return max(self.depths, default=0)

    def ancestors(self, index: int) -> int:
        """Longest chain of generated frames behind `index`: 0 for a given one, 1 for one made of given ones."""
        return self.depths[self.writer[index]] if index in self.writer else 0

    @property
    def deepest_ancestry(self) -> int:
        """The largest `ancestors` of all."""
        return self.critical_path

    @cached_property
    def peak_live(self) -> int:
        """Most indices held at once when steps run in order.

        An index is live from its step (given: from its first reader) to its last reader.
        """
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for number, step in enumerate(self.steps):
            for index in (*step.targets, *step.observed):
                first.setdefault(index, number)
                last[index] = number
        begun, ended = Counter(first.values()), Counter(last.values())
        peak = live = 0
        for number in range(len(self.steps)):
            live += begun[number]
            peak = max(peak, live)
            live -= ended[number]
        return peak

    @cached_property
    def first_frame(self) -> int:
        """Sequential rounds until index 0 is final: how soon a film can start to play."""
        return self.ancestors(0)

    def descendants(self, changed: Iterable[int]) -> Indices:
        """Numbers of the steps that would run again if steps `changed` did, themselves included."""
        dirty = set(changed)
        for number, needs in enumerate(self.needs):
            if dirty.intersection(needs):
                dirty.add(number)
        return tuple(sorted(dirty))


@dataclasses.dataclass(frozen=True)
class Take:
    """An unbroken stretch: film frames `first..first+frames` come from indices `start..start+length`.

    skip: decoded frames dropped at its beginning, so that a given clip's end meets an index's end.
    """

    first: int
    frames: int | None
    start: int
    length: int | None
    skip: int = 0

    def index(self, frame: int, stride: int) -> int:
        """The index that holds film frame `frame`."""
        return self.start + (frame - self.first + self.skip) // stride


def lay_takes(
    frames: int | None,
    stride: int,
    cut_frames: Iterable[int] = (),
    skip: int = 0,
    *,
    lead: int = 0,
    holds: tuple[int, int, int] = (1, 1, 0),
) -> tuple[Take, ...]:
    """Takes on a timeline whose codec packs `stride` frames into an index.

    Every take starts a new index, so a cut never falls inside one; what a take's last index holds
    beyond its frames is dropped after decoding. skip: of the first take. lead: frames that every
    take's first index lacks, counted as skipped. holds: (first, more, spare): takes have first + a
    multiple of `more` indices, at least `spare` beyond those of their frames.
    """
    firsts = [0, *(cut for cut in cut_frames if cut > 0)]
    takes, start = [], 0
    for first, end in zip(firsts, (*firsts[1:], frames), strict=True):
        if end is None:
            takes.append(Take(first, None, start, None, skip + lead))
            break
        if end <= first:
            raise PlanError(f"a take of {end - first} frames", f"frame {first}", "1 or more")
        length = math.ceil((end - first + skip + lead) / stride)
        least, more, spare = holds
        length = least + more * max(0, math.ceil((length + spare - least) / more))
        takes.append(Take(first, end - first, start, length, skip + lead))
        start, skip = start + length, 0
    return tuple(takes)
