"""Pictures of a block map from inside: rays cast a column at a time, many frames at once.

The ray walk is Amanatides and Woo's (Eurographics 1987), all rays of all frames a step together.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.worlds.chance import draw
from longtake.worlds.painting import colour

FOCUS = 0.62  # short sides; the eye stands half a block over the floor, under a roof at one block
_PLASTER = ("#c96f4a", "#d9a441", "#6f9e6a", "#4f8fa8", "#7a6fb0", "#b0607f", "#a9b0b5", "#8c6a4f")
_FLOOR, _TILE = colour("#6b5f54"), colour("#857769")
_ROOF, _PANEL = colour("#cfccc4"), colour("#e4e1d9")
_AIR = colour("#b9b6ae")
_TEXELS = 32
_FAR = 16.0  # blocks to where the air takes half of what is seen


class Caster:
    """One maze, ready to be seen from anywhere in it."""

    def __init__(self, seed: int, walls: NDArray[np.bool_]) -> None:
        self.walls = torch.from_numpy(walls)
        self.side = walls.shape[0]
        rows, columns = np.arange(self.side)[:, None], np.arange(self.side)[None]
        tints = torch.stack([colour(text)[:, 0, 0] for text in _PLASTER])
        which = (8 * draw(seed, "plaster", rows, columns)).astype(np.int64)
        shift = np.stack([draw(seed, f"shift {c}", rows, columns) for c in "rgb"], -1)
        self.plaster = tints[torch.from_numpy(which)] * torch.from_numpy(0.75 + 0.4 * shift).float()
        hang = (8 * draw(seed, "cloth", rows, columns)).astype(np.int64)
        self.cloth = 0.9 * tints[torch.from_numpy(hang)].flip(-1)
        self.hung = torch.from_numpy(draw(seed, "hung", rows, columns) < 0.45)
        self.bricks, self.frame = _bricks(seed), _frame()

    def rays(self, pose: Tensor, across: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What columns meet: depth, place along the face (0..1), block and side of it, t w each.

        pose: (t 3) float64; across: (w), tangents of the angles to the right.
        """
        x, y, yaw = (pose[:, k, None] for k in range(3))
        dx = torch.cos(yaw) - across * torch.sin(yaw)
        dy = torch.sin(yaw) + across * torch.cos(yaw)
        dx = torch.where(dx.abs() < 1e-9, torch.full_like(dx, 1e-9), dx)
        dy = torch.where(dy.abs() < 1e-9, torch.full_like(dy, 1e-9), dy)
        i, j = x.floor().expand_as(dx).clone(), y.floor().expand_as(dx).clone()
        step_x, step_y = dx.sign(), dy.sign()
        to_x = (i + (step_x > 0) - x) / dx
        to_y = (j + (step_y > 0) - y) / dy
        per_x, per_y = 1 / dx.abs(), 1 / dy.abs()
        depth = torch.zeros_like(dx)
        vertical = torch.zeros_like(dx, dtype=torch.bool)
        going = torch.ones_like(vertical)
        for _ in range(2 * self.side):
            first = to_x < to_y
            depth = torch.where(going, torch.where(first, to_x, to_y), depth)
            vertical = torch.where(going, first, vertical)
            i = torch.where(going & first, i + step_x, i)
            j = torch.where(going & ~first, j + step_y, j)
            to_x = torch.where(going & first, to_x + per_x, to_x)
            to_y = torch.where(going & ~first, to_y + per_y, to_y)
            row, column = j.long().clamp(0, self.side - 1), i.long().clamp(0, self.side - 1)
            outside = (i < 0) | (j < 0) | (i >= self.side) | (j >= self.side)
            going = going & ~(self.walls[row, column] | outside)
            if not bool(going.any()):
                break
        along = torch.where(vertical, y + depth * dy, x + depth * dx)
        along = torch.where((vertical & (dx < 0)) | (~vertical & (dy > 0)), -along, along)
        block = j.long().clamp(0, self.side - 1) * self.side + i.long().clamp(0, self.side - 1)
        shade = 2 * vertical.long() + torch.where(vertical, dx > 0, dy > 0).long()
        return depth.clamp(min=0.02), torch.remainder(along, 1), block, shade

    def see(self, pose: Tensor, size: tuple[int, int], finer: int = 2) -> Tensor:
        """Pictures in 0..1, t 3 h w; `finer` squared samples a pixel."""
        width, height = size[0] * finer, size[1] * finer
        focus = FOCUS * min(width, height)
        across = (torch.arange(width, dtype=torch.float64) + 0.5 - width / 2) / focus
        down = ((torch.arange(height) + 0.5 - height / 2) / focus)[None, :, None]
        depth, along, block, side = self.rays(pose, across)
        z = depth.float()[:, None]
        v = 0.5 + down * z
        wall = (v >= 0) & (v < 1)
        picture = self._ground(pose, across, down, (len(pose), height, width))
        texel = (v * _TEXELS).long().clamp(0, _TEXELS - 1) * _TEXELS
        texel = texel + (along * _TEXELS).long().clamp(0, _TEXELS - 1)[:, None]
        light = torch.tensor([0.80, 0.92, 1.0, 0.70])[side][:, None]
        hung = self.hung.flatten()[block][:, None] * self.frame[texel]
        plaster, cloth = self.plaster.reshape(-1, 3)[block], self.cloth.reshape(-1, 3)[block]
        bricks = self.bricks[texel] * light
        fade = (1 - 2.0 ** (-z / _FAR)).clamp(0, 1)
        for c in range(3):
            paint = plaster[:, None, :, c] * bricks
            paint = paint + (cloth[:, None, :, c] * light - paint) * hung
            paint = paint + (_AIR[c, 0, 0] - paint) * fade
            picture[:, c] = torch.where(wall, paint, picture[:, c])
        if finer > 1:
            picture = torch.nn.functional.avg_pool2d(picture, finer)
        return picture

    def _ground(
        self, pose: Tensor, across: Tensor, down: Tensor, shape: tuple[int, int, int]
    ) -> Tensor:
        """Floor and roof: t 3 h w."""
        far = (0.5 / down.abs()).clamp(max=3.0 * self.side)
        yaw = pose[:, 2, None]
        dx = (torch.cos(yaw) - across * torch.sin(yaw)).float()[:, None]
        dy = (torch.sin(yaw) + across * torch.cos(yaw)).float()[:, None]
        x = pose[:, 0].float()[:, None, None] + far * dx
        y = pose[:, 1].float()[:, None, None] + far * dy
        odd = torch.remainder((2 * x).floor() + (2 * y).floor(), 2)
        edge = torch.maximum(
            (torch.remainder(x, 1) - 0.5).abs(), (torch.remainder(y, 1) - 0.5).abs()
        )
        panel = (edge < 0.40).float()
        fade = (1 - 2.0 ** (-far / _FAR)).expand(shape)
        below = (down > 0).expand(shape)
        picture = torch.empty(shape[0], 3, shape[1], shape[2])
        for c in range(3):
            floor = _FLOOR[c, 0, 0] + (_TILE[c, 0, 0] - _FLOOR[c, 0, 0]) * odd
            roof = _ROOF[c, 0, 0] + (_PANEL[c, 0, 0] - _ROOF[c, 0, 0]) * panel
            paint = torch.where(below, floor, roof)
            picture[:, c] = paint + (_AIR[c, 0, 0] - paint) * fade
        return picture


