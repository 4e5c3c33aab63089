"""From noise to frames: samplers as plain functions over levels of noise.

A state of level (alpha, sigma) is x = alpha * x0 + sigma * eps. `levels` lead from the noisiest
to (1, 0); a model is seen only as its estimate of x0. So one rule serves the linear flow
(alpha = 1 - t, sigma = t), variance-preserving paths and exploding ones (alpha = 1) alike.
Along any path the probability flow is dx = x0 dalpha + eps dsigma, with eps = (x - alpha x0) / sigma.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from longtake.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import Tensor

Level = tuple[float, float]  # (alpha, sigma)
Levels = Sequence[Level]
Denoise = Callable[
    ["Tensor", float, float], "Tensor"
]  # (x, alpha, sigma) -> estimate of x0, like x
Draw = Callable[[str], "Tensor"]  # use -> standard normal like x, by frame: see clip.Noise


class Sampler(Protocol):
    """Takes `x` from the first level to the last; `draw` gives fresh noise to those that need it."""

    def __call__(
        self, denoise: Denoise, x: Tensor, levels: Levels, draw: Draw | None = None
    ) -> Tensor: ...


def euler(denoise: Denoise, x: Tensor, levels: Levels, draw: Draw | None = None) -> Tensor:
    """First order: x0 and eps held over the step.

    On the linear flow this is Euler's rule in t; with alpha = 1 it is Euler's rule of Karras et
    al. 2022 (Algorithm 1 without its correction); on any path it is DDIM (Song et al. 2021,
    equation 12 with sigma = 0).
    """
    for (alpha, sigma), (alpha_to, sigma_to) in _steps(levels):
        ratio = sigma_to / sigma
        x = ratio * x + (alpha_to - alpha * ratio) * denoise(x, alpha, sigma)
    return x


def heun(denoise: Denoise, x: Tensor, levels: Levels, draw: Draw | None = None) -> Tensor:
    """Second order, two evaluations a step: the trapezoidal rule on dx = x0 dalpha + eps dsigma.

    With alpha = 1 this is Algorithm 1 of Karras et al. 2022, on the linear flow Heun's rule in t.
    Integrating against alpha and sigma themselves keeps it finite at alpha = 0, where a change of
    variable to sigma / alpha would not be. A step to sigma = 0 is Euler's: eps has no value there.
    """
    for (alpha, sigma), (alpha_to, sigma_to) in _steps(levels):
        clean = denoise(x, alpha, sigma)
        noise = (x - alpha * clean) / sigma
        ahead = alpha_to * clean + sigma_to * noise
        if sigma_to == 0:
            x = ahead
            continue
        clean_to = denoise(ahead, alpha_to, sigma_to)
        noise_to = (ahead - alpha_to * clean_to) / sigma_to
        x = x + (alpha_to - alpha) / 2 * (clean + clean_to)
        x = x + (sigma_to - sigma) / 2 * (noise + noise_to)
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, levels: Levels, draw: Draw | None = None) -> Tensor:
    """Second order, one evaluation a step: DPM-Solver++ (2M), Lu et al. 2022, Algorithm 2.

    x0 is extrapolated from its last two estimates in log(alpha / sigma). Where that is infinite
    (first and last level) the step is of first order, which costs a logarithm over a whole path:
    the error falls as log(n) / n^2.
    """
    last, last_gap = None, math.inf
    for (alpha, sigma), (alpha_to, sigma_to) in _steps(levels):
        clean = guess = denoise(x, alpha, sigma)
        gap = _log_snr(alpha_to, sigma_to) - _log_snr(alpha, sigma)
        if last is not None and math.isfinite(gap):
            reach = gap / (2 * last_gap)
            guess = (1 + reach) * clean - reach * last
        ratio = sigma_to / sigma
        x = ratio * x + (alpha_to - alpha * ratio) * guess
        last, last_gap = clean, gap
    return x


def ddim(
    denoise: Denoise, x: Tensor, levels: Levels, draw: Draw | None = None, eta: float = 1.0
) -> Tensor:
    """Part of the noise is drawn afresh at each step: Song et al. 2021, equations 12 and 16.

    eta = 1 is ancestral sampling (DDPM), eta = 0 is `euler`. The fresh part is eta times the
    spread of q(x_to | x, x0), in the form that holds on any path (Kingma et al. 2021,
    appendix A). Draws are named "level 1", "level 2", ...: the level they lead to.
    """
    if not 0 <= eta <= 1:
        raise InputError(f"eta={eta}", "ddim", "0 to 1")
    if eta and draw is None:
        raise InputError("no noise to draw from", "ddim", "draw=... or eta=0")
    for number, ((alpha, sigma), (alpha_to, sigma_to)) in enumerate(_steps(levels), start=1):
        clean = denoise(x, alpha, sigma)
        noise = (x - alpha * clean) / sigma
        left = alpha / alpha_to * sigma_to
        fresh = eta * sigma_to / sigma * math.sqrt(max(sigma**2 - left**2, 0.0))
        kept = math.sqrt(max(sigma_to**2 - fresh**2, 0.0))
        x = alpha_to * clean + kept * noise
        if fresh and draw is not None:
            x = x + fresh * draw(f"level {number}")
    return x


SAMPLERS: Mapping[str, Sampler] = {
    "euler": euler,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "ddim": ddim,
}


def sampler(name: str) -> Sampler:
    """A sampler by its name, for knobs given as text."""
    if name not in SAMPLERS:
        raise InputError(f"unknown sampler '{name}'", "sampler", nearest(name, SAMPLERS))
    return SAMPLERS[name]


def flow_levels(steps: int, shift: float = 1.0) -> Levels:
    """The linear flow: alpha = 1 - t, sigma = t, t in equal steps from 1 to 0.

    shift above 1 spends more steps on the noisy end, as larger frames want: t becomes
    shift t / (1 + (shift - 1) t) (Esser et al. 2024, equation 23).
    """
    if shift <= 0:
        raise InputError(f"shift={shift}", "flow_levels", "above 0, 1 for none")
    times = (shift * t / (1 + (shift - 1) * t) for t in _times(steps))
    return tuple((1 - t, t) for t in times)


def cosine_levels(steps: int, offset: float = 0.008) -> Levels:
    """The variance-preserving cosine path (Nichol and Dhariwal 2021, equation 17), from alpha = 0.

    The offset bends the path in its last percent, so that past some hundred steps it holds
    methods of second order to first; offset = 0 does not.
    """
    if offset < 0:
        raise InputError(f"offset={offset}", "cosine_levels", "0.008")
    angle = math.pi / 2 / (1 + offset)
    top = math.cos(offset * angle)
    inner = [math.cos((t + offset) * angle) / top for t in _times(steps)[1:-1]]
    # Both ends are set by hand: there rounding would leave a sliver of signal or of noise.
    return ((0.0, 1.0), *((alpha, math.sqrt(1 - alpha**2)) for alpha in inner), (1.0, 0.0))


def ddpm_levels(
    steps: int, count: int = 1000, low: float = 1e-4, high: float = 0.02, root: bool = False
) -> Levels:
    """The variance-preserving path of Ho et al. 2020: `count` betas from `low` to `high`, `steps` of its levels.

    The noisiest is always among them, so that sampling begins where training ended. root: the betas'
    roots are evenly spaced instead (Rombach et al. 2022).
    """
    if not 1 <= steps <= count:
        raise InputError(f"{steps} of {count} steps", "ddpm_levels", f"1 to {count}")
    if not 0 < low <= high < 1:
        raise InputError(f"betas {low} to {high}", "ddpm_levels", "1e-4 to 0.02")
    power = 2 if root else 1
    first, last = low ** (1 / power), high ** (1 / power)
    kept, path = 1.0, []
    for n in range(count):
        kept *= 1 - (first + n / max(count - 1, 1) * (last - first)) ** power
        path.append((math.sqrt(kept), math.sqrt(1 - kept)))
    chosen = [path[round(count * t) - 1] for t in _times(steps)[:-1]]
    return (*chosen, (1.0, 0.0))


def karras_levels(
    steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Levels:
    """Exploding noise, alpha = 1: equal steps in sigma^(1/rho), then 0 (Karras et al. 2022, eq. 5)."""
    if not 0 < sigma_min < sigma_max:
        raise InputError(
            f"sigma_min={sigma_min}, sigma_max={sigma_max}", "karras_levels", "0 < min < max"
        )
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    span = max(len(_times(steps)) - 2, 1)
    sigmas = ((high + n / span * (low - high)) ** rho for n in range(steps))
    return (*((1.0, sigma) for sigma in sigmas), (1.0, 0.0))


_MOST_STEPS = 10_000
_MOST_GUIDANCE = 1000.0


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a flow is followed, checked without torch so that a plan can refuse it.

    rule: of `SAMPLERS`. steps, shift: see `flow_levels`. guidance: on text, 1 for none. hold: noise
    level of observed frames. context: guidance on observed frames, 1 for none.
    """

    steps: int = 8
    rule: str = "euler"
    shift: float = 1.0
    guidance: float = 1.0
    hold: float = 0.0
    context: float = 1.0

    def __post_init__(self) -> None:
        sampler(self.rule)
        if not 1 <= self.steps <= _MOST_STEPS:
            raise InputError(f"steps={self.steps}", "sampling", f"steps=8, at most {_MOST_STEPS}")
        if not 0 < self.shift < math.inf:  # false for nan as well
            raise InputError(f"shift={self.shift}", "sampling", "above 0, 1 for none")
        for name in ("guidance", "context"):
            scale = getattr(self, name)
            if not abs(scale) <= _MOST_GUIDANCE:
                what, hint = f"{name}={scale}", f"{name}=2, at most {_MOST_GUIDANCE}"
                raise InputError(what, "sampling", hint)
        if not 0 <= self.hold < 1:
            raise InputError(f"hold={self.hold}", "sampling", "hold=0.05")

    @property
    def levels(self) -> Levels:
        """From noise to data."""
        return flow_levels(self.steps, self.shift)


def tail(levels: Levels, strength: float) -> Levels:
    """The last `strength` (0 to 1) of the steps, for a start other than pure noise (Meng et al. 2022).

    Begin at alpha * start + sigma * noise of its first level.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"strength={strength}", "tail", "0 to 1")
    steps = round(strength * (len(levels) - 1))
    return levels[len(levels) - 1 - steps :]


def _times(steps: int) -> list[float]:
    """1 to 0 in equal steps, both ends included."""
    if steps < 1:
        raise InputError(f"{steps} sampling steps", "levels", "1 or more")
    return [1 - n / steps for n in range(steps + 1)]


def _steps(levels: Levels) -> Iterator[tuple[Level, Level]]:
    """Neighbouring levels, each less noisy than the one before."""
    for number, (here, to) in enumerate(itertools.pairwise(levels)):
        if not _log_snr(*here) < _log_snr(*to):
            raise InputError(f"level {to} is not less noisy than {here}", f"levels, step {number}")
        yield here, to


def _log_snr(alpha: float, sigma: float) -> float:
    """log(alpha / sigma), infinite at the ends."""
    if alpha <= 0:
        return -math.inf
    return math.inf if sigma <= 0 else math.log(alpha) - math.log(sigma)
