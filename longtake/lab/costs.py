"""What calls cost: processor time rather than the clock's, so that a busy machine does not decide."""

from __future__ import annotations

import functools
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from longtake.lab.quantities import STEP_BYTES, STEP_SECONDS, growth_of
from longtake.lab.shared import CODES
from longtake.metrics.distances import slope
from longtake.models.masked import masked_loss
from longtake.models.sheets import laid
from longtake.system import Curve, Measured

Call = Callable[[], object]


def seconds(calls: Mapping[str, Call], rounds: int = 5) -> dict[str, float]:
    """Processor seconds of each call: the median of `rounds` runs in turn, after one that warms up."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            spent[name].append(time.process_time() - begun)
    return {name: statistics.median(row[1:]) for name, row in spent.items()}


def kept_bytes(call: Call, besides: Iterable[Tensor] = ()) -> int:
    """Bytes that a call keeps for its backward pass, every storage once; those of `besides`, weights, left out."""
    held: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        alive = call()  # so that no storage is given to another tensor
    del alive
    known = {value.untyped_storage().data_ptr() for value in besides}
    return sum(size for place, size in held.items() if place not in known)


def log_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent p of y ~ x^p, by least squares."""
    return float(slope([math.log(v) for v in x], [math.log(v) for v in y]))


def growth(
    nets: Mapping[str, nn.Module],
    loss: Callable[[nn.Module, int], Tensor],
    frames: Sequence[int],
    rounds: int = 5,
) -> Iterator[Curve | Measured]:
    """How a training step of every net grows with the film: processor seconds, bytes kept, and exponents.

    loss: of a net, on a film of so many frames.
    """
    calls, kept = {}, {}
    for count, (arm, net) in itertools.product(frames, nets.items()):
        step = functools.partial(loss, net, count)
        kept[f"{arm} {count}"] = float(kept_bytes(step, net.parameters()))
        calls[f"{arm} {count}"] = lambda step=step: step().sum().backward()
    for quantity, found in ((STEP_SECONDS, seconds(calls, rounds)), (STEP_BYTES, kept)):
        for arm in nets:
            row = tuple(found[f"{arm} {count}"] for count in frames)
            yield Curve(quantity, arm, "frames", tuple(map(float, frames)), row)
            yield Measured(growth_of(quantity), arm, log_slope(frames, row))


def masked_growth(
    nets: Mapping[str, nn.Module], frames: Sequence[int], rounds: int = 5
) -> Iterator[Curve | Measured]:
    """The same of masked nets, on codes of the shared codec drawn at random; attention keeps its scores."""

    def loss(net: Any, count: int) -> Tensor:
        codes = torch.randint(CODES, (1, count // 4, 1, 8, 8))
        return masked_loss(net, laid(codes, torch.arange(count // 4)[None], 0))

    with sdpa_kernel(
        SDPBackend.MATH
    ):  # papers count the scores of attention, kernels need not keep them
        found = list(growth(nets, loss, frames, rounds))
    yield from found
