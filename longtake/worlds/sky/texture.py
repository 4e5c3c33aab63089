"""Tileable fractal fields, and how a moving view samples them."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

_WIDEST = 0.75  # cycles per unit; nothing wider than a view, or a view's cover would stray
DENSITY = 96.0  # texels per unit; a unit is one picture height where the perspective scale is 1


@functools.lru_cache(maxsize=64)
def _filter(
    shape: tuple[int, int], slope: float, corner: float, finest: float, stretch: float, tilt: float
) -> np.ndarray:
    """Gain by frequency (cycles per unit): flat to `corner`, then f**-slope, gone by `finest`."""
    fy = np.fft.fftfreq(shape[0], 1 / DENSITY)[:, None]
    fx = np.fft.rfftfreq(shape[1], 1 / DENSITY)[None]
    along = (fx + tilt * fy) * stretch
    square = along**2 + fy**2
    gain = (corner**2 + square) ** (-slope / 2) * np.exp(-square / finest**2)
    gain *= 1 - np.exp(-(fx**2 + fy**2) / _WIDEST**2)
    return gain.astype(np.float32)


def fractal(
    rng: np.random.Generator,
    *,
    slope: float = 1.8,
    corner: float = 1.5,
    finest: float = 16.0,
    stretch: float = 1.0,
    tilt: float = 0.0,
    shape: tuple[int, int] = (256, 512),
) -> Tensor:
    """A periodic random field (h w), mean 0, deviation 1, drawn out `stretch` times along x."""
    return shaped(rng, _filter(shape, slope, corner, finest, stretch, tilt), shape)


def shaped(rng: np.random.Generator, gain: np.ndarray, shape: tuple[int, int]) -> Tensor:
    """A periodic random field (h w) of mean 0 and deviation 1 with the given gain by frequency.

    Made in numpy, whose transforms and sums do not depend on the number of threads.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    field = np.fft.irfft2(np.fft.rfft2(white) * gain, s=shape)
    return normal(torch.from_numpy(field.astype(np.float32)))


def normal(field: Tensor) -> Tensor:
    """The field shifted and scaled to mean 0 and deviation 1."""
    values = field.numpy()
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return (field - mean) / deviation


class Window:
    """A view (u, v in units, h w each) into a periodic field, moved by an offset per frame."""

    def __init__(self, field: Tensor, u: Tensor, v: Tensor) -> None:
        self.period = torch.tensor([field.shape[1], field.shape[0]], dtype=torch.float64)
        reach = [int(float(axis.abs().max()) * DENSITY) + 2 for axis in (u, v)]
        self.reach = torch.tensor(reach, dtype=torch.float64)
        rows = torch.arange(field.shape[0] + 2 * reach[1] + 2) % field.shape[0]
        columns = torch.arange(field.shape[1] + 2 * reach[0] + 2) % field.shape[1]
        self.field = field[rows][:, columns].contiguous()
        self.span = torch.tensor([len(columns) - 1, len(rows) - 1], dtype=torch.float64)
        place = torch.stack([u, v], dim=-1).double() * DENSITY + self.reach
        self.grid = (2 * place / self.span - 1).float()

    def at(self, u: Tensor, v: Tensor, first: int = 0) -> Tensor:
        """The field moved by (u, v) units (t, float64 each), from row `first` on: t h w."""
        offset = -torch.stack([u, v], dim=-1) * DENSITY - self.reach
        shift = (2 * torch.remainder(offset, self.period) / self.span).float()
        grid = self.grid[first:] + shift[:, None, None, :]
        field = self.field.expand(len(u), 1, *self.field.shape)
        sampled = grid_sample(field, grid, mode="bilinear", align_corners=True)
        return sampled.squeeze(1)


def look_up(field: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The field at fixed places (u, v in units): the shape of `u`."""
    zero = torch.zeros(1, dtype=torch.float64)
    return Window(field, u, v).at(zero, zero)[0]
