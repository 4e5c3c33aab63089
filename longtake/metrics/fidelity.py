"""How near a film is to another, frame by frame: PSNR and SSIM."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from longtake.errors import InputError
from longtake.metrics.film import Frames, Stretch, stretches
from longtake.metrics.scores import Score

_RADIUS, _SIGMA = 5, 1.5  # of the window of Wang et al. 2004
_STEADY = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures of one shape, in 0..255; infinite for equals."""
    _alike(a, b)
    error = float((a.double() - b.double()).square().mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity (Wang et al. 2004), mean over frames and channels: (.., h, w) in 0..255.

    Gaussian window of 11 pixels, deviation 1.5; places where it would not fit are left out.
    """
    _alike(a, b)
    if min(a.shape[-2:]) <= 2 * _RADIUS:
        raise InputError(f"pictures of {tuple(a.shape[-2:])}", "ssim", "11x11 or more")
    x, y = (z.double().reshape(-1, 1, *z.shape[-2:]) for z in (a, b))
    mx, my = _blur(x), _blur(y)
    vx, vy, both = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    first, second = _STEADY
    light = (2 * mx * my + first) / (mx * mx + my * my + first)
    form = (2 * both + second) / (vx + vy + second)
    return float((light * form).mean())


def _blur(field: Tensor) -> Tensor:
    place = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float64)
    row = torch.exp(-((place / _SIGMA) ** 2) / 2)
    row = row / row.sum()
    return conv2d(conv2d(field, row[None, None, None]), row[None, None, :, None])


def _alike(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        shapes = f"pictures of {tuple(a.shape)} and {tuple(b.shape)}"
        raise InputError(shapes, "fidelity", "equal shapes")


class Beside:
    """As a meter: a film beside another of the same size and length, frame by frame."""

    def __init__(self, kind: str, other: Frames, fps: float) -> None:
        self._kind = kind
        self._other = _frames(other, fps)
        self._sum, self._count, self._worst = 0.0, 0, math.inf

    def see(self, stretch: Stretch) -> None:
        for frame in stretch.frames:
            other = next(self._other, None)
            if other is None:
                raise InputError("the reference is shorter than the film", self._kind, "its twin")
            if self._kind == "psnr":
                near = float((frame.double() - other.double()).square().mean())
                value = psnr(frame, other) if near else math.inf
            else:
                near = value = ssim(frame, other)
            self._sum, self._count = self._sum + near, self._count + 1
            self._worst = min(self._worst, value)

    def score(self) -> Score:
        """PSNR of the film's mean square error, or mean SSIM; `worst` is that of a single frame."""
        mean = self._sum / self._count
        detail = {"worst": self._worst, "frames": self._count}
        if self._kind == "psnr":
            value = math.inf if mean == 0 else 10 * math.log10(255**2 / mean)
            return Score(value, "psnr-rgb-v1", "high", detail=detail)
        return Score(mean, "ssim-gaussian11-v1", "high", detail=detail)


def _frames(film: Frames, fps: float) -> Iterator[Tensor]:
    for stretch in stretches(film, fps):
        yield from stretch.frames
