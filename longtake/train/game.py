"""Losses that train parts of a module: who is trained by which, and by what gradients."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from longtake.errors import InputError
from longtake.train.shards import whole

Tools = Callable[[nn.Module, Sequence[nn.Parameter], float], list[torch.optim.Optimizer]]


def adversarial(
    module: nn.Module, params: Sequence[nn.Parameter], rate: float
) -> list[torch.optim.Optimizer]:
    """Adam without momentum, for players of a game (Karras et al. 2020, StyleGAN2, appendix B)."""
    return [torch.optim.Adam(params, lr=rate, betas=(0.0, 0.99))]


@dataclasses.dataclass(frozen=True)
class Player:
    """Weights that some of the losses train: `names`, or (None) all that train no other player."""

    names: frozenset[str] | None
    params: list[nn.Parameter]
    tools: list[torch.optim.Optimizer]

    def total(self, named: Mapping[str, Tensor], others: frozenset[str]) -> Tensor:
        """The sum of its losses' means."""
        mine = [
            loss.mean()
            for name, loss in named.items()
            if (name not in others if self.names is None else name in self.names)
        ]
        return torch.stack(mine).sum()

    def descend(self, grads: Sequence[Tensor | None], limit: float, rate: float) -> float:
        """One update at `rate` times each optimiser's own; none where the gradient is not finite.

        Returns the gradient's norm, which is cut at `limit`.
        """
        for p, grad in zip(self.params, grads, strict=True):
            p.grad = grad
        norm = float(whole(nn.utils.clip_grad_norm_(self.params, limit)))
        if math.isfinite(norm):
            for tool in self.tools:
                for group in tool.param_groups:
                    group["lr"] = group["peak"] * rate
                tool.step()
        for p in self.params:
            p.grad = None
        return norm


def players(
    module: nn.Module, parts: Mapping[str, nn.Module], tools: Tools, rate: float
) -> list[Player]:
    """One player for every part, and one for the weights in no part."""
    trained = [p for p in module.parameters() if p.requires_grad]
    owner: dict[int, nn.Module] = {}
    for name, part in parts.items():
        for p in part.parameters():
            if owner.setdefault(id(p), part) is not part:
                raise InputError(
                    "two parts share a weight", f"loss {name}", "parts without overlap"
                )
    if not {id(p) for p in module.parameters()} >= set(owner):
        raise InputError("a part is not of what is trained", "parts", "parts of the module")
    found = []
    for part in dict.fromkeys(parts.values()):
        names = frozenset(name for name, other in parts.items() if other is part)
        own = [p for p in trained if owner.get(id(p)) is part]
        found.append(Player(names, own, tools(module, own, rate) if own else []))
    rest = [p for p in trained if id(p) not in owner]
    if rest or not parts:
        found.append(Player(None, rest, tools(module, rest, rate)))
    for player in found:
        for tool in player.tools:
            for group in tool.param_groups:
                group["peak"] = group["lr"]
    return found


def gradients(
    team: Sequence[Player], named: Mapping[str, Tensor], others: frozenset[str], pieces: int
) -> list[Sequence[Tensor | None]]:
    """Of every player, all taken before any update: a later player's loss must not see new weights."""
    totals = [player.total(named, others) / pieces for player in team]
    return [
        torch.autograd.grad(
            total, player.params, retain_graph=player is not team[-1], allow_unused=True
        )
        for player, total in zip(team, totals, strict=True)
    ]


def add(summed: list[list[Tensor | None]], more: Sequence[Sequence[Tensor | None]]) -> None:
    """Gradients onto those of the step's earlier batches."""
    for row, grads in zip(summed, more, strict=True):
        for n, grad in enumerate(grads):
            before = row[n]
            if grad is not None:
                row[n] = grad if before is None else before + grad


def expect(parts: Mapping[str, nn.Module], named: Mapping[str, Tensor], team: list[Player]) -> None:
    """That every player has a loss, and every loss a player."""
    told = ", ".join(named)
    missing = [name for name in parts if name not in named]
    if missing:
        raise InputError(f"no loss '{missing[0]}'", "parts", told)
    others = [name for name in named if name not in parts]
    if bool(others) != (team[-1].names is None):
        what = f"loss '{others[0]}' trains no weight" if others else "weights that no loss trains"
        raise InputError(what, "parts", told)


@contextmanager
def settling(module: nn.Module) -> Iterator[list[Any]]:
    """The module's codebooks, which meanwhile wait for the end of a step (`VectorQuantiser.settle`)."""
    books: list[Any] = [part for part in module.modules() if hasattr(part, "settle")]
    for book in books:
        book.hold(True)
    try:
        yield books
    finally:
        for book in books:
            book.hold(False)
