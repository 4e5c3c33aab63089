"""Which optimiser for which weights: Muon for hidden matrices, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from longtake.train.shards import like, whole


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal by five Newton-Schulz steps (Jordan et al. 2024).

    Filters count as matrices of (out, in * taps). An update is scaled to the size AdamW's would
    have, 0.2 sqrt(max(rows, columns)) (Liu et al. 2025), so that both share one learning rate.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                # a matrix in shards is made orthogonal whole, by every process
                ahead = whole(p.grad.lerp(state["momentum"], group["momentum"])).flatten(1)
                size = 0.2 * max(ahead.shape) ** 0.5
                p.add_(like(orthogonal(ahead).view(p.shape), p), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the nearest orthogonal matrix: singular values between about 0.7 and 1.2."""
    low, high = sorted(matrix.shape)
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    steps = _by_squares if high >= 3 * low else _by_products
    found = steps(x / (x.norm() + 1e-7))
    return (found.T if matrix.shape[0] > matrix.shape[1] else found).to(matrix.dtype)


def _by_products(x: Tensor) -> Tensor:
    """Five Newton-Schulz steps in half precision."""
    x = x.bfloat16()
    for _ in range(5):
        x = _factor(x @ x.T) @ x
    return x


def _by_squares(x: Tensor) -> Tensor:
    """The same steps on a wide matrix's square, which they share all factors with: two wide products
    instead of ten. Squares of squares need single precision."""
    square = x.float() @ x.float().T
    whole = factor = _factor(square)
    for _ in range(4):
        square = factor @ square @ factor
        factor = _factor(square)
        whole = factor @ whole
    return whole @ x.float()


def _factor(square: Tensor) -> Tensor:
    """What a Newton-Schulz step multiplies a matrix of this square by (Jordan et al. 2024)."""
    factor = torch.addmm(square, square, square, beta=-4.7750, alpha=2.0315)
    factor.diagonal().add_(3.4445)
    return factor


def optimisers(
    module: nn.Module, params: Sequence[nn.Parameter], rate: float
) -> list[torch.optim.Optimizer]:
    """Muon for hidden matrices and filters among `params`, AdamW for everything else.

    A layer that says `outer = True` (first and last layers, embeddings) goes to AdamW, so do
    depthwise filters.
    """
    outer = {id(p) for m in module.modules() if getattr(m, "outer", False) for p in m.parameters()}
    hidden = [p for p in params if p.ndim >= 2 and p.shape[1] > 1 and id(p) not in outer]
    chosen = {id(p) for p in hidden}
    others = [p for p in params if id(p) not in chosen]
    found: list[torch.optim.Optimizer] = []
    if hidden:
        found.append(Muon(hidden, lr=rate))
    if others:
        settings: Any = {"betas": (0.9, 0.98), "weight_decay": 0.0, "fused": True}
        found.append(torch.optim.AdamW(others, lr=rate, **settings))
    return found
