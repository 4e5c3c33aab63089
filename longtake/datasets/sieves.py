"""What a clip is worth: blurred, standing still, overlaid by a mark, or seen before."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from longtake.video import fit_frames

SIZE = (128, 72)  # width, height at which clips are judged
_ALIKE = 8  # bits of 64 by which hashes of one picture differ at most


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where a clip is let go. stillness and sharpness: the least; mark: the most."""

    stillness: float = 0.3
    sharpness: float = 2.0
    mark: float = 0.02


@dataclasses.dataclass(frozen=True)
class Marks:
    """What was measured: mean change from frame to frame (levels), sharpness (mean absolute Laplacian),
    share of the picture under edges that stand while the rest moves, and a perceptual hash.
    """

    motion: float
    sharpness: float
    mark: float
    hashes: tuple[int, ...]

    def why_not(self, limits: Limits) -> str:
        """Why a clip is let go, or nothing."""
        if self.motion < limits.stillness:
            return "static"
        if self.sharpness < limits.sharpness:
            return "blurred"
        return "watermark" if self.mark > limits.mark else ""


def judge(frames: Tensor) -> Marks:
    """frames: (t, 3, 72, 128) uint8, of the whole clip or spread over it."""
    grey = frames.float().mean(1)
    motion = (grey[1:] - grey[:-1]).abs().mean() if len(grey) > 1 else torch.zeros(())
    centre = grey[:, 1:-1, 1:-1]
    round_it = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    sharpness = (4 * centre - round_it).abs().mean()
    ends = [0, len(frames) // 2, len(frames) - 1]
    hashes = tuple(picture_hash(frames[n]) for n in ends)
    return Marks(float(motion), float(sharpness), _standing(grey), hashes)


def picture_hash(frame: Tensor) -> int:
    """64 bits that survive coding and scaling: signs of low DCT coefficients about their median (pHash,
    Zauner 2010). frame: (3, h, w) uint8.
    """
    grey = fit_frames(frame[None], (32, 32), "stretch")[0].double().mean(0)
    n = torch.arange(32, dtype=torch.float64)
    basis = torch.cos(torch.pi / 32 * (n[None] + 0.5) * n[:9, None])
    low = (basis @ grey @ basis.T)[1:, 1:].flatten()
    bits = (low > low.median()).tolist()
    return sum(1 << k for k, bit in enumerate(bits) if bit)


def alike(one: tuple[int, ...], two: tuple[int, ...]) -> bool:
    """Whether two clips show the same, frame by frame of those that were hashed."""
    return all((a ^ b).bit_count() <= _ALIKE for a, b in zip(one, two, strict=True))


def _standing(grey: Tensor) -> float:
    """The share of pixels whose edges stay while what surrounds them moves; 0 in a picture that stands.

    A mark's edges are as strong in the mean over time as in each frame; a moving scene's are washed
    out. Where little moves around a place nothing can be told.
    """
    across, down = grey[:, 1:, 1:] - grey[:, 1:, :-1], grey[:, 1:, 1:] - grey[:, :-1, 1:]
    usual = torch.stack([across.median(0).values, down.median(0).values]).norm(dim=0)
    varies = avg_pool2d(grey.std(0, correction=0)[None, None], 9, 1, 4)[0, 0, 1:, 1:]
    standing = (usual > 16) & (varies > 10)
    spread = torch.stack([across.std(0, correction=0), down.std(0, correction=0)]).norm(dim=0)
    return float((standing & (spread < 0.5 * usual)).float().mean())
