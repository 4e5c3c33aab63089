"""Where a step's chance comes from: the film's seed, a shot's own, or one derived for a take or an attempt."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from longtake.clip import Noise
from longtake.keys import StepKey, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.engine.job import Job
    from longtake.steps import Indices


@dataclasses.dataclass(frozen=True)
class ByShot(Noise):
    """Noise whose seed is that of the shot in which an index lies; the film's `seed` elsewhere."""

    seeds: tuple[tuple[int, int], ...]  # (index, seed)

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor:
        """See `Noise`."""
        return Noise(dict(self.seeds).get(index, self.seed)).of(sample, index, shape, use)


def noise_of(job: Job, key: StepKey, at: Indices) -> Noise:
    """The noise of a step that reads and writes indices `at`.

    All steps of a take share one seed, as those of a shot do: noise belongs to an index.
    """
    if key.attempt:
        derived = fingerprint([job.seed, key.first.key, key.attempt])
    elif "take" in key.parts:
        derived = fingerprint([job.seed, "take", key.parts["take"]])
    else:
        seeds = tuple(zip(at, seeds_of(job, at), strict=True))
        shared = {seed for _, seed in seeds} or {job.seed}
        return Noise(shared.pop()) if len(shared) == 1 else ByShot(job.seed, seeds)
    return Noise(int(derived[:15], 16))


def seeds_of(job: Job, at: Iterable[int]) -> list[int]:
    """The seed of the shot in which each index lies: its own, or the film's."""
    if all(cue.seed is None for cue in job.cues):
        return [job.seed for _ in at]
    own = [(cue.start, cue.seed) for cue in job.cues]
    found = []
    for index in at:
        time = job.clock.at(index)
        seed = next((seed for start, seed in reversed(own) if start <= time), own[0][1])
        found.append(job.seed if seed is None else seed)
    return found


def seeds_told(job: Job, at: Iterable[int]) -> str:
    """The seeds of indices for a step's key: one number where all are the same, else runs, `7 x 12, 9 x 4`."""
    runs = [(seed, len(list(run))) for seed, run in itertools.groupby(seeds_of(job, at))]
    if len({seed for seed, _ in runs}) < 2:
        return str(runs[0][0] if runs else job.seed)
    return ", ".join(f"{seed} x {count}" for seed, count in runs)
