"""What is to be made: a system, a length, cues, given clips; and all that follows from them.

No torch here: planning a job is instant.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING

from longtake.clip import Clip
from longtake.controls import Controls, Cue
from longtake.engine.chance import seeds_told
from longtake.engine.clock import FilmClock
from longtake.engine.conditioning import Remembering
from longtake.engine.redo import Layer, Layers, Redo, View
from longtake.errors import FitError, InputError, PlanError
from longtake.keys import StepKey, fingerprint
from longtake.steps import Indices, Ledger, Plan, Step, Take, Timeline, lay_takes, linked
from longtake.system import System

if TYPE_CHECKING:
    from torch import Tensor

AHEAD = 64  # calls of an endless film that are looked at before the first of them is finished
REACH = 16_384  # as `Job.reach`, for a scheme that does not say how far it reaches
CHUNK = 64  # most indices of a given clip that are encoded and stored together


@dataclasses.dataclass(frozen=True)
class Given:
    """A clip or picture the user gave: film frames `frame..frame+frames`.

    digest: of the source file's bytes and of how it was fitted to the canvas.
    load: its pixels, (t, 3, h, w) floats in [0, 1] at canvas size.
    still: one picture, which no other frames line up with.
    """

    frame: int
    frames: int
    digest: str
    load: Callable[[], Tensor]
    still: bool = False

    @property
    def end(self) -> int:
        """The film frame after its last."""
        return self.frame + self.frames


@dataclasses.dataclass(frozen=True)
class Piece:
    """Indices `start..start+count`: part of a given clip, encoded and stored as one.

    offset: the clip's frame at which `start` begins; outside the clip its edge frames repeat.
    before, after: how many indices of the same clip lie beside it, for encoding to see.
    """

    given: Given
    start: int
    count: int
    offset: int
    before: int
    after: int

    @property
    def at(self) -> Indices:
        """The indices it fills."""
        return tuple(range(self.start, self.start + self.count))


@dataclasses.dataclass(frozen=True)
class Call:
    """A step of a stage with its number in the whole job and the numbers of the calls it needs.

    view: what it sees and writes over, of a stretch that is made again.
    """

    number: int
    stage: int
    step: Step
    needs: Indices
    view: View | None = None


@dataclasses.dataclass(frozen=True)
class Sourced(Controls):
    """Controls of a later stage: track "source" holds the frames of the stage before."""

    source: Clip | None = None

    def at(self, indices: Sequence[int]) -> Mapping[str, Tensor]:
        """The film's tracks and "source", (t, *frame)."""
        tracks = dict(super().at(indices))
        if self.source is not None:
            tracks["source"] = self.source.pick(indices).frames[0]
        return tracks


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """Everything that decides a film's pixels. frames: None for an endless one.

    size: of the film, (width, height). cuts: film frames where a take begins.
    source: a video to re-render, `strength` of the way from pure noise.
    device, dtype: where models run, for the keys.
    repair: what becomes of scores: "off", "report" or "repair".
    redone: stretches of a finite film that are made again, each upon those before.
    """

    system: System
    frames: int | None
    size: tuple[int, int]
    fps: Fraction
    seed: int = 0
    cues: tuple[Cue, ...] = ()
    cuts: tuple[int, ...] = ()
    given: tuple[Given, ...] = ()
    source: Given | None = None
    strength: float = 1.0
    device: str = "cpu"
    dtype: str = "float32"
    repair: str = "off"
    redone: tuple[Redo, ...] = ()

    def __post_init__(self) -> None:
        strides = {stage.codec.spec.stride for stage in self.system.stages}
        if len(strides) > 1:
            raise FitError(f"stages of strides {sorted(strides)}", self.system.name, "one stride")
        if self.source is not None and self.frames is None:
            raise InputError("an endless film cannot follow a video", "--strength", "--seconds")
        for given in self.given:
            if given.frame < 0 or (self.frames is not None and given.end > self.frames):
                raise InputError(
                    f"frames {given.frame} to {given.end - 1} given",
                    "outside the film",
                    f"0 to {(self.frames or 0) - 1}",
                )

    @property
    def stride(self) -> int:
        """Film frames in an index."""
        return self.system.stages[0].codec.spec.stride

    @property
    def interval(self) -> float:
        """Seconds from one index to the next."""
        return float(self.stride / self.fps)

    @property
    def canvas(self) -> tuple[int, int]:
        """(width, height) at which models work."""
        return self.system.canvas(self.size)

    def shape(self, stage: int) -> tuple[int, ...]:
        """Shape of one of a stage's latent frames."""
        return self.system.frame(self.size, stage)

    @cached_property
    def takes(self) -> tuple[Take, ...]:
        """Unbroken stretches of film and the indices that hold them."""
        spec = self.system.stages[0].codec.spec
        return lay_takes(
            self.frames, self.stride, self.cuts, self._skip(), lead=spec.lead, holds=spec.holds
        )

    def _skip(self) -> int:
        """Frames to drop at the start, so that the clip generation joins fills whole indices."""
        end = min((cut for cut in self.cuts if cut > 0), default=self.frames)
        inside = [g for g in self.given if not g.still and (end is None or g.end <= end)]
        clips = sorted(inside, key=lambda given: given.frame)
        lead = self.system.stages[0].codec.spec.lead
        for clip in clips:
            if end is None or clip.end < end:
                return -(clip.end + lead) % self.stride
        return -(clips[0].frame + lead) % self.stride if clips else 0

    @cached_property
    def timeline(self) -> Timeline:
        """The timeline all stages share."""
        last = self.takes[-1]
        length = None if last.length is None else last.start + last.length
        starts = tuple(take.start for take in self.takes[1:])
        return Timeline(length, tuple(sorted(self.given_indices)), starts)

    def first_frame(self, take: Take, index: int) -> int:
        """The film frame at which an index of `take` begins."""
        return take.first - take.skip + (index - take.start) * self.stride

    @cached_property
    def given_indices(self) -> Mapping[int, tuple[Given, int]]:
        """The given clip an index holds, and the clip's frame at which the index begins."""
        held: dict[int, tuple[Given, int]] = {}
        for given, take, indices in self._runs():
            for index in indices:
                if index in held:
                    raise InputError(
                        f"two given clips at film frame {max(given.frame, held[index][0].frame)}",
                        f"the model packs {self.stride} frames into one",
                        f"{self.stride} frames apart",
                    )
                held[index] = (given, self.first_frame(take, index) - given.frame)
        return held

    def _runs(self) -> Iterator[tuple[Given, Take, range]]:
        """Where given clips lie: parts of a take whose indices a clip fills."""
        for given, take in itertools.product(self.given, self.takes):
            end = given.end if take.frames is None else min(given.end, take.first + take.frames)
            first = max(given.frame, take.first)
            if first < end:
                yield (
                    given,
                    take,
                    range(take.index(first, self.stride), take.index(end - 1, self.stride) + 1),
                )

    @cached_property
    def pieces(self) -> Mapping[int, Piece]:
        """The piece of a given clip that fills an index."""
        runs = ((given, take, indices) for given, take, indices in self._runs())
        return self._cut(runs)

    @cached_property
    def source_pieces(self) -> Mapping[int, Piece]:
        """The piece of the source video at every index; past its end the last frame repeats."""
        if self.source is None:
            return {}
        return self._cut(
            (self.source, take, range(take.start, take.start + (take.length or 0)))
            for take in self.takes
        )

    def _cut(self, runs: Iterable[tuple[Given, Take, range]]) -> Mapping[int, Piece]:
        pieces: dict[int, Piece] = {}
        for given, take, run in runs:
            for start in run[::CHUNK]:
                count = min(CHUNK, run.stop - start)
                offset = self.first_frame(take, start) - given.frame
                before, after = start - run.start, run.stop - start - count
                piece = Piece(given, start, count, offset, before, after)
                pieces.update(dict.fromkeys(piece.at, piece))
        return pieces

    def piece_key(self, piece: Piece, stage: int) -> str:
        """The name under which a given clip's latents are stored."""
        span = [piece.given.frames, piece.offset, piece.count, piece.before, piece.after]
        codec = self.system.stages[stage].codec.spec.fingerprint
        return fingerprint(
            ["given", piece.given.digest, span, codec, self.stride, self.canvas, self.machine]
        )

    @cached_property
    def clock(self) -> FilmClock:
        """Film time of every index."""
        fps = self.fps
        starts = tuple((take.start, float((take.first - take.skip) / fps)) for take in self.takes)
        half = Fraction(1, 2)
        limits = tuple(
            (
                float((take.first + half) / fps),
                None if take.frames is None else float((take.first + take.frames - half) / fps),
            )
            for take in self.takes
        )
        return FilmClock(starts, self.interval, limits)

    @cached_property
    def controls(self) -> Controls:
        """The film's control tracks."""
        own = self.system.encoder
        encoder = None if own is None else Remembering(own)
        return Controls(self.cues, encoder, self.system.passage, self.clock)

    @property
    def reach(self) -> int:
        """Indices of an endless film that are kept: so many others may be used before one is forgotten.

        Twice what its schemes reach back for and all calls that may be under way at once hold, and
        everything up to the last given index, to which films are made backward.
        """
        most = 1 + max(self.given_indices, default=-1)
        for scheme in (stage.scheme for stage in self.system.stages):
            back = getattr(scheme, "reach", None)
            most += REACH if back is None else 2 * (back + AHEAD * scheme.window)
        return most

    @cached_property
    def plans(self) -> tuple[Plan, ...]:
        """The whole plan of every stage of a finite film."""
        return tuple(Plan.of(stage.scheme, self.timeline) for stage in self.system.stages)

    @property
    def plan(self) -> Plan:
        """The first stage's plan."""
        return self.plans[0]

    @cached_property
    def layers(self) -> Layers:
        """What the redos make again, and who sees what of it."""
        return Layers(self)

    @cached_property
    def first_made(self) -> tuple[Call, ...]:
        """The calls of a finite film without its redos, in an order in which they may run."""
        if self.frames is None:
            raise PlanError("an endless film has no whole plan", "plan", "a length")
        return tuple(lay(self))

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """All calls of a finite film; those of redos come last, and their numbers may leave gaps."""
        made = self.first_made
        again = self.layers.steps(len(made)) if self.redone else ()
        return (
            *made,
            *(Call(number, stage, step, needs, view) for number, stage, step, view, needs in again),
        )

    def first_calls(self, count: int = AHEAD) -> tuple[Call, ...]:
        """The calls of a finite film, or so many of an endless one."""
        return self.calls if self.frames is not None else tuple(itertools.islice(lay(self), count))

    @cached_property
    def waves(self) -> tuple[int, ...]:
        """Per call of a finite film: how many calls must run before it, one after the other."""
        waves: dict[int, int] = {}
        for call in self.calls:
            waves[call.number] = 1 + max((waves[n] for n in call.needs), default=-1)
        return tuple(waves.values())

    @cached_property
    def machine(self) -> str:
        """The part of the key that says what computes."""
        return f"torch {metadata.version('torch')} {self.device} {self.dtype}"

    @cached_property
    def keys(self) -> tuple[StepKey, ...]:
        """The key of every call of a finite film; PlanError where a call chooses as it runs."""
        keys = Keys(self)
        return tuple(keys.take(call) for call in self.calls)

    def key_of(self, number: int) -> StepKey:
        """The key of call `number` of a finite film without redos."""
        return self.keys[number]


