"""Does a place look the same when the camera comes back to it? Where poses are known."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from longtake.errors import InputError
from longtake.metrics.fidelity import MOST as DECIBELS
from longtake.metrics.film import Stretch
from longtake.metrics.scores import Score

LINES = 64  # of the pictures that are kept
MOST = 1024  # of them
AWAY = 2.0  # seconds between two visits
NEAR = 0.1  # of a length and of a radian: poses this near are one place


class LoopClosure:
    """The mean PSNR between the nearest of two visits to a place (Ren and Wang 2022), in dB.

    poses: (frames, k), lengths first and, where `turns`, an angle in radians last. Every frame counts
    once, with the earlier one whose pose is nearest, at least two seconds before and within a tenth
    of a length and of a radian. `chance` in the detail is the same for frames and others drawn
    blindly: what a film gets that remembers nothing.
    """

    def __init__(self, poses: Tensor, *, turns: bool = True) -> None:
        if poses.ndim != 2 or not bool(poses.isfinite().all()):
            what = f"poses of shape {tuple(poses.shape)}, or not finite"
            raise InputError(what, "loop-closure", "(frames, k)")
        self.poses, self.turns = poses.double(), turns
        self._step, self._fps, self._frames = max(1, -(-len(poses) // MOST)), 1.0, 0
        self._kept: list[Tensor] = []

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        for place, frame in enumerate(stretch.frames):
            if (stretch.first + place) % self._step == 0:
                self._kept.append(_small(frame))
        self._frames = stretch.first + len(stretch.frames)
        if self._frames > len(self.poses):
            what = f"{self._frames} frames or more and {len(self.poses)} poses"
            raise InputError(what, "loop-closure", "a pose for every frame")

    def score(self) -> Score:
        if self._frames != len(self.poses):
            what = f"{self._frames} frames and {len(self.poses)} poses"
            raise InputError(what, "loop-closure", "a pose for every frame")
        poses = self.poses[:: self._step]
        apart = _apart(poses, self.turns)
        after = torch.arange(len(poses))[:, None] - torch.arange(len(poses)) < (
            AWAY * self._fps / self._step
        )
        nearest, places = apart.masked_fill(after, math.inf).min(1)
        back = torch.nonzero(nearest <= NEAR)[:, 0].tolist()
        if not back:
            raise InputError("the camera never comes back", "loop-closure", "a longer film")
        dice = torch.Generator().manual_seed(0)
        blind = torch.randint(len(poses), (len(back),), generator=dice).tolist()
        found = [self._alike(n, int(places[n])) for n in back]
        chance = [self._alike(n, m) for n, m in zip(back, blind, strict=True) if n != m]
        worst = min(range(len(found)), key=found.__getitem__)
        detail = {
            "visits": len(back),
            "chance": sum(chance) / len(chance) if chance else None,
            "worst": found[worst],
            "worst_at": back[worst] * self._step / self._fps,
        }
        return Score(sum(found) / len(found), "loop-closure-psnr-v1", "high", detail=detail)

    def _alike(self, a: int, b: int) -> float:
        error = float((self._kept[a].float() - self._kept[b].float()).square().mean())
        return min(DECIBELS, 10 * math.log10(255**2 / error)) if error else DECIBELS


def _small(frame: Tensor) -> Tensor:
    """At most 64 lines, uint8."""
    height, width = frame.shape[-2:]
    if height <= LINES:
        return frame.round().byte() if frame.is_floating_point() else frame.clone()
    size = (LINES, max(1, round(width * LINES / height)))
    small = interpolate(frame[None].float(), size, mode="bilinear", antialias=True)[0]
    return small.round().clamp(0, 255).byte()


def _apart(poses: Tensor, turns: bool) -> Tensor:
    """The larger of the distance in place and the angle between (n, n)."""
    place = poses[:, :-1] if turns else poses
    apart = torch.cdist(place, place)
    if not turns:
        return apart
    angle = poses[:, None, -1] - poses[None, :, -1]
    turned = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
    return torch.maximum(apart, turned.abs())
