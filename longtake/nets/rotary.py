"""Rotary positions along several axes, and how to reach beyond the lengths they were learned at.

A head's pairs are shared out among the axes (time, height, width); scores then depend on
differences along each axis alone (Su et al. 2021, RoFormer, section 3.2.2; several axes after Heo
et al. 2024). Kept apart from any network: places in, angles out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def shares(pairs: int, axes: int) -> tuple[int, ...]:
    """How many of a head's pairs each axis gets: half for the first (time), the rest evenly."""
    if axes == 1:
        return (pairs,)
    if pairs < 2 * (axes - 1):
        raise ValueError(
            f"{pairs} rotary pairs for {axes} axes; try {4 * (axes - 1)} numbers a head"
        )
    each = pairs // 2 // (axes - 1)
    return (pairs - (axes - 1) * each, *[each] * (axes - 1))


def frequencies(pairs: int, base: float, stretch: float = 1.0) -> Tensor:
    """(pairs,) radians a place: base^(-k/pairs), with NTK-aware stretching of the base.

    stretch: how many times farther apart places may be than in training. The base grows to
    base * stretch^(d / (d - 2)) with d = 2 pairs, which divides the slowest frequency by `stretch`
    exactly and leaves the fastest alone (bloc97 2023; Peng et al. 2023, YaRN, definition 1).
    """
    if stretch < 1:
        raise ValueError(f"stretch={stretch}; try 1 for none, or more")
    if pairs > 1:
        base = base * stretch ** (pairs / (pairs - 1))
    rates = [base ** (-k / pairs) for k in range(pairs)]
    return torch.tensor(rates if pairs > 1 else [1 / stretch])


def by_parts(
    pairs: int, base: float, stretch: float, length: float, fast: float = 32.0, slow: float = 1.0
) -> Tensor:
    """(pairs,) radians a place: slow frequencies divided by `stretch`, fast ones kept, a ramp between.

    length: of training. A frequency that turned `fast` times within it or more is kept, one that
    turned `slow` times or less divided (Peng et al. 2023, YaRN, equations 17 to 19).
    """
    rates = frequencies(pairs, base)
    turns = length * rates / (2 * math.pi)
    keep = ((turns - slow) / (fast - slow)).clamp(0, 1)
    return rates / stretch * (1 - keep) + rates * keep


def angles(places: Tensor, rates: Sequence[Tensor]) -> Tensor:
    """(b, n, axes) places and each axis's frequencies -> (b, n, pairs)."""
    turned = [places[..., n, None].float() * rate.to(places.device) for n, rate in enumerate(rates)]
    return torch.cat(turned, -1)
