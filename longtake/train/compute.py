"""How a step is computed: layers computed again for the backward pass, compiled, weights in shards.

None of it changes what is learned.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from longtake.errors import InputError
from longtake.train.ranks import Ranks
from longtake.train.shards import Shards

SHAPES = 64  # kernels of one layer: one for every shape of its input

Forward = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Compute:
    """Options of `fit`, by `layers`.

    recomputed: activation checkpointing (Chen et al. 2016): of a layer its input alone is kept for the
    backward pass, which computes it once more; same values, to the bit. compiled: a backend of
    `torch.compile`, such as "inductor", which wants a C++ compiler on a CPU; values to rounding, and
    no gradients of gradients, as R1 takes of a critic. sharded: of several processes each keeps a
    share of weights, gradients, optimisers and averages (`Shards`); one process keeps them all.
    """

    recomputed: bool = False
    compiled: str = ""
    sharded: bool = False

    def shards(self, module: nn.Module, ranks: Ranks) -> Shards | None:
        """The module's weights laid out, before its optimisers are made."""
        return Shards(module, layers(module)) if self.sharded and ranks.count > 1 else None

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Its layers computed so wherever gradients are taken; afterwards as they were."""
        changed = layers(module) if self.recomputed or self.compiled else []
        for layer in changed:
            layer.forward = self._forward(layer)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for layer in changed:
                del layer.forward

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around losses and gradients: a compiled layer's backward pass may be walked by several players."""
        with contextlib.ExitStack() as stack:
            if self.compiled:
                import torch._functorch.config as functorch

                stack.enter_context(functorch.patch(donated_buffer=False))
            try:
                yield
            except RuntimeError as error:
                if "double backward" not in str(error):
                    raise
                what = "gradients of gradients through compiled layers"
                raise InputError(what, "Compute", "compiled='' for such losses") from error

    def _forward(self, layer: nn.Module) -> Forward:
        plain = quick = layer.forward
        if self.compiled:
            # Each shape has a kernel of its own: by shapes seen before, a resumed training would round
            # otherwise.
            quick = torch.compile(
                plain, dynamic=False, backend=self.compiled, recompile_limit=SHAPES
            )
        if self.recomputed and not list(_kept(layer)):
            quick = _recomputed(quick)

        def forward(*args: Any, **more: Any) -> Any:
            return (quick if torch.is_grad_enabled() else plain)(*args, **more)

        return forward


def layers(module: nn.Module) -> list[nn.Module]:
    """Repeated layers: the outermost entries of lists and sequences that are made of layers themselves.

    The module itself if it has none.
    """
    found: list[nn.Module] = []

    def look(part: nn.Module, listed: bool) -> None:
        inner = list(part.children())
        bare = isinstance(part, (nn.ModuleList, nn.ModuleDict))  # never called itself
        if listed and inner and not bare:
            found.append(part)
            return
        for child in inner:
            look(child, bare or isinstance(part, nn.Sequential))

    look(module, False)
    return list(dict.fromkeys(found)) or [module]


def _recomputed(forward: Forward) -> Forward:
    def again(*args: Any, **more: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, **more)

    return again


def _kept(layer: nn.Module) -> Iterator[str]:
    """What a layer saves beside its weights: computed twice, a codebook would take two steps."""
    saved = layer.state_dict().keys()
    return (name for name, _ in layer.named_buffers() if name in saved)