class Keys:
    """Keys of the calls taken so far, and which of them wrote an index.

    attempts: which attempt was settled on, by the key of the first; the first where it is missing.
    """

    def __init__(self, job: Job, attempts: Mapping[str, int] | None = None) -> None:
        self.job = job
        self._attempts = attempts or {}
        self._writer: OrderedDict[tuple[int, int, Layer], tuple[int, str]] = OrderedDict()
        self._reach = None if job.frames is not None else job.reach
        self._left: Counter[int] = Counter()  # indices by call, of an endless film
        self._forgotten: list[str] = []

    def writer(self, stage: int, index: int, view: View | None = None) -> tuple[int, str]:
        """Number and key of the call that wrote what is seen at an index (-1 and the piece's key if given)."""
        piece = self.job.pieces.get(index)
        if piece is not None:
            return -1, self.job.piece_key(piece, stage)
        place = (stage, index, None if view is None else self.job.layers.layer(index, view))
        if place not in self._writer:
            raise PlanError(
                f"frame {index} read too late", "endless film", f"within {self._reach} frames"
            )
        if self._reach is not None:
            self._writer.move_to_end(place)
        return self._writer[place]

    def take(
        self, call: Call, chosen: Indices | None = None, attempt: int | None = None
    ) -> StepKey:
        """The key of a call whose needs have been taken; `chosen` is what it observes.

        Taken again with another `attempt`, that one is what later calls will have observed.
        """
        if chosen is None and call.step.choose is not None:
            raise PlanError("what this step observes is chosen as it runs", f"step {call.number}")
        observed = call.step.observed if chosen is None else chosen
        key = StepKey(self._parts(call, observed))
        key = key.rolled(self._attempts.get(key.key, 0) if attempt is None else attempt)
        layer = None if call.view is None else (call.view.redo, call.view.take)
        writer = call.number, key.key  # one for all: a long film has many indices
        for index in call.step.targets:
            self._writer[call.stage, index, layer] = writer
        if self._reach is not None:
            self._left[call.number] = len(call.step.targets)  # whichever attempt this is
            self._forget(self._reach)
        return key

    def forgotten(self) -> list[str]:
        """Keys, since this was last asked, of which no index can be read any more."""
        keys, self._forgotten = self._forgotten, []
        return keys

    def _forget(self, reach: int) -> None:
        while len(self._writer) > reach:
            _, (number, key) = self._writer.popitem(last=False)
            self._left[number] -= 1
            if not self._left[number]:
                del self._left[number]
                self._forgotten.append(key)

    def read(
        self, stage: int, indices: Indices, view: View | None = None
    ) -> tuple[tuple[int, str], ...]:
        """(index, key of what wrote what is seen there) for every index."""
        return tuple((index, self.writer(stage, index, view)[1]) for index in indices)

    def _parts(self, call: Call, observed: Indices) -> dict[str, str]:
        job, stage, step = self.job, call.stage, call.step
        model = job.system.stages[stage].model(step.role)
        at = (*observed, *step.targets)
        parts = {
            "model": fingerprint([stage, step.role, model.spec.fingerprint]),
            "observed": fingerprint(self.read(stage, observed, call.view)),
            "targets": " ".join(map(str, step.targets)),
            "controls": job.controls.digest(at),
            "seed": seeds_told(job, at),
            "frame": f"{'x'.join(map(str, job.shape(stage)))} every {job.interval:.9g} s",
            "machine": job.machine,
        }
        if stage:
            parts["earlier"] = fingerprint(self.read(stage - 1, at, call.view))
        elif job.source is not None:
            pieces = [(i, job.piece_key(job.source_pieces[i], stage)) for i in step.targets]
            parts["source"] = fingerprint([pieces, job.strength])
        if call.view is not None:
            parts["take"] = str(call.view.take)
        return parts


