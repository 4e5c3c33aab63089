"""Takes of a stretch that is made again: when they are all there, how each scores, and which is seen."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from longtake.engine.desk import Desk
from longtake.engine.events import Chosen
from longtake.engine.job import Call, Job
from longtake.engine.redo import Part, View
from longtake.engine.repair import words_at
from longtake.engine.scoring import NAMES, Verdict, scored

BESIDE = 16  # indices on either side of a stretch by whose changes its own are judged
_OF_STRETCHES = {*NAMES, "frozen"}


class Takes:
    """The takes of a job's last redo.

    wanted: numbers of the only calls that will run (None: all).
    """

    def __init__(self, job: Job, desk: Desk, wanted: Collection[int] | None = None) -> None:
        self._job, self._desk = job, desk
        again = (call.number for call in job.calls if call.view) if job.redone else ()
        self._left = {number for number in again if wanted is None or number in wanted}
        self._over = not job.redone

    def finish(self, call: Call | None = None) -> Chosen | None:
        """The choice, once no call that makes a stretch again is left; None before and afterwards."""
        if call is not None:
            self._left.discard(call.number)
        if self._left or self._over:
            return None
        self._over = True
        return self._choose()

    def _choose(self) -> Chosen:
        redo = self._job.redone[-1]
        frames = redo.first, redo.end
        if len(redo.takes) == 1 and redo.chosen is not None:
            return Chosen(frames, redo.chosen, {})
        ranks = {take: self._rank(take) for take in redo.takes}
        best = min(ranks, key=lambda take: (*ranks[take], take))
        scores = {str(take): round(worst, 4) for take, (worst, _) in ranks.items()}
        return Chosen(frames, best if redo.pick is None else redo.pick, scores)

    def _rank(self, take: int) -> tuple[float, float]:
        """A take's worst score, and the sum of all."""
        job, number = self._job, len(self._job.redone) - 1
        view = job.layers.view(number, take)
        verdicts = [self._judged(part, view) for part in job.layers.parts[number] if part.free]
        shares: dict[str, float] = {}
        found = [share for verdict in verdicts for share in verdict.scores.items()]
        for call in job.calls:
            if call.view == view:
                # what a recipe's own judge says of a step; all else is asked of the stretch as a whole
                own = self._desk.verdicts[call.number].scores.items()
                found += [(name, share) for name, share in own if name not in _OF_STRETCHES]
        for name, share in found:
            shares[name] = max(shares.get(name, 0.0), share)
        return Verdict(shares).worst, sum(shares.values())

    def _judged(self, part: Part, view: View) -> Verdict:
        """A take's latents held against the film on both sides, joins included."""
        stage, (start, length) = (
            len(self._job.system.stages) - 1,
            (part.take.start, part.take.length),
        )
        assert length is not None, "a film with redos has an end"
        low, high = max(start, part.free[0] - BESIDE), part.free[-1] + 1 + BESIDE
        free = set(part.free)
        beside = tuple(i for i in range(low, min(high, start + length)) if i not in free)
        clip = self._desk.clips(stage, part.free, view)
        if not clip.frames.is_floating_point():
            return Verdict()
        seen = self._desk.clips(stage, beside, view) if beside else None
        return scored(clip, seen, (), partial(words_at, self._job.controls))[0]
