"""Kernel distance of two sets of features: KVD (Unterthiner et al. 2018) and KID (Binkowski et al. 2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longtake.errors import InputError

_ROWS = 256  # of one block of the kernel matrix
_PLAIN = 1e12  # of a float32 product x.y: its third power stays finite in float32
# of a row's kernel with itself, over the rows: a distance below has not five digits in float32, whose
# roundings, up to 2e-6 of it, mostly cancel in sums over pairs
_FAINT = 0.2
_LARGEST = 1e45  # of a feature: its sixth power stays finite in float64


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """The unbiased squared maximum mean discrepancy of features (n, d) and (m, d), n and m at least 2.

    The kernel is (x.y / d + 1)^3. An unbiased estimate of what is never negative is itself negative
    at times; two equal sets give a little less than 0, because pairs of a row with itself count in
    neither set's own mean but in the mean across. Some write 1000 times this number. Memory does
    not grow with the square of n.
    """
    return _distance(*_alike(_checked(a, 2), _checked(b, 2)))


def _distance(x: Tensor, y: Tensor) -> float:
    """In float32 where it is enough; sums are float64 always."""
    alone = [_alone(rows) for rows in (x, y)]
    own = sum(map(_mean_own, (x, y), alone))
    found = float(own - 2 * _sum(x, y) / (len(x) * len(y)))
    least = _FAINT * max(
        float(one) / len(rows) ** 2 for one, rows in zip(alone, (x, y), strict=True)
    )
    if x.dtype == torch.float32 and abs(found) < least:
        return _distance(x.double(), y.double())
    return found


def kernel_subsets(
    a: Tensor, b: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and deviation of the kernel distance over random subsets of `size` rows of each, as KID is told.

    The deviation is that of the subsets (divided by `subsets`), not the error of the mean.
    InputError where there are fewer than `size` rows.
    """
    x, y = _alike(_checked(a, 2), _checked(b, 2))
    if subsets < 1 or size < 2:
        raise InputError(f"{subsets} subsets of {size}", "kernel", "100 subsets of 1000")
    if min(len(x), len(y)) < size:
        what = f"{min(len(x), len(y))} features for subsets of {size}"
        raise InputError(what, "kernel", f"size={min(len(x), len(y))}")
    dice = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        left, right = (rows[torch.randperm(len(rows), generator=dice)[:size]] for rows in (x, y))
        values.append(_distance(left, right))
    mean = math.fsum(values) / subsets
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / subsets)


def _alone(rows: Tensor) -> Tensor:
    """The kernel's sum over rows, each with itself."""
    return (((rows * rows).sum(1).double() / rows.shape[1] + 1) ** 3).sum()


def _mean_own(rows: Tensor, alone: Tensor) -> Tensor:
    """The kernel's mean over pairs of different rows."""
    total = torch.zeros((), dtype=torch.float64)
    for begin in range(0, len(rows), _ROWS):
        some = rows[begin : begin + _ROWS]
        table = _table(some, rows[begin:])  # what stands before was counted with its twin
        total += 2 * _cubes(table) - _cubes(table[:, : len(some)])
    return (total / rows.shape[1] ** 3 - alone) / (len(rows) * (len(rows) - 1))


def _sum(x: Tensor, y: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for left in x.split(_ROWS):  # type: ignore[no-untyped-call]
        total += _cubes(_table(left, y))
    return total / x.shape[1] ** 3


def _table(x: Tensor, y: Tensor) -> Tensor:
    """x.y + d of all pairs."""
    return torch.addmm(x.new_full((1, 1), x.shape[1]), x, y.T)


def _cubes(table: Tensor) -> Tensor:
    return (table * table).mul_(table).sum(dtype=torch.float64)


def _checked(features: Tensor, least: int) -> Tensor:
    if features.ndim != 2 or not features.shape[1]:
        raise InputError(f"features of shape {tuple(features.shape)}", "kernel", "(n, d)")
    if len(features) < least:
        raise InputError(f"{len(features)} features", "kernel", f"at least {least}")
    rows = features.detach().cpu()
    size = float(rows.abs().max())
    if not size <= _LARGEST:  # not-a-numbers fail this too
        raise InputError("features too large or not numbers", "kernel", "finite numbers")
    plain = rows.dtype == torch.float32 and size * size * rows.shape[1] < _PLAIN
    return rows if plain else rows.double()


def _alike(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.shape[1] != y.shape[1]:
        what = f"features of width {x.shape[1]} and {y.shape[1]}"
        raise InputError(what, "kernel", "one kind of features")
    return (x, y) if x.dtype == y.dtype else (x.double(), y.double())
