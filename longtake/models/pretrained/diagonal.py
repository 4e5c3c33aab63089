"""A diagonal over noise and time: each sampling step takes a queue of frames one step on, the first to its end.

FIFO-Diffusion (Kim et al. 2024): frame j begins one turn after frame j - 1, so that the queue is as long as
the sampler has steps and its noise rises from frame to frame. Here a film begins without a first clip:
frames that have not begun are pure noise, and every frame takes exactly the sampler's steps, by a copy of
the sampler of its own (samplers of several steps remember).
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from longtake.errors import FitError
from longtake.models.pretrained.families import context_of
from longtake.models.pretrained.instead import instead

TOLD = "queue told"  # what samplers remember beside tensors, as JSON in bytes

Memory = Mapping[str, Any]  # what one sampler remembers: tensors, numbers, lists of both


class Diagonal:
    """In the place of a pipeline's scheduler: one turn of the queue where the pipeline takes one step.

    origin: the frame that the pipeline's latents begin with; per: tokens of a frame, where it holds
    tokens. head: the frame that ends next. memories: what samplers remember, of frames from `head` on
    that have begun. turns: how many there are to be.
    """

    def __init__(
        self, sampler: Any, origin: int, per: int, head: int, memories: Sequence[Memory], turns: int
    ) -> None:
        self.sampler, self.origin, self.per, self.head = sampler, origin, per, head
        self.begun, self.turns = len(memories), turns
        self._memories = {head + n: memory for n, memory in enumerate(memories)}
        self._own = dict[int, Any]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sampler, name)

    @property
    def steps(self) -> int:
        """That every frame takes."""
        return len(self.sampler.timesteps)

    @property
    def timesteps(self) -> Tensor:
        """One for each turn; at what time a frame is says `levels`."""
        first: Tensor = self.sampler.timesteps[:1]
        return first.expand(self.turns)

    @property
    def sigmas(self) -> Tensor:
        """As `timesteps`, for pipelines that look them up."""
        first: Tensor = self.sampler.sigmas[:1]
        return first.expand(self.turns + 1)

    def taken(self, frame: int) -> int:
        """Steps that a frame has behind it: all before the head, none of those that have not begun."""
        if frame < self.head:
            return self.steps
        return max(0, self.begun - (frame - self.head))

    def levels(self, first: int, count: int) -> Tensor:
        """The sampler's time of each of `count` frames, (count,): 0 of frames that are finished."""
        times = self.sampler.timesteps
        ended = torch.zeros_like(times[:1])
        known = torch.cat([times, ended])
        return known[[self.taken(frame) for frame in range(first, first + count)]]

    @property
    def moving(self) -> range:
        """Frames that this turn takes a step on: those begun, and the next one."""
        return range(self.head, self.head + min(self.begun + 1, self.steps))

    def step(
        self, prediction: Tensor, time: Any, latents: Tensor, **kwargs: Any
    ) -> tuple[Tensor, ...]:
        """One turn of all `moving` frames."""
        made = latents.clone()
        for frame in self.moving:
            if frame not in self._own:
                self._own[frame] = recalled(self.sampler, self._memories.pop(frame, {}))
            here, own = frames_of(made, frame - self.origin, 1, self.per), self._own[frame]
            level = own.timesteps[self.taken(frame)]
            made[here] = own.step(
                prediction[here], level, latents[here], **{**kwargs, "return_dict": False}
            )[0]
        self.begun += 1
        if self.begun == self.steps:
            del self._own[self.head]
            self.head, self.begun = self.head + 1, self.begun - 1
        return (made,)

    def memories(self) -> list[Memory]:
        """Of the samplers of all frames that are under way, the head first."""
        return [remembered(self._own[frame], self.sampler) for frame in sorted(self._own)]


def remembered(sampler: Any, fresh: Any) -> Memory:
    """What a sampler has that its fresh copy has not."""
    start = vars(fresh)
    return {
        name: value
        for name, value in vars(sampler).items()
        if name not in start or not _same(value, start[name])
    }


def recalled(fresh: Any, memory: Memory) -> Any:
    """A sampler that goes on from there."""
    sampler = copy.deepcopy(fresh)
    device = sampler.timesteps.device
    for name, value in memory.items():
        setattr(sampler, name, _moved(value, device))
    return sampler


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        both = isinstance(one, Tensor) and isinstance(other, Tensor)
        return both and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _moved(value: Any, device: Any) -> Any:
    if isinstance(value, list):
        return [_moved(part, device) for part in value]
    return value.to(device) if isinstance(value, Tensor) and value.ndim else value


def packed(memories: Sequence[Memory]) -> dict[str, Tensor]:
    """Memories as tensors with names, as a clip carries them."""
    tensors: dict[str, Tensor] = {}

    def told(value: Any) -> Any:
        if isinstance(value, Tensor):
            name = f"queue {len(tensors)}"
            tensors[name] = value.detach().cpu().clone()
            return {"tensor": name}
        if isinstance(value, list):
            return [told(part) for part in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise FitError(f"a sampler that remembers {type(value).__name__}", "fifo", "length=replace")

    text = json.dumps([{name: told(value) for name, value in one.items()} for one in memories])
    return {**tensors, TOLD: torch.tensor(list(text.encode()), dtype=torch.uint8)}


def unpacked(carry: Mapping[str, Tensor]) -> list[Memory]:
    """Memories again."""

    def heard(value: Any) -> Any:
        if isinstance(value, list):
            return [heard(part) for part in value]
        return carry[value["tensor"]] if isinstance(value, dict) else value

    stored = json.loads(bytes(carry[TOLD].tolist()))
    return [{name: heard(value) for name, value in one.items()} for one in stored]


@contextlib.contextmanager
def looking_ahead(net: Any, diagonal: Diagonal, size: int, levels: str) -> Iterator[None]:
    """While it lasts, `net` predicts the moving frames of a queue, in windows of `size` frames.

    Lookahead denoising (section 4.3): of a window only its later half counts, which sees cleaner frames
    before it. levels: as in `Family`.
    """
    forward, context, per = net.forward, context_of(size), diagonal.per
    ahead = size - context

    def queued(hidden_states: Tensor, *args: Any, timestep: Any, **told: Any) -> Any:
        made, origin = torch.zeros_like(hidden_states), diagonal.origin
        for low in range(diagonal.moving.start, diagonal.moving.stop, ahead):
            first = max(origin, low - context)
            times = diagonal.levels(first, size).to(hidden_states.device)
            if levels == "tokens":
                times = times.repeat_interleave(per)
            else:
                told["enable_diffusion_forcing"] = True
            window = hidden_states[frames_of(hidden_states, first - origin, size, per)]
            found = forward(window, *args, timestep=times.expand(len(window), -1), **told)[0]
            counted = found[frames_of(found, low - first, ahead, per)]
            made[frames_of(made, low - origin, ahead, per)] = counted
        return (made,)

    with instead(net, "forward", queued):
        yield


def frames_of(x: Tensor, first: int, count: int, per: int) -> tuple[slice, ...]:
    """Where frames lie in (b, c, s, h, w), or in tokens (b, n, c), `per` of which are one frame."""
    if x.ndim == 5:
        return (slice(None), slice(None), slice(first, first + count))
    return (slice(None), slice(first * per, (first + count) * per))
