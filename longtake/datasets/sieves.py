"""What a clip is worth: blurred, standing still, overlaid by a mark, or seen before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from longtake.video import fit_frames

SIZE = (128, 72)  # width, height at which clips are judged
_MOVED = 1.0  # pixels, about, by which what lies beside a mark moves
_SCENE, _OTHERS = 20, 12  # bits by which scenes differ; shots that a shot is compared with, at most
_ALIKE = 8  # bits of 64 by which hashes of one picture differ at most


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where a clip is let go. stillness and sharpness: the least; mark and overlay: the most."""

    stillness: float = 0.3
    sharpness: float = 2.0
    mark: float = 0.012
    overlay: float = 0.002


@dataclasses.dataclass(frozen=True)
class Marks:
    """What was measured: mean change from frame to frame (levels), sharpness (mean absolute Laplacian),
    share of the picture under edges that stand while the rest moves, perceptual hashes, the edges that stand,
    across and down (2, 71, 127), 0 elsewhere, and the share that stands in other scenes of the source too.
    """

    motion: float
    sharpness: float
    mark: float
    hashes: tuple[int, ...]
    stands: Tensor
    overlay: float = 0.0

    def why_not(self, limits: Limits) -> str:
        """Why a clip is let go, or nothing."""
        if self.motion < limits.stillness:
            return "static"
        if self.sharpness < limits.sharpness:
            return "blurred"
        marked = self.mark > limits.mark or self.overlay > limits.overlay
        return "watermark" if marked else ""


def judge(frames: Tensor) -> Marks:
    """frames: (t, 3, 72, 128) uint8, of the whole clip or spread over it."""
    grey = frames.float().mean(1)
    motion = (grey[1:] - grey[:-1]).abs().mean() if len(grey) > 1 else torch.zeros(())
    centre = grey[:, 1:-1, 1:-1]
    round_it = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    sharpness = (4 * centre - round_it).abs().mean()
    ends = [0, len(frames) // 2, len(frames) - 1]
    hashes = tuple(picture_hash(frames[n]) for n in ends)
    stands, moves = _standing(grey)
    mark = ((stands != 0).any(0) & moves).float().mean()
    return Marks(float(motion), float(sharpness), float(mark), hashes, stands.half())


def compared(shots: Sequence[Marks]) -> list[Marks]:
    """Shots of one source, each with what most shots of other scenes show at the same place.

    Where there are other scenes, what stands in one alone is its background and no mark.
    """
    found = []
    for shot in shots:
        others = [o for o in shots if (o.hashes[1] ^ shot.hashes[1]).bit_count() > _SCENE]
        others = others[:: -(-len(others) // _OTHERS) or 1]
        if others:
            shown = torch.stack([_same(shot.stands, other.stands) for other in others])
            most = (shown.float().mean(0) >= 0.75).float()
            shot = dataclasses.replace(shot, mark=0.0, overlay=float(most.mean()))
        found.append(shot)
    return found


def _same(one: Tensor, two: Tensor) -> Tensor:
    """Where two pictures have the same standing edges (2 h w): h w."""
    one, two = one.float(), two.float()
    strong, weak = torch.stack([one.norm(dim=0), two.norm(dim=0)]).sort(0, descending=True).values
    along: Tensor = (one * two).sum(0) > 0.9 * strong * weak
    return along & (weak > 0.5 * strong)


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


def _standing(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Edges that stay, across and down (2 h w; 0 elsewhere), and where what is beside them moves (h w).

    A mark's edges are as strong in the median over time as in each frame; a moving scene's are washed
    out. Beside them must change what moves a pixel or more, by its own edges: in the middle of a zoom
    or a turn edges stay too, and all near them nearly does.
    """
    across, down = grey[:, 1:, 1:] - grey[:, 1:, :-1], grey[:, 1:, 1:] - grey[:, :-1, 1:]
    median = torch.stack([across.median(0).values, down.median(0).values])
    usual = median.norm(dim=0)
    spread = torch.stack([across.std(0, correction=0), down.std(0, correction=0)]).norm(dim=0)
    standing = (usual > 16) & (spread < 0.5 * usual) & _within(grey)
    changes = grey.std(0, correction=0)[1:, 1:]
    edges = (across.square() + down.square()).sqrt().mean(0) + 0.3
    beside = 1 - max_pool2d(standing.float()[None, None], 3, 1, 1)
    near = [
        avg_pool2d(beside * part, 11, 1, 5)[0, 0]
        for part in (changes, edges, torch.ones_like(changes))
    ]
    moves = (near[0] > _MOVED * near[1]) & (near[2] > 0.1)
    return median * standing, moves


def _within(grey: Tensor) -> Tensor:
    """Where a picture is, bars of black about it and their rims left out: h - 1, w - 1."""
    lit = grey.amax(0) > 24
    within = torch.ones_like(lit)
    for side in (lit.any(1), lit.any(0)):
        place = side.nonzero()[:, 0].tolist() or [0]
        if place[0] > 0:
            within[: place[0] + 2] = False
        if place[-1] < len(side) - 1:
            within[max(place[-1] - 2, 0) :] = False
        within = within.T
    return within[1:, 1:]
