"""Self-repair: every finished step is scored, and one outside its limits is rolled again.

What a step is judged by, is what it depends on: the frames it observes and the changes inside the
clips behind them. All of it is in the step's key, so the verdict is the same in every run, whatever
finished first, wherever it resumed and whoever computed. That has a price: a step that depends on nothing
can only be judged by itself, and no verdict is taken back when more is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial

from longtake.clip import Clip, ClipRequest
from longtake.controls import Controls
from longtake.engine.job import Job
from longtake.engine.scoring import Changes, Verdict, scored
from longtake.engine.store import Store
from longtake.keys import StepKey

MODES = ("off", "report", "repair")
TRIES = 3  # more rolls of a step whose clip is outside its limits
HISTORY = 32  # clips by whose changes one is judged: those nearest in time among all behind it


def settled(job: Job, store: Store) -> dict[str, int]:
    """Which attempt was settled on, by the key of the first, where it is known from earlier runs."""
    if job.repair != "repair":
        return {}
    lines = (line for line in store.records() if "attempt" in line)
    return {StepKey(line["parts"]).first.key: line["attempt"] for line in lines}


# the changes of the clips behind one and its own, each with the first index of its clip
Trail = tuple[tuple[int, Changes], ...]


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A clip that was outside its limits, and how far."""

    key: StepKey
    clip: Clip
    verdict: Verdict
    seconds: float | None


class Critic:
    """Judges clips in an order in which they depend on each other, and remembers how they change."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._trails: dict[str, Trail] = {}
        # of the controls alone: a cache over a method of its own would hold the critic in a ring,
        # and all its trails until the collector next looks for rings
        self._heard = lru_cache(maxsize=4096)(partial(words_at, job.controls))

    def judge(self, key: str, clip: Clip, observed: Clip | None, behind: Iterable[str]) -> Verdict:
        """Scores a clip and takes its changes for those that will depend on it.

        key: under which the clip is, or would be, stored. behind: keys of what wrote `observed`.
        """
        if not clip.frames.is_floating_point():
            return Verdict()
        if not bool(clip.frames.isfinite().all()):
            return Verdict(broken="not finite numbers")
        history = self._nearest(behind, min(clip.at))
        verdict, own = scored(clip, observed, [part for _, part in history], self._heard)
        self._trails[key] = ((min(clip.at), own), *history[: HISTORY - 1])
        return verdict

    def forget(self, key: str) -> None:
        """No clip will depend on this one any more."""
        self._trails.pop(key, None)

    def asked(self, verdict: Verdict, stage: int, clip: Clip, request: ClipRequest) -> Verdict:
        """The verdict with the scores of the stage's own judge, if it has one."""
        judge = self.job.system.stages[stage].judge
        if judge is None or verdict.broken:
            return verdict
        found: Mapping[str, float] = judge.scores(clip, request)
        shares = {name: round(found[name] / limit, 4) for name, limit in judge.limits.items()}
        return dataclasses.replace(verdict, scores={**verdict.scores, **shares})

    def _nearest(self, behind: Iterable[str], place: int) -> Trail:
        """Changes of the clips behind a step, those nearest to its place first."""
        found: set[tuple[int, Changes]] = set()
        for key in behind:
            if key in self._trails:
                found.update(self._trails[key])
        near = sorted(found, key=lambda part: (abs(part[0] - place), part[0]))
        return tuple(near[:HISTORY])


def words_at(controls: Controls, index: int) -> str | None:
    """The one prompt that is heard at an index, None in a passage; "" where prompts are not read."""
    if controls.encoder is None or not controls.cues:
        return ""
    mix = controls.mix(index)
    return controls.cues[mix[0][0]].prompt if len(mix) == 1 else None
