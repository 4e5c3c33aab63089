"""The oracle: a clip model whose law is known, a Gaussian process over time, and what a plan makes of it.

One Cholesky factor of the joint covariance of (observed, targets) holds the conditional:
x_T = m_T + L_TO L_OO^-1 (x_O - m_O) + L_TT eps (Rasmussen & Williams 2006, eq. A.6).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import FitError, InputError
from longtake.keys import fingerprint
from longtake.steps import Indices, Plan, Step


class Kernel(Protocol):
    """A stationary covariance: of two moments of a film, by the seconds between them.

    A frozen dataclass, so that it has a fingerprint.
    """

    def __call__(self, lag: Tensor) -> Tensor:
        """Covariance at each lag (seconds, >= 0)."""


@dataclasses.dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """variance * exp(-lag/scale), and the only one that is Markov: the nearest frames say all."""

    scale: float = 8.0
    variance: float = 1.0

    def __call__(self, lag: Tensor) -> Tensor:
        """Covariance at each lag."""
        return self.variance * torch.exp(-lag / self.scale)


@dataclasses.dataclass(frozen=True)
class Matern32:
    """Once differentiable: a film with velocity. (R&W 2006, eq. 4.17)"""

    scale: float = 8.0
    variance: float = 1.0
    nugget: float = 1e-6  # variance of white noise on every frame

    def __call__(self, lag: Tensor) -> Tensor:
        """Covariance at each lag."""
        far = math.sqrt(3) * lag / self.scale
        return self.variance * (1 + far) * torch.exp(-far) + self.nugget * (lag == 0)


@dataclasses.dataclass(frozen=True)
class SquaredExponential:
    """Smooth without end; the nugget keeps frames that are close together apart. (R&W 2006, eq. 4.9)"""

    scale: float = 8.0
    variance: float = 1.0
    nugget: float = 1e-4

    def __call__(self, lag: Tensor) -> Tensor:
        """Covariance at each lag."""
        return self.variance * torch.exp(-((lag / self.scale) ** 2) / 2) + self.nugget * (lag == 0)


def covariance(kernel: Kernel, indices: Sequence[int], interval: float = 1.0) -> Tensor:
    """(n, n) of the frames at `indices`, neighbours `interval` seconds apart; float64."""
    places = torch.tensor(indices, dtype=torch.float64)
    return kernel((places[:, None] - places[None, :]).abs() * interval)


def conditional(
    kernel: Kernel, targets: Indices, observed: Indices, interval: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(A, L) of x_T = A x_O + L eps, zero mean: (t, o) and the lower Cholesky factor (t, t); float64."""
    both, seen = (*observed, *targets), len(observed)
    if len(set(both)) < len(both):
        raise FitError("an index twice in a call", f"targets {targets}, observed {observed}")
    factor, failed = torch.linalg.cholesky_ex(covariance(kernel, both, interval))
    if failed:
        raise InputError(
            "the kernel is not positive definite on these frames", f"{kernel}", "a larger nugget"
        )
    weights = torch.linalg.solve_triangular(
        factor[:seen, :seen], factor[seen:, :seen], upper=False, left=False
    )
    return weights, factor[seen:, seen:]


