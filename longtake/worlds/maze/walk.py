"""The walk: painted, its pose found again in pixels, and judged."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from longtake.errors import InputError
from longtake.worlds.laws import Violation, marked, steps
from longtake.worlds.maze.cast import Caster, depth_of
from longtake.worlds.maze.plan import STEP, STRIDE, Plan, passage
from longtake.worlds.painting import Painted

_SPEED = 1.5 * STEP / STRIDE  # blocks a second, where a dead end is entered
_SPIN = 1.5 * math.pi / (0.8 * STRIDE)  # radians a second, in a dead end
_LOOK = 32  # pixels of a picture's short side as it is searched for
_BEST = 4  # places that are looked at closer
_READING = 0.10  # blocks, and radians, that a pose read back may be off
_OTHER = 0.05  # mean difference from the place found, of 1, that no reading error makes
_ASIDE = 0.18  # blocks beside the walk
_SIDEWAYS = 0.05  # blocks across the heading in one frame; a lawful walk at 4 frames a second: 0.03


class Maze(Painted):
    """A walk through a textured maze, first person: exact pose and depth, every place revisited.

    cells: a side of the map, 3 to 15. After the mazes of GQN (Eslami et al., Science 2018).
    """

    name = "maze"
    LAWS: ClassVar[Mapping[str, str]] = {
        "teleport": "the camera moves farther than its greatest speed allows",
        "spin": "the camera turns faster than it can",
        "off-path": "the camera is beside the walk, or in a wall",
        "identity": "what is seen is not this maze: a place looks other than it is",
    }

    def __init__(
        self,
        *,
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
        fps: float = 10.0,
        cells: int = 6,
    ) -> None:
        super().__init__(seed=seed, size=size, fps=fps)
        if not 3 <= cells <= 15:
            raise InputError(f"{cells} cells a side", self.name, "3 to 15")
        self.plan = Plan(seed, cells)
        self._caster = Caster(seed, self.plan.walls)

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame; lengths in blocks, a corridor's width.

        `pose` (t 3): x, y, and yaw in radians from right to down; `action` (t 2): speed ahead and
        rate of turn; `cell` (t 2) and `visits` (t), the times it was entered before; `depth`
        (t h w), along the axis of sight.
        """
        times = self.seconds(indices).tolist()
        pose = torch.tensor([self.plan.pose(s) for s in times], dtype=torch.float64)
        soon = torch.tensor([self.plan.pose(s + 1e-4) for s in times], dtype=torch.float64)
        moved = (soon[:, :2] - pose[:, :2]).norm(dim=1) / 1e-4
        turned = _wrapped(soon[:, 2] - pose[:, 2]) / 1e-4
        seen = [self.plan.visit(s) for s in times]
        looking = torch.stack([torch.cos(pose[:, 2]), torch.sin(pose[:, 2])], 1)
        ahead = ((soon[:, :2] - pose[:, :2]) * looking).sum(1).sign()
        return {
            "pose": pose.float(),
            "action": torch.stack([moved * ahead, turned], 1).float(),
            "cell": torch.tensor([cell for cell, _ in seen]),
            "visits": torch.tensor([count for _, count in seen]),
            "depth": depth_of(self._caster, pose.float().double(), self.size),
        }

    def render(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`: uint8, t 3 h w; a frame alone has its bytes of a run."""
        pose = [self.plan.pose(s) for s in self.seconds(indices).tolist()]
        return self.paint({"pose": torch.tensor(pose, dtype=torch.float64).float()})

    def compose(self, truth: Mapping[str, Tensor]) -> Tensor:
        """The picture of a few frames in 0..1: t 3 h w."""
        return self._caster.see(truth["pose"].double(), self.size)

    def read(self, frames: Tensor) -> dict[str, Tensor]:
        """`pose` (t 3) in this maze, and `miss` (t), the mean difference of what is seen from there.

        The nearest of many pictures taken along the walk, then least squares on small pictures.
        """
        seen = interpolate(frames.float() / 255, size=self._small[::-1], mode="area")
        poses, pictures = self._album
        near = torch.cdist(_tiny(seen), pictures).topk(_BEST, largest=False).indices
        tries = [self._closer(poses[near[:, k]], seen, 3, 1, 0.06) for k in range(_BEST)]
        best = torch.stack([miss for _, miss in tries]).argmin(0)
        pose = torch.stack([pose for pose, _ in tries])[best, torch.arange(len(frames))]
        pose, miss = self._closer(pose, seen, 4, 2, 0.03)
        for shift in (1, -1):  # where the frames beside it were found may be nearer yet
            other, far = self._closer(pose.roll(shift, 0), seen, 4, 2, 0.03)
            pose = torch.where((far < miss)[:, None], other, pose)
            miss = torch.minimum(far, miss)
        pose, miss = self._closer(pose, seen, 5, 4, 0.012)
        return {"pose": pose.float(), "miss": miss}

    def _closer(
        self, pose: Tensor, seen: Tensor, turns: int, finer: int, nudge: float
    ) -> tuple[Tensor, Tensor]:
        """Levenberg-Marquardt from poses (t 3) towards small pictures; the mean difference too."""
        here = self._caster.see(pose, self._small, finer)
        least = (seen - here).flatten(1).abs().mean(1)
        damping = torch.full((len(pose),), 0.01)
        for _ in range(turns):
            slopes = []
            for axis, part in enumerate((nudge, nudge, nudge / 2)):
                there = pose.clone()
                there[:, axis] += part
                slopes.append(
                    (self._caster.see(there, self._small, finer) - here).flatten(1) / part
                )
            slope = torch.stack(slopes, -1)
            normal = slope.mT @ slope
            held = normal.diagonal(dim1=1, dim2=2) * damping[:, None] + 1e-3
            pull = slope.mT @ (seen - here).flatten(1)[..., None]
            move = torch.linalg.solve(normal + torch.diag_embed(held), pull)[..., 0]
            tried = pose + move.double().clamp(-0.3, 0.3)
            view = self._caster.see(tried, self._small, finer)
            miss = (seen - view).flatten(1).abs().mean(1)
            better = miss < least
            pose = torch.where(better[:, None], tried, pose)
            here = torch.where(better[:, None, None, None], view, here)
            least = torch.where(better, miss, least)
            damping = torch.where(better, damping / 4, damping * 8)
        return pose, least

    @functools.cached_property
    def _small(self) -> tuple[int, int]:
        return (
            round(_LOOK * self.extent[0]),
            round(_LOOK * self.extent[1]),
        )

    @functools.cached_property
    def _walked(self) -> Tensor:
        """Poses along every way through every cell: n 3, float64."""
        poses = []
        for cell, ways in self.plan.ways.items():
            for before, after in itertools.product(ways, ways):
                if before == after and len(ways) > 1:
                    continue
                # In a dead end the camera turns about: there it takes more pictures.
                count, end = (64, 2) if before == after else (16, 1)
                poses += [passage(cell, before, after, end * k / count) for k in range(count + 1)]
        return torch.tensor(poses, dtype=torch.float64)

    @functools.cached_property
    def _album(self) -> tuple[Tensor, Tensor]:
        """Poses on the walk and some off it (n 3, float64), and tiny pictures from there (n d)."""
        poses, some = [self._walked], self._walked[::4]
        for k in range(1, 8):
            poses.append(some + torch.tensor([0.0, 0.0, k * math.pi / 4]))
        for side in (-0.32, 0.32):
            aside = torch.stack([-some[:, 2].sin(), some[:, 2].cos(), 0 * some[:, 2]], 1)
            poses.append(some + side * aside)
        table = torch.cat(poses)
        pictures = [
            _tiny(self._caster.see(table[n : n + 64], self._small, finer=2))
            for n in range(0, len(table), 64)
        ]
        return table, torch.cat(pictures)

    def judge(self, state: Mapping[str, Tensor]) -> list[Violation]:
        """The laws that a read course of states breaks."""
        pose, miss = state["pose"], state["miss"]
        strange = miss > _OTHER
        found = marked("identity", strange, "what is seen is not this maze")
        known = ~strange & ~torch.cat([strange[:1], strange[:-1]])
        far = steps(pose[:, :2]).norm(dim=1) > _SPEED / self.fps + 2 * _READING
        found += marked("teleport", far & known, "the camera jumped")
        turned = _wrapped(steps(pose[:, 2])).abs() > _SPIN / self.fps + 2 * _READING
        found += marked("spin", turned & known & ~far, "the camera spun round")
        off = (self._aside(pose[:, :2]) > _ASIDE + _READING) & ~strange
        slid = (across(pose) > _SIDEWAYS + 2 * _READING) & known & ~far & ~off
        found += marked("off-path", slid, "the camera slid sideways")
        return found + marked("off-path", off, "the camera is beside the walk")

    def _aside(self, place: Tensor) -> Tensor:
        """How far places (t 2) are from the walk, in blocks: t."""
        ways = self._walked[:, :2].float()
        return torch.cdist(place, ways).amin(1)


def across(pose: Tensor) -> Tensor:
    """How far poses (t 3) moved at right angles to where they headed, in blocks; 0 for the first: t."""
    moved = steps(pose[:, :2])
    heading = pose[:, 2] - _wrapped(steps(pose[:, 2])) / 2
    return (moved[:, 1] * heading.cos() - moved[:, 0] * heading.sin()).abs()


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def _tiny(pictures: Tensor) -> Tensor:
    """Pictures of about twelve pixels a side as rows of numbers: n d."""
    shape = [max(8, side * 2 // 5) for side in pictures.shape[-2:]]
    return interpolate(pictures, size=shape, mode="area").flatten(1)
