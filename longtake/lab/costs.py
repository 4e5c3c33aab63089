"""What calls cost: processor time rather than the clock's, so that a busy machine does not decide."""

from __future__ import annotations

import functools
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from longtake.metrics.distances import slope
from longtake.system import Curve, Measured

Call = Callable[[], object]
SECONDS, BYTES = "a training step, processor seconds", "a training step, bytes kept"


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
    for quantity, found in ((SECONDS, seconds(calls, rounds)), (BYTES, kept)):
        for arm in nets:
            row = tuple(found[f"{arm} {count}"] for count in frames)
            yield Curve(quantity, arm, "frames", tuple(map(float, frames)), row)
            yield Measured(f"{quantity}, exponent of length", arm, log_slope(frames, row))
