"""Reading painted pictures back: which pixels have a tint, and where a disc of known size lies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

# Five hues far enough apart to be told from pixels after lossy coding too.
HUES = ("#dc3b36", "#efb810", "#2ba65c", "#2d6fe6", "#9147cf")


def tint_cover(frames: Tensor, tints: Sequence[Tensor]) -> Tensor:
    """The share of each pixel under each tint (3 1 1 each) over neutral grounds: t n h w."""
    picture = frames.float() / 255
    tint = picture - picture.mean(1, keepdim=True)
    pure = torch.stack([(c - c.mean())[:, 0, 0] for c in tints])
    lengths = pure.norm(dim=1)
    alike = torch.einsum("tchw,nc->tnhw", tint, pure / lengths[:, None])
    mine = torch.zeros_like(alike).scatter_(1, alike.argmax(1, keepdim=True), 1.0)
    cover: Tensor = (alike / lengths[:, None, None] * 1.1 - 0.1).clamp_(0, 1) * mine
    near: Tensor = max_pool2d(cover, 3, 1, 1) > 0.5
    return cover * near


def centre_of(cover: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The centre of mass of covers (... h w), on axes x (1 1 w) and y (1 h 1): ... 2."""
    mass = cover.sum((-2, -1)).clamp(min=1e-6)
    return torch.stack([(cover * x).sum((-2, -1)) / mass, (cover * y).sum((-2, -1)) / mass], -1)


def fit_disc(
    cover: Tensor, seen: Tensor, radius: float, x: Tensor, y: Tensor, scale: float
) -> Tensor:
    """Where a disc of known radius explains a cover (t h w) best, pixels not `seen` left out: t 2.

    Gauss-Newton on the squared difference, damped so that it stays where nothing is seen.
    """
    centre = centre_of(cover, x, y)
    for _ in range(6):
        dx, dy = x - centre[:, 0, None, None], y - centre[:, 1, None, None]
        far = (dx * dx + dy * dy).sqrt().clamp(min=1e-6)
        model = ((radius - far) * scale / 2 + 0.5).clamp(0, 1)
        band = ((model > 0) & (model < 1) & seen).float() * scale / 2
        gx, gy = band * dx / far, band * dy / far
        miss = cover - model
        a, b, c = (gx * gx).sum((1, 2)) + 1, (gx * gy).sum((1, 2)), (gy * gy).sum((1, 2)) + 1
        p, q = (gx * miss).sum((1, 2)), (gy * miss).sum((1, 2))
        move = torch.stack([c * p - b * q, a * q - b * p], -1) / (a * c - b * b)[:, None]
        centre = centre + move.clamp(-0.5 * radius, 0.5 * radius)
    return centre
