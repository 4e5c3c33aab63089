"""Guidance: several estimates of x0 into one that leans towards what the better informed ones add.

A *branch* is a denoiser that was told something (the prompt, the observed frames, nothing); a
*rule* makes one estimate out of the branches', listed from least to most informed. At one level
the score, eps and velocity are the same affine maps of x0, and the weights of every linear rule
sum to 1, so guiding x0 guides all of them alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from longtake.errors import InputError
from longtake.models.samplers import Denoise

Rule = Callable[[Sequence[Tensor]], Tensor]


def guided(branches: Sequence[Denoise], rule: Rule) -> Denoise:
    """A denoiser that asks every branch and follows the rule.

    [without, full] under `chained(scale)` is classifier-free guidance on whatever `without` was
    not told: the prompt, or the observed frames (context guidance). [weak, full], a worse model
    first, is autoguidance (Karras et al. 2024).
    """

    def denoise(x: Tensor, alpha: float, sigma: float) -> Tensor:
        return rule([branch(x, alpha, sigma) for branch in branches])

    return denoise


def chained(*scales: float) -> Rule:
    """first + s1 (second - first) + s2 (third - second) + ...: each branch knows more than the last.

    One scale: Ho and Salimans 2021, equation 6, in the form where 1 is no guidance. Two, over
    (nothing, observed frames, frames and prompt): Brooks et al. 2023, equation 3. All scales 1
    give the last branch alone.
    """

    def rule(estimates: Sequence[Tensor]) -> Tensor:
        _expect(estimates, len(scales) + 1)
        mixed = estimates[0]
        for scale, less, more in zip(scales, estimates, estimates[1:], strict=False):
            mixed = mixed + scale * (more - less)
        return mixed

    return rule


def spread(*scales: float) -> Rule:
    """first + s1 (second - first) + s2 (third - first) + ...: each branch knows something else.

    Conditions composed as in Liu et al. 2022 (composable diffusion); with branches that saw
    different parts of the past, history guidance (Song et al. 2025).
    """

    def rule(estimates: Sequence[Tensor]) -> Tensor:
        _expect(estimates, len(scales) + 1)
        mixed = estimates[0]
        for scale, told in zip(scales, estimates[1:], strict=True):
            mixed = mixed + scale * (told - estimates[0])
        return mixed

    return rule


def against(*scales: float) -> Rule:
    """last + (s1 - 1) (last - first) + (s2 - 1) (last - second) + ...: each branch lacks something else.

    `chained` of one scale, for several conditions at once; where the joint absence of conditions
    was hardly trained, it asks for no estimate of it.
    """

    def rule(estimates: Sequence[Tensor]) -> Tensor:
        _expect(estimates, len(scales) + 1)
        full = mixed = estimates[-1]
        for scale, less in zip(scales, estimates, strict=False):
            mixed = mixed + (scale - 1) * (full - less)
        return mixed

    return rule


def projected(scale: float, parallel: float = 0.0) -> Rule:
    """`chained(scale)` with the part of the push that lies along the full estimate times `parallel`.

    That part mostly raises contrast and saturation, which add up over chained clips
    (Sadat et al. 2025, adaptive projected guidance; its momentum and norm limit are left out).
    """

    def rule(estimates: Sequence[Tensor]) -> Tensor:
        _expect(estimates, 2)
        less, full = estimates
        push = full - less
        dims = tuple(range(1, full.ndim))
        length = full.square().sum(dims, keepdim=True)
        share = (push * full).sum(dims, keepdim=True) / length.clamp_min(1e-12)
        return full + (scale - 1) * (push + (parallel - 1) * share * full)

    return rule


def rescaled(rule: Rule, amount: float) -> Rule:
    """Pulls the spread of a guided estimate back to the last branch's, `amount` (0 to 1) of the way.

    Against the overexposure of strong guidance (Lin et al. 2024, section 3.4); the spread is over
    all of a sample's frames.
    """
    if not 0 <= amount <= 1:
        raise InputError(f"amount={amount}", "rescaled", "0 to 1")

    def wrapped(estimates: Sequence[Tensor]) -> Tensor:
        mixed, full = rule(estimates), estimates[-1]
        dims = tuple(range(1, full.ndim))
        ratio = full.std(dims, keepdim=True) / mixed.std(dims, keepdim=True).clamp_min(1e-12)
        return mixed * (1 + amount * (ratio - 1))

    return wrapped


def during(inside: Denoise, outside: Denoise, low: float = 0.0, high: float = math.inf) -> Denoise:
    """`inside` while low < sigma / alpha <= high, else `outside`.

    Guidance limited to the middle of sampling keeps variety and costs less
    (Kynkaanniemi et al. 2024).
    """
    if low >= high:
        raise InputError(f"an interval from {low} to {high}", "during", "low < high")

    def denoise(x: Tensor, alpha: float, sigma: float) -> Tensor:
        ratio = sigma / alpha if alpha > 0 else math.inf
        branch = inside if low < ratio <= high else outside
        return branch(x, alpha, sigma)

    return denoise


def _expect(estimates: Sequence[Tensor], count: int) -> None:
    if len(estimates) != count:
        raise InputError(f"{len(estimates)} branches", "guidance", f"{count}, one more than scales")
