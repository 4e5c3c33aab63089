"""What a training step takes: weights, what is kept for the backward pass, seconds; measured, not estimated."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from longtake.clip import Clip, ClipRequest
from longtake.errors import FitError

REPEATS = 2


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one step on one clip.

    parameters: numbers that can be trained. kept: bytes that the losses keep for the backward pass, for
    each clip of a batch. seconds: of losses and gradients. held: bytes of weights, their gradients,
    averages and an optimiser of one (Muon) to two (Adam) more numbers a weight, whatever the batch.
    """

    parameters: int
    kept: int
    seconds: float
    held: tuple[int, int]


def nets_of(model: Any) -> Iterator[nn.Module]:
    """The networks of a clip model, and of those it wraps."""
    if isinstance(model, nn.Module):
        yield model
        return
    own = vars(model) if hasattr(model, "__dict__") else {}
    for value in own.values():
        if isinstance(value, nn.Module) or hasattr(value, "sample"):
            yield from nets_of(value)


def trainable(model: Any) -> Any:
    """The model, or the one inside it, that has losses; FitError if there is none."""
    found = model
    while not hasattr(found, "losses"):
        if not hasattr(found, "model"):
            raise FitError(f"{type(model).__name__} has no losses", "plan --train")
        found = found.model
    return found


@contextmanager
def keeping(params: Iterable[Tensor]) -> Iterator[dict[int, int]]:
    """What is kept for the backward pass meanwhile, `params` themselves aside: bytes by where they lie."""
    own = {p.untyped_storage().data_ptr() for p in params}
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield storages


def step_cost(model: Any, request: ClipRequest, truth: Clip) -> Cost:
    """Measures losses and gradients of a `Trainable` on a request of one sample."""
    params = list({id(p): p for net in nets_of(model) for p in net.parameters()}.values())
    wanted = [p.requires_grad for p in params]
    for p in params:
        p.requires_grad_(True)
    kept, seconds = 0, []
    try:
        for _ in range(REPEATS):
            begun = time.perf_counter()
            with keeping(params) as storages:
                losses = model.losses(request, truth)
            kept = sum(storages.values())
            total = torch.stack([loss.mean() for loss in losses.values()]).sum()
            torch.autograd.grad(total, params, allow_unused=True)
            if total.is_cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begun)
    finally:
        for p, want in zip(params, wanted, strict=True):
            p.requires_grad_(want)
    size = sum(p.numel() * p.element_size() for p in params)
    count = sum(p.numel() for p in params)
    return Cost(count, kept, min(seconds), (4 * size, 5 * size))
