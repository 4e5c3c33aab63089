"""Between plan and models: which clips are at hand, what a call observes, its key, its request."""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from longtake.clip import Clip, ClipRequest, Noise
from longtake.controls import Controls
from longtake.engine.chance import noise_of
from longtake.engine.executors import Result, Task
from longtake.engine.job import Call, Given, Job, Keys, Piece, Sourced
from longtake.engine.redo import View
from longtake.engine.repair import TRIES, Attempt, Critic, settled
from longtake.engine.scoring import Verdict
from longtake.engine.store import Store
from longtake.errors import FitError, MachineError
from longtake.keys import StepKey
from longtake.steps import Indices

if TYPE_CHECKING:
    from torch import Tensor

# bytes of clips kept in memory, and one at least; others come back from the store when they are read,
# which is nothing beside a call of a model whose clips are so large
BUDGET = 4 << 20

STILL = "still"  # name under which a given picture's pixels are carried, with its index after it
REDRAWN = (
    "redrawn "  # before an index: how a model drew a given frame it observed, for the film to show
)


@dataclasses.dataclass(frozen=True)
class Order:
    """A call whose observation is settled, and its key."""

    call: Call
    observed: Indices
    key: StepKey

    @property
    def claim(self) -> str:
        """What a process claims that makes it: one name for all attempts."""
        return self.key.first.key