def lay(job: Job) -> Iterator[Call]:
    """All calls of a job, lazily, each after those it needs; later stages follow closely."""
    stages = [_Laid(job, stage) for stage in range(len(job.system.stages))]
    numbers = itertools.count()

    def advance(stage: int) -> Iterator[Call]:
        step, needs = next(stages[stage].steps, (None, ()))
        if step is None:
            return
        wanted = (*step.observed, *step.targets) if stage else ()
        while any(index not in stages[stage - 1].ledger for index in wanted):
            yield from advance(stage - 1)
        number = next(numbers)
        earlier = {stages[stage - 1].ledger.writer(index) for index in wanted}
        yield stages[stage].call(number, step, needs, earlier)

    last = len(stages) - 1
    while not stages[last].over:
        yield from advance(last)


class _Laid:
    """One stage's steps as they are laid between those of the others."""

    def __init__(self, job: Job, stage: int) -> None:
        timeline, scheme = job.timeline, job.system.stages[stage].scheme
        endless = timeline.length is None
        plan = () if endless else zip(job.plans[stage].steps, job.plans[stage].needs, strict=True)
        reach = job.reach if endless else None
        steps = linked(scheme.steps(timeline), timeline.given, reach) if endless else plan
        self.steps: Iterator[tuple[Step, Indices]] = self._checked(iter(steps), scheme.window)
        self.stage, self.over = stage, False
        # only between stages must it be known who wrote what: a lone stage's numbers are the plan's
        self.ledger = Ledger(timeline.given, reach)
        self._alone = len(job.system.stages) == 1

    def _checked(
        self, steps: Iterator[tuple[Step, Indices]], window: int
    ) -> Iterator[tuple[Step, Indices]]:
        for step, needs in steps:
            if step.size > window:
                raise PlanError(f"{step.size} frames in one call", "plan", f"at most {window}")
            yield step, needs
        self.over = True

    def call(self, number: int, step: Step, needs: Indices, earlier: set[int]) -> Call:
        if self._alone:
            return Call(number, self.stage, step, needs)
        own = {self.ledger.writer(index) for index in step.observed}
        for index in step.targets:
            self.ledger.write(index, number)
        return Call(number, self.stage, step, tuple(sorted((own | earlier) - {-1})))