@dataclasses.dataclass(frozen=True)
class GaussianModel:
    """Every element of a frame is an independent Gaussian process; samples are exact draws, bit for bit per sample.

    track: a control track whose mean over its `width` columns is the mean of the frame (none if empty).
    """

    kernel: Kernel
    frame: tuple[int | None, ...] = (1, 1, 1)
    window: int = 64
    track: str = ""
    width: int = 0

    @property
    def spec(self) -> ClipSpec:
        """Any subset of at most `window` frames may be asked given any other."""
        parts = [
            type(self).__qualname__,
            type(self.kernel).__qualname__,
            self.kernel,
            self.track,
            1,
        ]
        tracks = {self.track: self.width} if self.track else {}
        return ClipSpec(self.window, self.frame, fingerprint(parts), "any", tracks)

    def sample(self, request: ClipRequest) -> Clip:
        """Targets drawn from their conditional given what is observed; with a start, `strength` of the way.

        The draw of a clip is whitened, so a start that follows the law gives a clip that follows it.
        """
        if len(request.at) > self.window:
            raise FitError(f"{len(request.at)} frames in a call", "GaussianModel", f"{self.window}")
        targets = tuple(sorted(request.targets))
        seen = request.observed
        weights, factor = self.conditional(targets, seen.at if seen else (), request.interval)
        centre = self._mean(request, targets).expand(len(request.samples), -1, *request.frame)
        if seen is not None:
            apart = seen.frames.double() - self._mean(request, seen.at)
            centre = centre + _combine(weights, apart)
        noise = request.noise.clip(request.samples, targets, request.frame).double()
        if request.start is not None:
            begun = request.start.pick(targets).frames.double() - centre
            inverse = torch.linalg.inv(factor)
            keep = math.sqrt(max(1 - request.strength**2, 0.0))
            noise = keep * _combine(inverse, begun) + request.strength * noise
        frames = (centre + _combine(factor, noise)).float()
        return Clip(frames, targets).pick(request.targets)

    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        """One answer each: a closed form gains nothing from company."""
        return [self.sample(request) for request in requests]

    def conditional(
        self, targets: Indices, observed: Indices, interval: float
    ) -> tuple[Tensor, Tensor]:
        """The law of a call; tests replace it with a wrong one."""
        return conditional(self.kernel, targets, observed, interval)

    def _mean(self, request: ClipRequest, indices: Indices) -> Tensor:
        """(t, 1, ...) mean of the frames at `indices`."""
        shape = (len(indices), *(1 for _ in request.frame))
        if not self.track:
            return torch.zeros(shape, dtype=torch.float64)
        tracks: Mapping[str, Tensor] = request.controls.at(indices)
        if self.track not in tracks:
            raise FitError(f"no control track '{self.track}'", "GaussianModel", "an encoder for it")
        return tracks[self.track].double().mean(dim=-1).reshape(shape)


def _combine(weights: Tensor, frames: Tensor) -> Tensor:
    """(t, o) weights on (b, o, *frame): elementwise sums in a fixed order.

    A matrix product's rounding would vary with b.
    """
    rows = []
    for row in weights.tolist():
        total = torch.zeros_like(frames[:, 0]) if len(row) == 0 else frames[:, 0] * row[0]
        for n, weight in enumerate(row[1:], start=1):
            if weight:
                total = total + frames[:, n] * weight
        rows.append(total)
    return torch.stack(rows, dim=1)


def nearest_observed(step: Step) -> Indices:
    """What a step with `choose` observes under the plainest choice: the frames nearest to its targets."""
    if step.choose is None:
        return step.observed
    ends = (step.targets[0], step.targets[-1])
    order = sorted(step.observed, key=lambda i: (min(abs(i - end) for end in ends), i))
    return tuple(sorted(order[: step.choose]))


def implied_covariance(
    plan: Plan,
    kernel: Kernel,
    interval: float = 1.0,
    choice: Callable[[Step], Indices] = nearest_observed,
) -> Tensor:
    """The exact (n, n) covariance of the film that a plan makes, whatever its steps left unobserved.

    Every frame is a row over independent unit normals, one per index; a step combines rows linearly.
    Given frames follow the kernel. choice: what a step with `choose` observes.
    """
    assert plan.timeline.length is not None
    rows = torch.zeros(plan.timeline.length, plan.timeline.length, dtype=torch.float64)
    given = Step(plan.timeline.given) if plan.timeline.given else None
    for step in (*([given] if given else []), *plan.steps):
        seen, targets = list(choice(step)), list(step.targets)
        weights, factor = conditional(kernel, tuple(targets), tuple(seen), interval)
        rows[targets] = weights @ rows[seen]
        rows[torch.tensor(targets)[:, None], torch.tensor(targets)[None, :]] += factor
    return rows @ rows.T
