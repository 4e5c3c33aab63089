"""What a biased distance would be over endlessly many samples (Chong and Forsyth 2020, FID-infinity)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.metrics.distances import frechet, slope
from longtake.metrics.moments import Moments


@dataclasses.dataclass(frozen=True)
class Extrapolated:
    """A distance at several sample sizes, and the line through them over 1/n.

    value: where the line meets 1/n = 0; bias: its rise, so that the distance at n is about
    value + bias / n.
    """

    value: float
    bias: float
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def frechet_infinity(
    features: Tensor,
    reference: Moments | Tensor,
    *,
    points: int = 15,
    least: int = 0,
    seed: int = 0,
) -> Extrapolated:
    """Frechet distance of features (n, d) from a reference, extrapolated to n without end.

    The distance of random subsets at `points` evenly spread sizes, from `least` (a tenth of the
    rows unless given) to all, and the least-squares line over 1/n. The reference's own bias stays.
    It may come out negative. InputError for fewer than 20 rows.
    """
    rows = len(features)
    least = least or max(2, rows // 10)
    if features.ndim != 2 or rows < 20 or not 2 <= least < rows or points < 2:
        what = f"{points} sizes from {least} of features of shape {tuple(features.shape)}"
        raise InputError(what, "frechet-infinity", "15 sizes of (20 or more, d)")
    dice = torch.Generator().manual_seed(seed)
    sizes = torch.linspace(least, rows, points, dtype=torch.float64).round().long().tolist()
    distances = [
        frechet(features[torch.randperm(rows, generator=dice)[:size]], reference) for size in sizes
    ]
    inverse = [1 / size for size in sizes]
    bias = slope(inverse, distances)
    middle = sum(inverse) / points
    value = sum(distances) / points - bias * middle
    return Extrapolated(value, bias, tuple(sizes), tuple(distances))
