"""Loading: windows of clips in an order that seed, epoch and step decide alone, decoded by several threads."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from itertools import count
from math import ceil, log
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from longtake.datasets.records import Layout, Record
from longtake.errors import InputError

_AHEAD = 2  # steps begun before they are asked for
Template = Sequence[Sequence[Sequence[int]]]  # step -> rows -> the bucket of each clip in the row


@dataclasses.dataclass(frozen=True)
class Window:
    """The shape of a clip to learn from: `frames` of `size` (width, height), every `stride`-th.

    With `fps`, frames are those shown at that rate, and strides count them; without, the file's own.
    """

    frames: int
    size: tuple[int, int]
    stride: int = 1
    fps: Fraction | None = None

    def offsets(self, fps: Fraction) -> list[int]:
        """Frames of footage of this rate from the first one on."""
        step = Fraction(self.stride) * (1 if self.fps is None else Fraction(fps) / self.fps)
        return [int(n * step) for n in range(self.frames)]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a survey learns about a clip."""

    frames: int
    fps: Fraction
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Item:
    """A clip that was loaded: frames (t, 3, h, w) uint8, and which they are."""

    record: Record
    numbers: tuple[int, ...]
    frames: Tensor


@dataclasses.dataclass(frozen=True)
class Batch:
    """A step's share of this rank; a row holds one clip, or several that were packed."""

    step: int
    rows: tuple[tuple[Item, ...], ...]

    @property
    def items(self) -> list[Item]:
        """All clips, row after row."""
        return [item for row in self.rows for item in row]

    @property
    def frames(self) -> Tensor:
        """(b, t, 3, h, w) uint8, where all clips are of one shape."""
        return torch.stack([item.frames for item in self.items])


def survey(layout: Layout, cache: Path | None = None) -> list[Facts]:
    """Length, rate and size of each record; what a cache knows is not opened again."""
    known: dict[str, Facts] = {}
    if cache is not None and cache.exists():
        for line in cache.read_text(encoding="utf-8").splitlines():
            try:
                name, frames, fps, width, height = json.loads(line)
                known[name] = Facts(frames, Fraction(fps), width, height)
            except (ValueError, TypeError):
                continue  # a torn line is looked at again
    found = []
    for record in layout.records:
        if record.id not in known:
            footage = layout.footage(record)
            height, width = footage.read([0]).shape[-2:]
            known[record.id] = facts = Facts(footage.frames, footage.fps, width, height)
            if cache is not None:
                told = [record.id, facts.frames, str(facts.fps), width, height]
                with cache.open("a", encoding="utf-8") as file:
                    file.write(f"{json.dumps(told)}\n")
        found.append(known[record.id])
    return found


def assign(facts: Facts, buckets: Sequence[Window]) -> int | None:
    """The bucket of a clip: of those it is long enough for the nearest in aspect, then the longest."""
    fitting = [
        n for n, window in enumerate(buckets) if window.offsets(facts.fps)[-1] < facts.frames
    ]
    if not fitting:
        return None
    shape = log(facts.width / facts.height)

    def misfit(n: int) -> tuple[float, int, int]:
        width, height = buckets[n].size
        return (round(abs(log(width / height) - shape), 6), -buckets[n].frames, n)

    return min(fitting, key=misfit)


