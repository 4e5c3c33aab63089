"""Length without observing: a queue of frames under way that one call hands on to the next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest
from longtake.errors import FitError
from longtake.models.pretrained.diagonal import TOLD, Diagonal, looking_ahead, packed, unpacked
from longtake.models.pretrained.families import context_of
from longtake.models.pretrained.instead import instead
from longtake.models.pretrained.pipeline import PipelineModel, seed_of
from longtake.models.pretrained.showing import Layout

QUEUE = "queue"  # latents of the frames under way (1, s, c, h, w)
QUEUE_AT = "queue at"  # the index of the first of them (1,)


class QueueModel(PipelineModel):
    """A pipeline that observes nothing, under FIFO-Diffusion: see `diagonal`.

    Latents, and what samplers remember, of frames under way go from call to call as `carry`, so that memory
    does not grow and a longer film begins as a shorter one. A call after a given picture begins a queue that
    sees it as a finished frame.
    """

    @torch.no_grad()
    def sample(self, request: ClipRequest) -> Clip:
        """The targets, one for every turn of the queue; FitError where they do not follow one another."""
        size = self.asking.windows
        first, count = min(request.targets), len(request.targets)
        if self.asking.noise == "diffusers" and request.observed is None and count <= size:
            return super().sample(request)  # a film no longer than the clip
        if sorted(request.targets) != list(range(first, first + count)):
            raise FitError(
                "a queue makes frames one after the other", "length=fifo", "autoregressive"
            )
        if request.start is not None:
            raise FitError("this pipeline cannot follow a video", "--strength", "no --strength")
        if len(request.samples) > 1:
            raise FitError("a queue is one film's", "length=fifo", "one film at a time")
        frames, queue = self._turned(request, request.samples[0])
        order = [index - first for index in request.targets]
        return Clip(frames[:, order], request.targets, queue)

    def _turned(self, request: ClipRequest, sample: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The targets in order of time, (1, t, c, h, w), and the queue that they leave behind."""
        pipe, size, steps = self.pipe, self.asking.windows, self._steps()
        first, count = min(request.targets), len(request.targets)
        carry = request.observed.carry if request.observed is not None else {}
        goes_on = TOLD in carry and int(carry[QUEUE_AT]) == first
        seen = self._before(request, first)
        origin = first - len(seen)
        last = first + count + steps + size
        noise = request.noise.clip((sample,), range(first, last), request.frame)
        begun = carry[QUEUE] if goes_on else noise[:, :0]
        start = torch.cat([*seen, begun, noise[:, begun.shape[1] :]], 1).transpose(1, 2)
        layout = self._layout(request, size)
        turns = count if goes_on else count + steps - 1
        memories = unpacked(carry) if goes_on else ()
        per = self._tokens(layout)
        diagonal = Diagonal(pipe.scheduler, origin, per, first, memories, turns)
        told = {"generator": torch.Generator().manual_seed(seed_of(request, sample, first))}
        with self._normalised(), self._queueing(diagonal, start):
            film = self._called(request, layout.frames, told)
        if diagonal.head != first + count:
            what = f"a sampler of {diagonal.steps} steps where {steps} were asked for"
            raise FitError(what, "length=fifo", "length=replace")
        whole = Layout(start.shape[2], 0, self.stride, layout.width, layout.height)
        frames = self._unlaid(film, whole).transpose(1, 2).float().cpu()
        ready, after = frames[:, len(seen) : len(seen) + count], len(seen) + count
        queue = frames[:, after : after + diagonal.begun].clone()
        left = {QUEUE: queue, QUEUE_AT: torch.tensor([first + count])}
        return ready, {**left, **packed(diagonal.memories())}

    def _before(self, request: ClipRequest, first: int) -> list[Tensor]:
        """Finished frames just before the queue, at most as many as its first window sees, (1, 1, c, h, w) each."""
        if request.observed is None:
            return []
        places = range(first - context_of(self.asking.windows), first)
        known = [index for index in places if index in request.observed.at]
        return [request.observed.pick([index]).frames[:1] for index in known]

    def _steps(self) -> int:
        """That the sampler will take."""
        listed = self.asking.extra.get("timesteps") or self.asking.extra.get("sigmas")
        if listed is not None:
            return len(listed)
        return int(self.asking.steps or self._takes["num_inference_steps"].default)

    @contextlib.contextmanager
    def _queueing(self, diagonal: Diagonal, start: Tensor) -> Iterator[None]:
        """While it lasts, the pipeline's own loop turns the queue, beginning with `start`."""
        pipe, net = self.pipe, getattr(self.pipe, self.family.net)

        def prepare(*args: Any, **kwargs: Any) -> Tensor:
            return self._laid(start).to(pipe._execution_device)

        parts = vars(pipe)  # past the pipeline's own bookkeeping of components
        own, parts["scheduler"] = pipe.scheduler, diagonal
        try:
            with (
                instead(pipe, "prepare_latents", prepare),
                looking_ahead(net, diagonal, self.asking.windows, self.family.levels),
            ):
                yield
        finally:
            parts["scheduler"] = own