class Desk:
    """Clips at hand, within BUDGET however long the film is, and the keys of all ordered calls."""

    def __init__(self, job: Job, store: Store) -> None:
        self.job, self.store = job, store
        self._settled = settled(job, store)
        self._keys = Keys(job, self._settled)
        self._critic = Critic(job)
        calls = job.calls if job.frames is not None else ()
        self._readers = Counter(number for call in calls for number in call.needs)
        self._judged: dict[int, str] = {}  # keys of calls that others will be judged by
        self._tried: dict[int, list[Attempt]] = {}
        self._faults: dict[int, str] = {}
        self.verdicts: dict[int, Verdict] = {}  # of the calls that make a stretch again
        self._hand: OrderedDict[str, Clip] = OrderedDict()
        self._bytes = 0
        self._recorded = {line["step"]: line["key"] for line in store.records()}
        self._redrawn: dict[tuple[int, int], tuple[int, str]] = {}  # what drew a given index again

    def order(self, call: Call) -> Order:
        """Chooses what an adaptive call observes and takes the key; its needs must be stored."""
        step = call.step
        observed = step.observed
        if step.choose is not None:
            observed = self._choose(call, step.observed, step.choose)
        key = self._keys.take(call, observed)
        for old in self._keys.forgotten():
            self._let_go(old)
        return Order(call, observed, key)

    def find(self, order: Order) -> bool:
        """Whether the call's clip is stored, and good enough; it is then at hand."""
        key, number = order.key, order.call.number
        clip = self.store.get(key.key)
        if clip is None:
            return False
        verdict = self._judge(order, clip)
        if self._refused(order, verdict):
            self._tried[number] = [Attempt(key, clip, verdict, None)]
            return False
        self._lay(key.key, clip)
        self._note_redrawn(order, clip)
        before = self._recorded.pop(number, None)
        # the same take of a stretch is another step, or none yet, once it lies upon other redos
        if before != key.key and (before is not None or order.call.view is not None):
            self._record(order, None, verdict)
        self._heed(order, verdict)
        return True

    def turned_down(self, order: Order) -> tuple[Order, str]:
        """The next attempt, and why, if a stored clip was found outside its limits; else (order, "")."""
        tried = self._tried.get(order.call.number)
        return (self._again(order), tried[-1].verdict.why) if tried else (order, "")

    def fault(self, order: Order) -> str:
        """Why a call's clip is outside its limits that was kept; asked once. "" if it is not."""
        return self._faults.pop(order.call.number, "")

    def task(self, order: Order) -> Task:
        """The request a model is asked."""
        job, call = self.job, order.call
        step = call.step
        request = ClipRequest(
            targets=step.targets,
            observed=(
                self.clips(call.stage, order.observed, call.view) if order.observed else None
            ),
            controls=self._controls(order),
            noise=self._noise(order),
            frame=job.shape(call.stage),
            interval=job.interval,
        )
        if job.source is not None and call.stage == 0:
            start = self._joined(
                [self._piece(job.source_pieces[i], 0).pick([i]) for i in step.targets]
            )
            request = dataclasses.replace(request, start=start, strength=job.strength)
        part = job.system.stages[call.stage].model(step.role)
        return Task(call.number, call.stage, step.role, part, request)

    def _noise(self, order: Order) -> Noise:
        return noise_of(self.job, order.key, (*order.observed, *order.call.step.targets))

    def keep(self, order: Order, result: Result) -> tuple[Order, str]:
        """Journals and stores a finished call's clip before anything else hears of it; its order, and "".

        If it is to be rolled again, nothing is stored: the next attempt's order, and why. When the
        last attempt was outside its limits too, the order is that of the best.
        """
        self._check(order, result.clip)
        number, verdict = order.call.number, self._judge(order, result.clip)
        made = Attempt(order.key, result.clip, verdict, result.seconds)
        if self._refused(order, verdict):
            tried = self._tried.setdefault(number, [])
            tried.append(made)
            if order.key.attempt < TRIES:
                return self._again(order), verdict.why
            made = min(tried, key=lambda attempt: attempt.verdict.worst)
        for attempt in self._tried.pop(number, []):
            if attempt.key != made.key:
                self._critic.forget(attempt.key.key)
        if made.verdict.broken:
            what = "the model made frames that are not finite numbers"
            raise MachineError(what, f"step {number}")
        if made.key != order.key:
            order = self._rolled(order, made.key.attempt)
        # the journal first: whoever stops in between leaves a line without a clip, and not a clip
        # that no line names and `gc` would take for spare
        self._recorded.pop(number, None)
        self._record(order, made.seconds, made.verdict)
        self.store.put(order.key.key, made.clip)
        self._lay(order.key.key, made.clip)
        self._note_redrawn(order, made.clip)
        self._heed(order, made.verdict)
        return order, ""

    def _again(self, order: Order) -> Order:
        return self._rolled(order, order.key.attempt + 1)

    def _rolled(self, order: Order, attempt: int) -> Order:
        key = self._keys.take(order.call, order.observed, attempt)
        return dataclasses.replace(order, key=key)

    def _judge(self, order: Order, clip: Clip) -> Verdict:
        """How a call's clip compares with what the call depends on."""
        if self.job.repair == "off":
            broken = clip.frames.is_floating_point() and not bool(clip.frames.isfinite().all())
            return Verdict(broken="not finite numbers" if broken else "")
        stage, seen = order.call.stage, order.observed
        view = order.call.view
        behind = {key for _, key in self._keys.read(stage, seen, view)}
        observed = self.clips(stage, seen, view) if seen else None
        verdict = self._critic.judge(order.key.key, clip, observed, behind)
        if self.job.system.stages[stage].judge is None:
            return verdict
        return self._critic.asked(verdict, stage, clip, self.task(order).request)

    def _refused(self, order: Order, verdict: Verdict) -> bool:
        """Whether a clip is not kept, or only for want of a better one."""
        unsettled = order.key.first.key not in self._settled
        return self.job.repair == "repair" and bool(verdict.why) and unsettled

    def _heed(self, order: Order, verdict: Verdict) -> None:
        """Keeps what others will ask about a clip that is now stored, and no more of what only it asked."""
        call = order.call
        if self.job.frames is not None:
            self._judged[call.number] = order.key.key
            self._readers.subtract(call.needs)
            for number in (call.number, *call.needs):
                if not self._readers[number] and number in self._judged:
                    self._critic.forget(self._judged.pop(number))
        if verdict.why:
            self._faults[call.number] = verdict.why
        if call.view is not None:
            self.verdicts[call.number] = verdict

    def clips(self, stage: int, indices: Indices, view: View | None = None) -> Clip:
        """Frames of a stage at `indices`, given or made, as seen; carry of what was written last wins."""
        pieces: dict[Piece, list[int]] = {}
        written: dict[tuple[int, str], list[int]] = {}
        for index in indices:
            piece = self.job.pieces.get(index)
            if piece is not None:
                pieces.setdefault(piece, []).append(index)
            else:
                written.setdefault(self._keys.writer(stage, index, view), []).append(index)
        parts = [_shown(self._piece(piece, stage), at) for piece, at in pieces.items()]
        for (number, key), at in sorted(written.items()):
            clip = self._stored(key, number)
            parts.append(dataclasses.replace(clip.pick(at), carry=clip.carry))
        return self._joined(parts)

    def shown(self, stage: int, indices: Indices, view: View | None = None) -> Clip:
        """As `clips`, for the film: given frames as the model drew them that observed them, where it says so."""
        drawn = [index for index in indices if (stage, index) in self._redrawn]
        rest = tuple(index for index in indices if index not in drawn)
        parts = [self.clips(stage, rest, view)] if rest else []
        for index in drawn:
            number, key = self._redrawn[stage, index]
            parts.append(Clip(self._stored(key, number).carry[f"{REDRAWN}{index}"], (index,)))
        return self._joined(parts)

    def _note_redrawn(self, order: Order, clip: Clip) -> None:
        call = order.call
        for name in clip.carry if call.view is None else ():
            if name.startswith(REDRAWN):
                place = (call.stage, int(name.removeprefix(REDRAWN)))
                self._redrawn.setdefault(place, (call.number, order.key.key))

    def _joined(self, parts: Sequence[Clip]) -> Clip:
        return parts[0] if len(parts) == 1 else Clip.join(parts)

    def _choose(self, call: Call, candidates: Indices, count: int) -> Indices:
        if count >= len(candidates):
            return candidates
        select = self.job.system.stages[call.stage].select
        where = f"step {call.number}"
        if select is None:
            raise FitError(
                "an adaptive scheme in a stage that cannot select", where, "Stage.select"
            )
        chosen = select(self.clips(call.stage, candidates, call.view), call.step.targets, count)
        chosen = tuple(sorted({int(index) for index in chosen}))
        if len(chosen) > count or not set(chosen) <= set(candidates):
            raise FitError(f"frames {chosen} selected", where, f"{count} of {candidates}")
        return chosen

    def _controls(self, order: Order) -> Controls:
        """The film's controls; for a later stage with the frames of the stage before."""
        controls, call = self.job.controls, order.call
        if not call.stage:
            return controls
        at = tuple(sorted({*order.observed, *call.step.targets}))
        fields = {f.name: getattr(controls, f.name) for f in dataclasses.fields(controls)}
        return Sourced(**fields, source=self.clips(call.stage - 1, at, call.view))

    def _check(self, order: Order, clip: Clip) -> None:
        """Refuses a clip of other indices or another shape."""
        where, shape = f"step {order.call.number}", self.job.shape(order.call.stage)
        if clip.at != order.call.step.targets or clip.frames.shape[0] != 1:
            asked = order.call.step.targets
            raise FitError(f"the model answered {clip.at} when asked for {asked}", where)
        if tuple(clip.frames.shape[2:]) != shape:
            made = tuple(clip.frames.shape[2:])
            raise FitError(f"the model made frames of shape {made}", where, str(shape))

    def _record(self, order: Order, seconds: float | None, verdict: Verdict) -> None:
        """The journal's line of a call. seconds: None if it was found, finished earlier.

        It notes an attempt where it cannot be found again by judging the first: a later run then
        goes straight to it.
        """
        call, controls = order.call, self.job.controls
        said = {place: None for i in call.step.targets for place, _ in controls.mix(i)}
        line: dict[str, Any] = {
            "step": call.number,
            "key": order.key.key,
            "parts": dict(order.key.parts),
            "seconds": seconds,
            "stage": call.stage,
            "role": call.step.role,
            "targets": call.step.targets,
            "observed": self._keys.read(call.stage, order.observed, call.view),
            "seed": self._noise(order).seed,
            "prompts": [controls.cues[place].prompt for place in sorted(said)],
        }
        if call.view is not None:
            line["take"] = call.view.take
        if verdict.scores:
            line["scores"] = verdict.scores
        if verdict.why:
            line["faults"] = verdict.why
        if order.key.attempt or (self.job.repair == "repair" and verdict.why):
            line["attempt"] = order.key.attempt
        self.store.record(line)

    def _stored(self, key: str, number: int) -> Clip:
        clip = self._hand.get(key) or self.store.get(key)
        if clip is None:
            why = self.store.damaged.get(key, "its clip is gone")
            raise MachineError(f"step {number} was finished but {why}", "the run folder")
        self._lay(key, clip)
        return clip

    def _piece(self, piece: Piece, stage: int) -> Clip:
        """A piece of a given clip as latents, encoded once and then stored like a step."""
        key = self.job.piece_key(piece, stage)
        clip = self._hand.get(key) or self.store.get(key)
        if clip is None:
            self._encode(piece.given, stage)
            clip = self._hand.get(key) or self.store.get(key)
            assert clip is not None, "a piece that was just stored"
        self._lay(key, clip)
        # stored from 0, because the same clip may lie elsewhere in another film
        return dataclasses.replace(clip, at=piece.at)

    def _encode(self, given: Given, stage: int) -> None:
        import torch

        pixels = given.load()
        wanted = (given.frames, 3, *reversed(self.job.canvas))
        if tuple(pixels.shape) != wanted:
            raise FitError(f"a given clip of shape {tuple(pixels.shape)}", "Given", str(wanted))
        places = (*self.job.pieces.values(), *self.job.source_pieces.values())
        for piece in dict.fromkeys(p for p in places if p.given is given):
            with torch.no_grad():
                frames = encoded(self.job, piece, pixels, stage).detach().cpu()
            carry = {}
            if given.still and self.job.system.stages[stage].codec.spec.stills:
                carry = {STILL: pixels.mul(255).round().to(torch.uint8)}
            clip = Clip(frames, tuple(range(piece.count)), carry)
            key = self.job.piece_key(piece, stage)
            self.store.damaged.pop(key, None)
            self.store.put(key, clip)
            self._lay(key, clip)

    def _lay(self, key: str, clip: Clip) -> None:
        """Puts a clip at hand and lets go of those not read for longest."""
        if key in self._hand:
            self._hand.move_to_end(key)
            return
        self._hand[key] = clip
        self._bytes += _size(clip)
        while self._bytes > BUDGET and len(self._hand) > 1:
            _, old = self._hand.popitem(last=False)
            self._bytes -= _size(old)

    def _let_go(self, key: str) -> None:
        """Drops a clip, and how it changes, that nobody can read any more."""
        clip = self._hand.pop(key, None)
        if clip is not None:
            self._bytes -= _size(clip)
        self._critic.forget(key)
        self.store.drop(key)


