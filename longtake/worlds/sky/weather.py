"""Rain and lightning."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from longtake.worlds.sky.texture import DENSITY, Window, fractal, shaped

_SLOT = 2.6  # seconds; each holds at most one lightning stroke
_FALL = 1.37  # units a second


class Rain:
    """Soft slanted streaks over the whole picture."""

    def __init__(self, rng: np.random.Generator, x: Tensor, y: Tensor) -> None:
        field = shaped(rng, _drops(), (256, 256))
        self._veil = fractal(rng, slope=2.5, corner=1.0, finest=3, shape=(192, 256))
        self._windows = {
            side: Window(field, x - side * 0.22 * y, y.expand_as(x)) for side in (-1.0, 1.0)
        }
        self._curtain = Window(self._veil, x, (y * 0.35).expand_as(x))

    def streaks(self, seconds: Tensor, wind: Tensor, travel: Tensor) -> Tensor:
        """The brightness of falling drops (t h w), 0..1, slanted with the wind."""
        fall = _FALL * seconds
        left, right = (self._windows[side].at(travel, fall) for side in (1.0, -1.0))
        lean = (0.5 + wind.float() / 0.1 * 0.5).clamp(0, 1)[:, None, None]
        field = left + (right - left) * lean
        return field.sub_(0.9).mul_(0.6).clamp_(0, 1)

    def curtain(self, seconds: Tensor, travel: Tensor) -> Tensor:
        """The drifting thickness of rain in the distance (t h w), about 0..1."""
        return self._curtain.at(travel, 0.2 * seconds).mul_(0.25).add_(0.5).clamp_(0, 1)


def _drops() -> np.ndarray:
    """Gain by frequency of soft upright streaks."""
    fy = np.fft.fftfreq(256, 1 / DENSITY)[:, None]
    fx = np.fft.rfftfreq(256, 1 / DENSITY)[None]
    return np.asarray(np.exp(-((fx / 26) ** 2) - (fy / 3.2) ** 2) * (1 - np.exp(-((fx / 9) ** 2))))


def flashes(seed: int, seconds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lightning at the given moments (t): strength 0..1, x in heights, and the stroke's number.

    Every slot of time throws its own dice, so a moment can be asked for alone.
    """
    rows = [_flash(seed, float(moment)) for moment in seconds]
    columns = torch.tensor(rows, dtype=torch.float64).reshape(-1, 3)
    return columns[:, 0], columns[:, 1], columns[:, 2].long()


def _flash(seed: int, moment: float) -> tuple[float, float, float]:
    best = (0.0, 0.0, 0.0)
    here = math.floor(moment / _SLOT)
    for slot in (here - 1, here):
        struck, at, again, place = _stroke(seed, slot)
        since = moment - at
        if not struck or since < 0:
            continue
        strength = math.exp(-since / 0.11)
        if since > again:
            strength += 0.7 * math.exp(-(since - again) / 0.14)
        if strength > best[0]:
            best = (min(strength, 1.0), place, float(slot))
    return best if best[0] > 0.02 else (0.0, 0.0, 0.0)


@functools.lru_cache(maxsize=256)
def _stroke(seed: int, slot: int) -> tuple[bool, float, float, float]:
    rng = np.random.default_rng([seed, 7919, slot + 2])
    struck = bool(rng.random() < 0.65)
    at = (slot + rng.uniform(0.05, 0.9)) * _SLOT
    return struck, at, float(rng.uniform(0.12, 0.3)), float(rng.uniform(-0.45, 0.45))


@functools.lru_cache(maxsize=64)
def bolt(seed: int, stroke: int, size: tuple[int, int], foot: float) -> Tensor:
    """A forked stroke from cloud to ground: brightness (1 h w), 0..1, for a picture of `size`."""
    rng = np.random.default_rng([seed, 104729, stroke + 2])
    _, _, _, place = _stroke(seed, stroke)
    y = (torch.arange(size[1]) + 0.5) / size[1]
    x = ((torch.arange(size[0]) + 0.5) / size[1] - size[0] / size[1] / 2)[None]
    picture = torch.zeros(size[1], size[0])
    begin = foot * 0.25
    down = y.numpy()
    heights = np.linspace(begin, foot, 14)
    main = np.interp(down, heights, rng.normal(0, 0.022, 14).cumsum() + place)
    _stroke_on(picture, x, main, (down < foot) * ((down - begin) / 0.08).clip(0, 1), 1.0)
    for _ in range(2):
        fork = rng.uniform(0.35, 0.7) * foot
        last = min(fork + rng.uniform(0.1, 0.25), foot)
        drift = (down - fork).clip(0) * rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 0.9)
        shake = np.interp(down, heights, rng.normal(0, 0.008, 14).cumsum())
        _stroke_on(picture, x, main + drift + shake, (down < last) * (down > fork), 0.5)
    return picture[None].clamp(0, 1)


def _stroke_on(
    picture: Tensor, x: Tensor, path: np.ndarray, inside: np.ndarray, power: float
) -> None:
    """Draw one branch with a soft core and a faint glow, in place, the brighter of both staying."""
    near = (x - torch.from_numpy(path)[:, None].float()).abs() * 128
    line = torch.exp(-(near**2) / power) + 0.25 * torch.exp(-near / 4)
    line *= torch.from_numpy(inside).float()[:, None] * power
    torch.maximum(picture, line, out=picture)
