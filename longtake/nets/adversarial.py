"""Losses of the two players of a game, from a critic's scores; each per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

Game = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # scores of real, of made -> both losses


def non_saturating(real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """(b,) scores -> the generator's and the critic's losses (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-made), F.softplus(made) + F.softplus(-real)


def hinge(real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """(b,) scores -> the generator's and the critic's losses (Lim and Ye 2017; Miyato et al. 2018, eq. 16-17)."""
    return -made, F.relu(1 + made) + F.relu(1 - real)


def relativistic(real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """(b,) scores -> the generator's and the critic's losses: of pairs, which of both is the more real one
    (Jolicoeur-Martineau 2019; with both gradients held, Huang et al. 2024, R3GAN, equation 4).
    """
    return F.softplus(real - made), F.softplus(made - real)


GAMES: Mapping[str, Game] = {
    "non-saturating": non_saturating,
    "hinge": hinge,
    "relativistic": relativistic,
}


def steepness(scores: Tensor, frames: Tensor) -> Tensor:
    """|d score / d frames|^2 of every sample, (b,): R1 of real frames, R2 of made (Mescheder et al. 2018, eq. 9-10)."""
    (grad,) = torch.autograd.grad(scores.sum(), frames, create_graph=True)
    return grad.square().flatten(1).sum(1)
