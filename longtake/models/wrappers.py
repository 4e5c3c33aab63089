"""Clip models that hold a clip model and change what it is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from longtake.clip import Clip, ClipModel, ClipRequest, ClipSpec, SamplesBatches
from longtake.errors import FitError, InputError
from longtake.keys import fingerprint


class Rephrased:
    """What wrappers share that only change what the model is asked, in training and sampling alike."""

    model: ClipModel

    def asked(self, request: ClipRequest) -> ClipRequest:
        """What the model is asked instead."""
        raise NotImplementedError

    def sample(self, request: ClipRequest) -> Clip:
        return self.model.sample(self.asked(request))

    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        """Together if the inner model can, else one by one."""
        asked = [self.asked(request) for request in requests]
        if isinstance(self.model, SamplesBatches):
            return self.model.sample_batch(asked)
        return [self.model.sample(request) for request in asked]

    def losses(self, request: ClipRequest, truth: Clip) -> Mapping[str, Tensor]:
        """The inner model's, asked so; FitError if it cannot be trained."""
        losses = getattr(self.model, "losses", None)
        if losses is None:
            what = f"{type(self.model).__name__} cannot be trained"
            raise FitError(what, type(self).__name__)
        named: Mapping[str, Tensor] = losses(self.asked(request), truth)
        return named


@dataclasses.dataclass(frozen=True)
class NoiseAugmented(Rephrased):
    """Shows the model its observed frames under noise of spread `amount`.

    A model trained and sampled so relies less on fine detail of frames it made itself, which is
    where errors enter and grow from clip to clip (Ho et al. 2022, cascaded diffusion, section 4).
    The noise belongs to the observed frame: every call that reads it sees the same; the truth of
    a training stays clean.
    """

    model: ClipModel
    amount: float

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise InputError(f"amount={self.amount}", "NoiseAugmented", "0 or more")

    @property
    def spec(self) -> ClipSpec:
        """The inner model's, under a fingerprint of its own."""
        inner = self.model.spec
        mark = fingerprint(["noise augmented", self.amount, inner.fingerprint])
        return dataclasses.replace(inner, fingerprint=mark)

    def asked(self, request: ClipRequest) -> ClipRequest:
        """See `Rephrased`."""
        seen = request.observed
        if seen is None or not self.amount:
            return request
        frames = seen.frames
        noise = request.noise.clip(request.samples, seen.at, frames.shape[2:], "observed")
        seen = dataclasses.replace(seen, frames=frames + self.amount * noise.to(frames))
        return dataclasses.replace(request, observed=seen)


@dataclasses.dataclass(frozen=True)
class PictureFirst:
    """Where nothing is observed, `picture` makes the first frame and `model` the others given it.

    p(x) = p(x0) p(rest | x0), so the law is the model's own; but one frame is a small job, on which
    `picture` (the same weights with more sampling steps, or an image model) can spend more.
    """

    picture: ClipModel
    model: ClipModel

    @property
    def spec(self) -> ClipSpec:
        """The second model's, under a fingerprint of both."""
        inner = self.model.spec
        mark = fingerprint(["picture first", self.picture.spec.fingerprint, inner.fingerprint])
        return dataclasses.replace(inner, fingerprint=mark)

    def sample(self, request: ClipRequest) -> Clip:
        """In one call, or in two if nothing is observed; a given start is followed in one."""
        if request.observed is not None or request.start is not None:
            return self.model.sample(request)
        head = min(request.targets)
        first = self.picture.sample(dataclasses.replace(request, targets=(head,)))
        tail = tuple(index for index in request.targets if index != head)
        if not tail:
            return first
        rest = self.model.sample(dataclasses.replace(request, targets=tail, observed=first))
        whole = Clip.join([first, rest])
        return dataclasses.replace(whole.pick(request.targets), carry=whole.carry)

    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        """Together where every request observes something, else one by one."""
        begun = all(r.observed is not None for r in requests)
        if begun and isinstance(self.model, SamplesBatches):
            return self.model.sample_batch(requests)
        return [self.sample(request) for request in requests]


@dataclasses.dataclass(frozen=True)
class InBlocks:
    """Writes at most `most` targets at a time, given what lies before and after them: for nets of fixed slots.

    A block never has an observed frame inside; it sees the `past` nearest frames before it, made ones
    among them, and, where it reaches observed ones, the `future` nearest after it (Voleti et al.
    2022, MCVD, section 2.4).
    """

    model: ClipModel
    most: int
    past: int
    future: int

    def __post_init__(self) -> None:
        if self.most < 1 or self.past < 1 or self.future < 0:
            what = f"blocks of {self.most} given {self.past} and {self.future}"
            raise InputError(what, "InBlocks", "1 or more, and 0 or more after them")

    @property
    def spec(self) -> ClipSpec:
        """The inner model's, under a fingerprint of its own."""
        inner = self.model.spec
        mark = fingerprint(["in blocks", self.most, self.past, self.future, inner.fingerprint])
        return dataclasses.replace(inner, fingerprint=mark)

    def sample(self, request: ClipRequest) -> Clip:
        return self.sample_batch([request])[0]

    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        """Requests of the same places, block after block."""
        known = [request.observed for request in requests]
        for block in self._blocks(requests[0]):
            asked = [
                dataclasses.replace(r, targets=block, observed=self._seen(r, seen, block))
                for r, seen in zip(requests, known, strict=True)
            ]
            if isinstance(self.model, SamplesBatches):
                made = self.model.sample_batch(asked)
            else:
                made = [self.model.sample(request) for request in asked]
            known = [
                clip if seen is None else Clip.join([seen, clip])
                for seen, clip in zip(known, made, strict=True)
            ]
        return [_part(clip, r.targets) for clip, r in zip(known, requests, strict=True) if clip]

    def _blocks(self, request: ClipRequest) -> list[tuple[int, ...]]:
        blocks: list[tuple[int, ...]] = [()]
        targets = set(request.targets)
        for index in request.at:
            if index not in targets or len(blocks[-1]) == self.most:
                blocks.append(())
            if index in targets:
                blocks[-1] += (index,)
        return [block for block in blocks if block]

    def _seen(
        self, request: ClipRequest, known: Clip | None, block: tuple[int, ...]
    ) -> Clip | None:
        if known is None:
            return None
        before = [index for index in known.at if index < block[0]][-self.past :]
        next_target = min((t for t in request.targets if t > block[-1]), default=None)
        after = [
            index
            for index in known.at
            if index > block[-1] and (next_target is None or index < next_target)
        ][: self.future]
        return _part(known, [*before, *after]) if before or after else None


def _part(clip: Clip, indices: Sequence[int]) -> Clip:
    """The frames at `indices`, with what the clip carries."""
    return dataclasses.replace(clip.pick(indices), carry=clip.carry)
