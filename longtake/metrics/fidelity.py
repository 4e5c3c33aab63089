"""How near a film is to another, frame by frame: PSNR, SSIM and MS-SSIM."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from longtake.errors import InputError
from longtake.metrics.film import Frames, Stretch, stretches
from longtake.metrics.scores import Score

_RADIUS, _SIGMA = 5, 1.5  # of the window of Wang et al. 2004
_STEADY = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # powers of Wang et al. 2003, fine to coarse
_LARGEST = 1e6  # of a pixel's size: far outside 0..255, and still harmless
MOST = 100.0  # dB that a frame counts for at most, so that a mean over frames has a value


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures of one shape, in 0..255; infinite for equals.

    10 log10(255^2 / mean square error) over all that is given: for many frames, mean over calls.
    """
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
    light, form = _compared(*_planes(a, b))
    return float((light * form).mean())


def ms_ssim(a: Tensor, b: Tensor) -> float:
    """Multi-scale structural similarity (Wang et al. 2003): (.., h, w) in 0..255, at least 161x161.

    Five scales, each half the one before; a negative mean at any scale counts as 0, for it has no
    real power. Mean over frames and channels.
    """
    _alike(a, b)
    least = 2 * _RADIUS * 2 ** (len(_SCALES) - 1)
    if min(a.shape[-2:]) <= least:
        what, hint = f"pictures of {tuple(a.shape[-2:])}", f"{least + 1}x{least + 1} or more"
        raise InputError(what, "ms-ssim", hint)
    x, y = _planes(a, b)
    product = torch.ones(len(x), dtype=torch.float64)
    for scale, power in enumerate(_SCALES):
        light, form = _compared(x, y)
        whole = light * form if scale == len(_SCALES) - 1 else form
        product *= whole.mean((1, 2, 3)).clamp(min=0) ** power
        odd = [side % 2 for side in x.shape[-2:]]
        x, y = (avg_pool2d(z, 2, padding=odd) for z in (x, y))
    return float(product.mean())


def _planes(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    x, y = (z.double().reshape(-1, 1, *z.shape[-2:]) for z in (a, b))
    return x, y


def _compared(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """How alike planes (n, 1, h, w) are at each place: in light, and in contrast with structure."""
    mx, my = _blur(x), _blur(y)
    vx, vy, both = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    first, second = _STEADY
    light = (2 * mx * my + first) / (mx * mx + my * my + first)
    form = (2 * both + second) / (vx + vy + second)
    return light, form


def _blur(field: Tensor) -> Tensor:
    place = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float64)
    row = torch.exp(-((place / _SIGMA) ** 2) / 2)
    row = row / row.sum()
    return conv2d(conv2d(field, row[None, None, None]), row[None, None, :, None])


def _alike(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        shapes = f"pictures of {tuple(a.shape)} and {tuple(b.shape)}"
        raise InputError(shapes, "fidelity", "equal shapes")
    if not a.numel():
        raise InputError("pictures without pixels", "fidelity", "(.., h, w) of a pixel or more")
    for z in (a, b):
        if z.is_floating_point() and not bool((z.abs() <= _LARGEST).all()):
            raise InputError("pixels that are no numbers, or huge", "fidelity", "0..255")


@dataclasses.dataclass(frozen=True)
class Nearness:
    """How near two frames (3, h, w) in 0..255 are, as a number under a protocol."""

    measure: Callable[[Tensor, Tensor], float]
    protocol: str
    better: str = "high"


class Beside:
    """As a meter: a film beside another of the same size and length, frame by frame."""

    def __init__(self, kind: str, other: Frames, fps: float, near: Nearness | None = None) -> None:
        self._kind, self._near = kind, near or NEARNESS[kind]
        self._other = _frames(other, fps)
        self._sum, self._count, self._equal, self._fps = 0.0, 0, 0, fps
        self._values: tuple[float, int] | None = None  # the worst, and its frame

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        for frame in stretch.frames:
            other = next(self._other, None)
            if other is None:
                raise InputError("the reference is shorter than the film", self._kind, "its twin")
            value = self._near.measure(frame, other)
            self._equal += bool(torch.equal(frame, other))
            self._note(value)
            self._sum, self._count = self._sum + min(value, MOST), self._count + 1

    def _note(self, value: float) -> None:
        worse = min if self._near.better == "high" else max
        if self._values is None or worse(value, self._values[0]) != self._values[0]:
            self._values = (value, self._count)

    def score(self) -> Score:
        """The mean over frames; PSNR counts a frame for at most 100 dB, and a film of equals is infinite.

        `worst` is the value of a single frame, `at` its second; `equal` counts frames without any
        difference.
        """
        if self._values is None:
            raise InputError("no frames", self._kind, "a film of one frame or more")
        worst, place = self._values
        value = self._sum / self._count
        if self._kind == "psnr" and self._equal == self._count:
            value = math.inf
        counts = {"frames": self._count, "equal": self._equal}
        detail = {"worst": worst, "at": place / self._fps, **counts}
        return Score(value, self._near.protocol, self._near.better, detail=detail)


NEARNESS = {
    "psnr": Nearness(psnr, "psnr-rgb-v2"),
    "ssim": Nearness(ssim, "ssim-gaussian11-v1"),
    "ms-ssim": Nearness(ms_ssim, "ms-ssim-gaussian11-v1"),
}


def _frames(film: Frames, fps: float) -> Iterator[Tensor]:
    for stretch in stretches(film, fps):
        yield from stretch.frames
