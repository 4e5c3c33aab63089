"""Frechet distance between feature distributions: exact streaming moments, and the course over a film.

The distance of Frechet Inception Distance (Heusel et al. 2017) and Frechet Video Distance
(Unterthiner et al. 2018), over whatever features it is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.metrics.scores import Score

QUANTUM = 2.0**-12  # features are counted in these
_LARGEST = 2**19  # of a counted feature: sums of 8192 products of two stay exact in float64
_ROWS = 8192


class Moments:
    """Count, sum and products of features, in whole numbers: order and merging change no bit.

    total: (d,) int64; products: (d, d) int64; features beyond 128 in size raise InputError.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.total = torch.zeros(width, dtype=torch.int64)
        self.products = torch.zeros(width, width, dtype=torch.int64)

    def add(self, features: Tensor) -> Moments:
        """Takes in rows of features (n, d); returns itself."""
        if features.ndim != 2 or features.shape[1] != len(self.total):
            what = f"features of shape {tuple(features.shape)}"
            raise InputError(what, "frechet", f"(n, {len(self.total)})")
        for rows in features.detach().cpu().double().split(_ROWS):  # type: ignore[no-untyped-call]
            counted = (rows / QUANTUM).round()
            if not bool((counted.abs() <= _LARGEST).all()):  # not-a-numbers fail this too
                raise InputError("a feature is too large or not a number", "frechet", "-128..128")
            self.count += len(counted)
            self.total += counted.sum(0).long()
            self.products += (counted.T @ counted).long()
        return self

    def merge(self, other: Moments) -> Moments:
        """Takes in what another has seen; returns itself."""
        if len(other.total) != len(self.total):
            what = f"features of width {len(other.total)} and {len(self.total)}"
            raise InputError(what, "frechet", "one kind of features")
        self.count += other.count
        self.total += other.total
        self.products += other.products
        return self

    @property
    def mean(self) -> Tensor:
        """(d,) float64."""
        return self.total.double() * QUANTUM / self._some(1)

    @property
    def covariance(self) -> Tensor:
        """(d, d) float64, unbiased."""
        mean = self.mean / QUANTUM
        centred = self.products.double() - self.count * torch.outer(mean, mean)
        return centred * QUANTUM**2 / (self._some(2) - 1)

    def tensors(self) -> dict[str, Tensor]:
        """For a safetensors file; `Moments.of_tensors` reads it back."""
        count = torch.tensor(self.count)
        return {"count": count, "total": self.total, "products": self.products}

    @staticmethod
    def of_tensors(tensors: Mapping[str, Tensor]) -> Moments:
        """What `tensors` gave."""
        moments = Moments(len(tensors["total"]))
        moments.count = int(tensors["count"])
        moments.total, moments.products = tensors["total"].clone(), tensors["products"].clone()
        return moments

    def _some(self, least: int) -> int:
        if self.count < least:
            raise InputError(f"{self.count} features", "frechet", f"at least {least}")
        return self.count


def frechet(a: Moments | Tensor, b: Moments | Tensor) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A B)^1/2), of moments or of rows of features (n, d).

    The trace of the root is the sum of the singular values of A^1/2 B^1/2, which stays real and
    accurate for singular covariances.
    """
    first, second = (m if isinstance(m, Moments) else _moments(m) for m in (a, b))
    return gaussian_frechet(first.mean, first.covariance, second.mean, second.covariance)


def gaussian_frechet(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """The distance of two Gaussians: means (d,), covariances (d, d)."""
    cross = torch.linalg.svdvals(_root(cov_a) @ _root(cov_b)).sum()
    trace = torch.trace(cov_a.double()) + torch.trace(cov_b.double()) - 2 * cross
    square = (mean_a.double() - mean_b.double()).square().sum()
    return max(float(square + trace), 0.0)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root of a positive semidefinite matrix, in float64."""
    values, vectors = torch.linalg.eigh(covariance.double())
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _moments(features: Tensor) -> Moments:
    if features.ndim != 2:
        raise InputError(f"features of shape {tuple(features.shape)}", "frechet", "(n, d)")
    return Moments(features.shape[1]).add(features)


@dataclasses.dataclass(frozen=True)
class Course:
    """Frechet distance over a film: window middles in seconds, distances, and their trend a minute."""

    at: tuple[float, ...]
    distances: tuple[float, ...]
    slope: float


def windowed(
    features: Iterable[tuple[float, Tensor]], reference: Moments, *, window: float = 60.0
) -> Course:
    """The distance of each `window` seconds of a film from a reference.

    features: (seconds, (d,)) in order of time. What does not fill half a window at the end joins
    the one before. One window's moments are held at a time.
    """
    at, distances = [], []
    for begin, end, moments in _windows(features, len(reference.total), window):
        at.append((begin + end) / 2)
        distances.append(frechet(moments, reference))
    if not distances:
        raise InputError("no features", "frechet", "a longer film")
    return Course(tuple(at), tuple(distances), slope(at, distances) * 60)


def _windows(
    features: Iterable[tuple[float, Tensor]], width: int, window: float
) -> Iterator[tuple[float, float, Moments]]:
    begin, last, held, now = 0.0, 0.0, None, Moments(width)
    for seconds, row in features:
        if seconds >= begin + window:
            if now.count and held is not None:
                yield held
            if now.count:
                held = (begin, begin + window, now)
            begin, now = seconds // window * window, Moments(width)
        now.add(row[None])
        last = seconds
    if held is not None and last - begin < window / 2:
        yield (held[0], last, held[2].merge(now))
        return
    if held is not None:
        yield held
    if now.count:
        yield (begin, last, now)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The least-squares slope of y over x; 0 for a single point."""
    across = torch.tensor(x, dtype=torch.float64)
    across = across - across.mean()
    up = torch.tensor(y, dtype=torch.float64)
    power = float(across.square().sum())
    return float((across * (up - up.mean())).sum()) / power if power > 0 else 0.0


def frechet_score(
    film: Moments, reference: Moments, protocol: str = "frechet-probe-v1", **detail: float
) -> Score:
    """The distance as a score."""
    return Score(frechet(film, reference), protocol, "low", detail=detail)