def _shown(clip: Clip, at: Sequence[int]) -> Clip:
    """Indices of a piece; a picture's pixels are carried under the index it holds."""
    carry = {f"{name} {clip.at[0]}": value for name, value in clip.carry.items()}
    return dataclasses.replace(clip.pick(at), carry=carry)


def encoded(job: Job, piece: Piece, pixels: Tensor, stage: int) -> Tensor:
    """Latents of a piece, (1, count, *frame), encoded with the rest of the clip around it."""
    codec = job.system.stages[stage].codec.made
    spec = codec.spec
    # a codec's encoder sees no farther than its decoder does; one that streams sees all the past
    left, right = min(piece.before, spec.context[0]), min(piece.after, spec.context[1])
    if spec.streams:
        left, right = piece.before, 0
    first = piece.offset - left * spec.stride
    count = (left + piece.count + right) * spec.stride
    frames = [min(max(n, 0), len(pixels) - 1) for n in range(first, first + count)]
    if spec.lead and any(take.start == piece.start - left for take in job.takes):
        frames = frames[spec.lead :]
    elif spec.lead:  # the first latent of an encoding is another kind: one more goes before
        frames, left = [frames[0]] * (spec.stride - spec.lead) + frames, left + 1
    video = _filled(pixels[frames], spec.down)[None]
    return codec.encode(video)[:, left : left + piece.count]


def _filled(video: Tensor, down: int) -> Tensor:
    """Repeats the last row and column until both sides are multiples of `down`."""
    import torch

    height, width = video.shape[-2:]
    below, beside = -height % down, -width % down
    if not below and not beside:
        return video
    return torch.nn.functional.pad(video, (0, beside, 0, below), mode="replicate")


def _size(clip: Clip) -> int:
    tensors = (clip.frames, *clip.carry.values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
