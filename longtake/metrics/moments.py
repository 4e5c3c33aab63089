"""Count, sum and outer products of features, exact: the same bits in any order, by any number of hands."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from longtake.errors import InputError

UNIT = 2.0**-24  # features are counted in these: float32 near 1 has steps of 2**-23
LARGEST = 2.0**13  # of a feature's size
SMALLEST = 2.0**-12  # of the largest feature: below, too little of it would be counted
_PARTS = 2**18  # a count is split into so many: 19 bits above, 18 below
_ROWS = 8192  # sums of so many products of two parts stay exact in float64
_MOST = 2**25  # rows that int64 sums hold
_OLD = 12  # bits by which the unit of older files was coarser


class Moments:
    """What the Frechet distance needs of features (n, d), in constant memory.

    Features are rounded to whole multiples of 2**-24 and summed in int64, their products in two
    parts each, so that adding and merging in any order changes no bit. Memory: 3 d**2 words.
    InputError for features beyond 8192 in size, not-a-numbers, and a wrong width; when read, for
    features so small throughout that rounding would show.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.largest = 0.0
        self.total = torch.zeros(width, dtype=torch.int64)
        self.high = torch.zeros(width, width, dtype=torch.int64)
        self.cross = torch.zeros(width, width, dtype=torch.int64)
        self.low = torch.zeros(width, width, dtype=torch.int64)

    def add(self, features: Tensor) -> Moments:
        """Takes in rows of features (n, d); returns itself."""
        if features.ndim != 2 or features.shape[1] != len(self.total):
            what = f"features of shape {tuple(features.shape)}"
            raise InputError(what, "frechet", f"(n, {len(self.total)})")
        for rows in features.detach().cpu().double().split(_ROWS):  # type: ignore[no-untyped-call]
            size = rows.abs()
            if not bool((size <= LARGEST).all()):  # not-a-numbers fail this too
                what = "a feature is too large or not a number"
                raise InputError(what, "frechet", f"{-LARGEST:g}..{LARGEST:g}")
            counted = (rows / UNIT).round()
            high = (counted / _PARTS).round()
            low = counted - high * _PARTS
            mixed = high.T @ low
            self.largest = max(self.largest, float(size.max()) if size.numel() else 0.0)
            self.total += counted.long().sum(0)
            self.high += (high.T @ high).long()
            self.cross += (mixed + mixed.T).long()
            self.low += (low.T @ low).long()
            self._grow(len(rows))
        return self

    def merge(self, other: Moments) -> Moments:
        """Takes in what another has seen; returns itself."""
        if len(other.total) != len(self.total):
            what = f"features of width {len(other.total)} and {len(self.total)}"
            raise InputError(what, "frechet", "one kind of features")
        self.largest = max(self.largest, other.largest)
        for name in ("total", "high", "cross", "low"):
            getattr(self, name).add_(getattr(other, name))
        self._grow(other.count)
        return self

    @property
    def mean(self) -> Tensor:
        """(d,) float64."""
        return self.total.double() * UNIT / self._some(1)

    @property
    def covariance(self) -> Tensor:
        """(d, d) float64, unbiased."""
        sums = (self.high.double() * _PARTS + self.cross.double()) * _PARTS + self.low.double()
        mean = self.total.double() / self._some(2)
        return (sums - self.count * torch.outer(mean, mean)) * (UNIT**2 / (self.count - 1))

    def tensors(self) -> dict[str, Tensor]:
        """For a safetensors file; `Moments.of_tensors` reads it back."""
        largest = torch.tensor(self.largest, dtype=torch.float64)
        sums = {"total": self.total, "high": self.high, "cross": self.cross, "low": self.low}
        return {"count": torch.tensor(self.count), "largest": largest, **sums}

    @staticmethod
    def of_tensors(tensors: Mapping[str, Tensor]) -> Moments:
        """What `tensors` gave; InputError for anything else."""
        known = _renewed(tensors) if "products" in tensors else tensors
        lost = {"count", "largest", "total", "high", "cross", "low"} - set(known)
        if lost:
            raise InputError(f"no '{min(lost)}' among the moments", "frechet", "Moments.tensors")
        moments = Moments(len(known["total"]))
        moments.count, moments.largest = int(known["count"]), float(known["largest"])
        for name in ("total", "high", "cross", "low"):
            getattr(moments, name).copy_(known[name])
        return moments

    def _grow(self, rows: int) -> None:
        self.count += rows
        if self.count > _MOST:
            raise InputError(f"more than {_MOST} features", "frechet", "a sample of them")

    def _some(self, least: int) -> int:
        if self.count < least:
            raise InputError(f"{self.count} features", "frechet", f"at least {least}")
        if 0 < self.largest < SMALLEST:
            what = f"no feature is larger than {self.largest:.2g}"
            raise InputError(what, "frechet", "features scaled to about 1")
        return self.count


def _renewed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Moments of a file whose unit was 2**-12, with the products in one piece."""
    products = tensors["products"]
    return {
        "count": tensors["count"],
        "largest": torch.tensor(1.0),
        "total": tensors["total"] << _OLD,
        "high": products >> _OLD,
        "cross": (products & (2**_OLD - 1)) << (18 - _OLD),
        "low": torch.zeros_like(products),
    }
