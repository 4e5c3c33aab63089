"""Small made-up clips for miniatures of datasets: discs that move over a textured ground, really encoded."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from longtake.video import VideoWriter, write_image
from longtake.video.plain import write_avi


def moving(seed: int, frames: int, size: tuple[int, int]) -> Tensor:
    """A clip of its own for every seed: (t, 3, h, w) uint8."""
    dice = np.random.default_rng([2024, seed])
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    ground, tilt = dice.uniform(40, 120, 3), dice.uniform(-40, 40, (2, 3))
    base = ground + (x / width)[..., None] * tilt[0] + (y / height)[..., None] * tilt[1]
    base += 12 * np.sin(x / dice.uniform(2, 6) + y / dice.uniform(2, 6))[..., None]
    clip = np.broadcast_to(base, (frames, height, width, 3)).copy()
    for _ in range(3):
        place, speed = dice.uniform(0.2, 0.8, 2), dice.uniform(-0.03, 0.03, 2)
        radius, colour = dice.uniform(0.1, 0.25) * height, dice.uniform(60, 255, 3)
        for n in range(frames):
            cx, cy = (1 - np.abs(1 - (place + n * speed) % 2)) * (width, height)
            cover = np.clip(radius - np.hypot(x - cx, y - cy) + 0.5, 0, 1)[..., None]
            clip[n] = clip[n] * (1 - cover) + colour * cover
    return torch.from_numpy(clip.clip(0, 255).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()


def grey(clip: Tensor) -> Tensor:
    """The same in shades of grey."""
    return clip.float().mean(1, keepdim=True).round().byte().expand_as(clip).contiguous()


def write_clip(path: Path, clip: Tensor, fps: Fraction | int) -> None:
    """A clip as the suffix says: `.avi` MPEG-4, others as `VideoWriter` has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".avi":
        write_avi(path, clip, fps)
        return
    with VideoWriter(path, size=(clip.shape[-1], clip.shape[-2]), fps=Fraction(fps)) as writer:
        writer.write(clip)


def write_pictures(paths: Sequence[Path], clip: Tensor) -> None:
    """Every frame a picture."""
    for path, frame in zip(paths, clip, strict=True):
        write_image(frame, path)


def write_text(path: Path, lines: Sequence[str]) -> None:
    """A list, a line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
