"""What calls cost: processor time rather than the clock's, so that a busy machine does not decide."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from longtake.metrics.distances import slope

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
