"""Ten digits as pen strokes, and hands that write them: slant, width, thickness, a light tremble."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.worlds.chance import draw

Points = NDArray[np.float64]
REACH = 0.8  # a field spans this much on every side of its middle, in digit heights
_CELLS = 96  # of a field, a side


def _arc(cx: float, cy: float, rx: float, ry: float, begin: float, end: float) -> list[list[float]]:
    """An arc as points; degrees, 0 to the right and 90 down."""
    angles = np.radians(np.linspace(begin, end, max(4, int(abs(end - begin) / 15))))
    return [[cx + rx * math.cos(a), cy + ry * math.sin(a)] for a in angles]


# Strokes of each digit in a box of 1 by 1, y down.
_STROKES: tuple[list[list[list[float]]], ...] = (
    [_arc(0.5, 0.5, 0.36, 0.48, 0, 360)],
    [[[0.30, 0.22], [0.54, 0.02], [0.54, 0.98]]],
    [[*_arc(0.5, 0.29, 0.34, 0.27, 190, 395), [0.14, 0.97], [0.88, 0.97]]],
    [_arc(0.46, 0.26, 0.33, 0.24, 200, 440), _arc(0.46, 0.73, 0.38, 0.25, -85, 155)],
    [[[0.68, 0.98], [0.68, 0.02], [0.1, 0.68], [0.94, 0.68]]],
    [[[0.84, 0.03], [0.26, 0.03], [0.2, 0.45], *_arc(0.46, 0.68, 0.38, 0.3, -130, 150)]],
    [_arc(0.74, 0.62, 0.58, 0.6, 265, 190), _arc(0.5, 0.7, 0.34, 0.28, 0, 360)],
    [[[0.12, 0.03], [0.88, 0.03], [0.40, 0.98]]],
    [_arc(0.5, 0.26, 0.28, 0.23, 0, 360), _arc(0.5, 0.74, 0.35, 0.24, 0, 360)],
    [_arc(0.5, 0.3, 0.34, 0.28, 0, 360), [[0.84, 0.3], [0.82, 0.62], [0.62, 0.98]]],
)


@dataclasses.dataclass(frozen=True)
class Glyph:
    """A written digit about its centre of ink, lengths in digit heights."""

    field: Tensor  # h w, distance inwards from the edge of the ink, over +-REACH
    box: tuple[float, float, float, float]  # left, top, right, bottom of the ink


def write(digit: int, seed: int, hand: int) -> Glyph:
    """The digit in one of a seed's hands."""
    u = [float(v) for v in draw(seed, "hand", hand, np.arange(6))]
    pen = 0.062 + 0.016 * u[0]
    segments = []
    for stroke in _STROKES[digit]:
        line = np.array(stroke) - 0.5
        line[:, 0] *= 0.66 + 0.12 * u[1]
        line[:, 0] -= (0.22 * u[2] - 0.06) * line[:, 1]
        line[:, 0] += 0.018 * np.sin(2 * math.pi * (line[:, 1] * 1.1 + u[3]))
        line[:, 1] += 0.014 * np.sin(2 * math.pi * (line[:, 0] * 1.4 + u[4]))
        line *= 1 - 2 * pen
        segments += list(zip(line[:-1], line[1:], strict=True))
    starts, ends = np.array([s[0] for s in segments]), np.array([s[1] for s in segments])
    axis = (np.arange(_CELLS) + 0.5) / _CELLS * 2 * REACH - REACH
    centre = _centre(starts, ends, pen, axis)
    starts, ends = starts - centre, ends - centre
    field = pen - _distance(starts, ends, axis)
    corners = np.concatenate([starts, ends])
    low, high = corners.min(0) - pen, corners.max(0) + pen
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return Glyph(torch.from_numpy(field).float(), box)


def _centre(starts: Points, ends: Points, pen: float, axis: Points) -> Points:
    """The centre of ink."""
    step = axis[1] - axis[0]
    ink = np.clip((pen - _distance(starts, ends, axis)) / step + 0.5, 0, 1)
    sums = [float((ink * axis[None]).sum()), float((ink * axis[:, None]).sum())]
    return np.array(sums) / float(ink.sum())


def _distance(starts: Points, ends: Points, axis: Points) -> Points:
    """From every place of a grid (h w) to the nearest segment."""
    place = np.stack(np.meshgrid(axis, axis), -1)
    nearest = np.full(place.shape[:2], np.inf)
    for a, b in zip(starts, ends, strict=True):
        way = b - a
        along = np.clip((place - a) @ way / max(float(way @ way), 1e-12), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(place - a - along[..., None] * way, axis=-1))
    return nearest
