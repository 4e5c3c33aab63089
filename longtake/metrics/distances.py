"""Frechet distance between feature distributions, and its course over a film.

The distance of Frechet Inception Distance (Heusel et al. 2017) and Frechet Video Distance
(Unterthiner et al. 2018), over whatever features it is given.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.errors import InputError
from longtake.metrics.moments import Moments
from longtake.metrics.scores import Score

_LARGEST = 1e100  # of a feature: squares and their sums stay finite in float64
_NEAR = 1e-6  # of a distance: as far off as it may be


def frechet(a: Moments | Tensor, b: Moments | Tensor) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A B)^1/2), of moments or of rows of features (n, d).

    With A = F F^T and B = G G^T the trace of the root is the sum of the singular values of F^T G,
    which stays real and accurate where covariances are singular (fewer rows than features).
    Covariances are unbiased. Equal samples give 0. InputError for fewer than 2 rows, for values that
    are not finite, and for widths that differ.
    """
    (mean_a, root_a), (mean_b, root_b) = _rooted(a), _rooted(b)
    return _distance(mean_a, root_a, mean_b, root_b)


def gaussian_frechet(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """The distance of two Gaussians: means (d,), covariances (d, d)."""
    for mean, cov in ((mean_a, cov_a), (mean_b, cov_b)):
        _finite(mean)
        if cov.shape != (len(mean), len(mean)):
            what = f"a covariance of shape {tuple(cov.shape)} beside a mean of {tuple(mean.shape)}"
            raise InputError(what, "frechet", f"({len(mean)}, {len(mean)})")
    return _distance(mean_a.double(), _root(cov_a), mean_b.double(), _root(cov_b))


def _distance(mean_a: Tensor, root_a: Tensor, mean_b: Tensor, root_b: Tensor) -> float:
    """Of means (d,) and roots (d, k) with root root^T = covariance."""
    if len(mean_a) != len(mean_b):
        what = f"features of width {len(mean_a)} and {len(mean_b)}"
        raise InputError(what, "frechet", "one kind of features")
    apart = (mean_a - mean_b).square().sum()
    spread = root_a.square().sum() + root_b.square().sum()
    both = (root_a.T @ root_b).numpy()
    cross, error = _nuclear(both)
    value = float(apart + spread) - 2 * cross
    if error > _NEAR * value:
        cross = float(np.linalg.svd(both, compute_uv=False).sum())
        value = float(apart + spread) - 2 * cross
    # Less than this is rounding of the three traces: equal samples in another order, say.
    blur = len(mean_a) * torch.finfo(torch.float64).eps * float(spread)
    return value if value > blur else 0.0


def _nuclear(matrix: NDArray[np.float64]) -> tuple[float, float]:
    """The sum of the singular values as roots of eigenvalues of the square, and how far off it may be.

    Half the work of the singular values themselves; but the smaller one is, the fewer digits it has.
    """
    if not matrix.size:
        return 0.0, 0.0
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    squares = np.linalg.eigvalsh(matrix.T @ matrix)
    blur = math.sqrt(len(squares)) * np.finfo(np.float64).eps * max(float(squares[-1]), 0.0)
    roots = np.sqrt(squares.clip(0))
    errors = blur / np.maximum(roots, math.sqrt(blur) or 1.0)
    return float(roots.sum()), float(errors.sum())


def _rooted(sample: Moments | Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and a root (d, k) of the covariance, float64."""
    if isinstance(sample, Moments):
        return sample.mean, _root(sample.covariance)
    if sample.ndim != 2:
        raise InputError(f"features of shape {tuple(sample.shape)}", "frechet", "(n, d)")
    if len(sample) < 2:
        raise InputError(f"{len(sample)} features", "frechet", "at least 2")
    rows = _finite(sample.detach().cpu()).double()
    mean = rows.mean(0)
    centred, scale = rows - mean, math.sqrt(len(rows) - 1)
    if len(rows) > rows.shape[1]:
        plain = centred.numpy()  # of a matrix and itself numpy computes one half only
        root = _triangle(torch.from_numpy(plain.T @ plain))
        centred = torch.linalg.qr(centred, mode="r").R if root is None else root.T
    return mean, centred.T / scale


def _triangle(covariance: Tensor) -> Tensor | None:
    """Cholesky's root of (d, d), None where directions are missing or as small as rounding."""
    root, failed = torch.linalg.cholesky_ex(covariance)
    powers = root.diagonal().square()
    least = len(root) * torch.finfo(torch.float64).eps * covariance.diagonal().amax()
    return None if int(failed) or float(powers.amin()) <= float(least) else root


def _root(covariance: Tensor) -> Tensor:
    """(d, k) of a positive semidefinite (d, d), in float64, without directions that are rounding."""
    whole = _finite(covariance).double()
    triangle = _triangle(whole)
    if triangle is not None:
        return triangle
    values, vectors = torch.linalg.eigh(whole)
    kept = values > len(values) * torch.finfo(torch.float64).eps * values.abs().max()
    root: Tensor = vectors[:, kept] * values[kept].sqrt()
    return root


def _finite(values: Tensor) -> Tensor:
    size = float(values.abs().max()) if values.numel() else math.inf
    if not size <= _LARGEST:  # not-a-numbers fail this too
        raise InputError("features too large, none, or not numbers", "frechet", "finite numbers")
    return values


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
    for begin, end, moments in _windows(features, reference.width, window):
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