def _bricks(seed: int) -> Tensor:
    """The light of a wall, texels of a block, rows first."""
    v, u = np.mgrid[0:_TEXELS, 0:_TEXELS]
    course = v // 8
    shifted = (u + 8 * (course % 2)) % _TEXELS
    brick = 0.86 + 0.16 * draw(seed, "brick", course, shifted // 16)
    joint = (v % 8 == 7) | (shifted % 16 == 15)
    skirting = v >= _TEXELS - 3
    light = np.where(joint, 0.72, brick)
    return torch.from_numpy(np.where(skirting, 0.5, light)).float().flatten()


def _frame() -> Tensor:
    """Where a hung cloth covers a block's face."""
    v, u = np.mgrid[0:_TEXELS, 0:_TEXELS]
    return torch.from_numpy((v > 5) & (v < 20) & (u > 8) & (u < 23)).float().flatten()


def depth_of(caster: Caster, pose: Tensor, size: tuple[int, int]) -> Tensor:
    """The depth along the line of sight's axis of every pixel's middle, in blocks: t h w."""
    focus = FOCUS * min(size)
    across = (torch.arange(size[0], dtype=torch.float64) + 0.5 - size[0] / 2) / focus
    down = ((torch.arange(size[1]) + 0.5 - size[1] / 2) / focus).abs()[None, :, None]
    depth = caster.rays(pose, across)[0].float()[:, None]
    return torch.minimum(depth, (0.5 / down).clamp(max=math.inf))