def even(counts: Sequence[int], sizes: Sequence[int]) -> list[list[list[int]]]:
    """Steps of `sizes[b]` clips of bucket b each; what does not fill a step is left out of an epoch."""
    return [
        [[bucket] for _ in range(size)]
        for bucket, (clips, size) in enumerate(zip(counts, sizes, strict=True))
        for _ in range(clips // size)
    ]


def packed(
    counts: Sequence[int], costs: Sequence[int], capacity: int, rows: int
) -> list[list[list[int]]]:
    """Steps of `rows` rows, filled with clips that cost `capacity` at most together: first-fit decreasing.

    What a clip costs is its bucket's; InputError if one costs more than a row holds.
    """
    if costs and max(costs) > capacity:
        raise InputError(f"a clip costs {max(costs)}", f"capacity={capacity}", f"{max(costs)}")
    bins: list[list[int]] = []
    for bucket in sorted(range(len(counts)), key=lambda b: (-costs[b], b)):
        left = counts[bucket]
        for held in bins:
            room = (capacity - sum(costs[b] for b in held)) // costs[bucket]
            held += [bucket] * min(room, left)
            left -= min(room, left)
        each = capacity // costs[bucket]
        for start in range(0, left, each):
            bins.append([bucket] * min(each, left - start))
    whole = len(bins) - len(bins) % rows
    return [bins[n : n + rows] for n in range(0, whole, rows)]


class Loader:
    """Batches of a dataset by their number: step n is the same whatever was loaded before, by how many
    threads, and however many ranks share it.

    In an epoch every clip gives one window, which chance places anew in each. A step's rows are
    divided evenly among `ranks`, in order. Clips too short for every bucket are left out, and
    counted in `short`. workers: threads that decode; 0: whoever asks does.
    """

    def __init__(
        self,
        layout: Layout,
        buckets: Sequence[Window],
        steps: Template | int,
        *,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 2,
        facts: Sequence[Facts] | None = None,
    ) -> None:
        self.layout, self.buckets, self.seed = layout, tuple(buckets), seed
        self.rank, self.ranks, self.workers = rank, ranks, workers
        self.records = layout.records
        self.facts = list(survey(layout) if facts is None else facts)
        homes = [assign(known, self.buckets) for known in self.facts]
        self.members = [
            np.array([n for n, home in enumerate(homes) if home == b], np.int64)
            for b in range(len(self.buckets))
        ]
        self.short = homes.count(None)
        counts = [len(members) for members in self.members]
        self.template = even(counts, [steps] * len(counts)) if isinstance(steps, int) else steps
        self._check(counts)
        self._last: _Order | None = None

    @property
    def steps_per_epoch(self) -> int:
        return len(self.template)

    def drawn(self, step: int) -> list[list[tuple[int, list[int], Window]]]:
        """What step `step` loads in this rank: by row, the clip's number, its frames, their shape."""
        epoch, place = divmod(step, len(self.template))
        order = self._order(epoch)
        rows, slots = self.template[order.steps[place]], order.slots[order.steps[place]]
        share = len(rows) // self.ranks
        chosen = range(self.rank * share, (self.rank + 1) * share)
        return [
            [
                self._window(epoch, bucket, slot)
                for bucket, slot in zip(rows[r], slots[r], strict=True)
            ]
            for r in chosen
        ]

    def batch(self, step: int) -> Batch:
        """Step `step`, decoded here and now."""
        rows = [tuple(self._load(*draw) for draw in row) for row in self.drawn(step)]
        return Batch(step, tuple(rows))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Steps from `start` on, for ever; the next ones are decoded while one is used."""
        if not self.workers:
            yield from map(self.batch, count(start))
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        begun: deque[tuple[int, list[list[Future[Item]]]]] = deque()
        try:
            for ahead in count(start):
                rows = [[pool.submit(self._load, *d) for d in row] for row in self.drawn(ahead)]
                begun.append((ahead, rows))
                if len(begun) > _AHEAD:
                    step, rows = begun.popleft()
                    yield Batch(step, tuple(tuple(f.result() for f in row) for row in rows))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _load(self, clip: int, numbers: list[int], window: Window) -> Item:
        footage = self.layout.footage(self.records[clip])
        frames = footage.read(numbers, size=window.size)
        return Item(self.records[clip], tuple(numbers), frames)

    def _window(self, epoch: int, bucket: int, slot: int) -> tuple[int, list[int], Window]:
        """The window of a bucket's `slot`-th clip of the epoch."""
        clip = int(self._order(epoch).members[bucket][slot])
        offsets = self.buckets[bucket].offsets(self.facts[clip].fps)
        room = self.facts[clip].frames - offsets[-1]
        drawn = int(mixed(self.seed, epoch, 1, np.array([clip]))[0])
        return clip, [drawn % room + n for n in offsets], self.buckets[bucket]

    def _order(self, epoch: int) -> _Order:
        if self._last is None or self._last.epoch != epoch:
            members = [m[np.argsort(mixed(self.seed, epoch, 2, m))] for m in self.members]
            taken, slots = [0] * len(members), []
            for rows in self.template:
                slots.append([[_next(taken, bucket) for bucket in row] for row in rows])
            steps = np.argsort(mixed(self.seed, epoch, 3, np.arange(len(self.template))))
            self._last = _Order(epoch, members, slots, steps.tolist())
        return self._last

    def _check(self, counts: Sequence[int]) -> None:
        where = str(self.layout.root)
        if not self.template:
            what = f"no full step: {sum(counts)} clips, {self.short} too short"
            raise InputError(what, where, "smaller batches or shorter windows")
        uneven = [len(rows) for rows in self.template if len(rows) % self.ranks]
        if uneven or not 0 <= self.rank < self.ranks:
            what = f"rank {self.rank} of {self.ranks} with steps of {(uneven or [0])[0]} rows"
            rows = ceil((uneven or [1])[0] / self.ranks) * self.ranks
            raise InputError(what, where, f"steps of {rows} rows")


@dataclasses.dataclass(frozen=True)
class _Order:
    """How an epoch fills the template: members by bucket, a slot for each place, and the order of steps."""

    epoch: int
    members: list[npt.NDArray[np.int64]]
    slots: list[list[list[int]]]
    steps: list[int]


def _next(taken: list[int], bucket: int) -> int:
    taken[bucket] += 1
    return taken[bucket] - 1


def mixed(
    seed: int, epoch: int, use: int, numbers: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """A hash of each number: SplitMix64's finaliser (Steele et al. 2014), chained over what it hangs on.

    Sorting by it shuffles, the same way on every machine and in every version of NumPy.
    """
    state = np.zeros(len(numbers), np.uint64)
    with np.errstate(over="ignore"):
        for value in (np.uint64(seed % 2**64), np.uint64(epoch), np.uint64(use), numbers):
            state = state + np.uint64(0x9E3779B97F4A7C15) + value.astype(np.uint64)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state
