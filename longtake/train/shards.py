"""Weights in shards, one in each process: gradients, optimisers and averages too (FSDP2, `fully_shard`).

Zhao et al. 2023, "PyTorch FSDP"; the version of one tensor a weight that torch calls `fully_shard`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from longtake.errors import InputError


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be in shards; all processes must ask together."""
    found: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """A tensor, whole in all processes, sharded as `other` is where it has that one's shape."""
    if not hasattr(other, "full_tensor") or tensor.shape != other.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    found: Any = other
    return distribute_tensor(
        tensor.to(found.device), found.device_mesh, found.placements, src_data_rank=None
    )


class Shards:
    """A module whose weights lie in shards, and the gradients of a step's batches."""

    def __init__(self, module: nn.Module, layers: Sequence[nn.Module]) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        kind = next(module.parameters()).device.type
        mesh = init_device_mesh(kind, (torch.distributed.get_world_size(),))
        self.module, self._run = module, False
        for part in [*(layer for layer in layers if layer is not module), module]:
            sharded: Any = fully_shard(part, mesh=mesh)
            # Sums, not means: a step's batches are counted already. A weight that one process does not
            # use has a gradient of zero there. Each is said of one part alone.
            sharded.set_gradient_divide_factor(1.0)
            sharded.set_force_sum_reduction_for_comms(True)  # all that gloo can
            sharded.set_reduce_scatter_unused_params(True, recurse=False)
        module.register_forward_pre_hook(self._seen)

    def _seen(self, *_: Any) -> None:
        self._run = True

    def add(self, total: Tensor, last: bool) -> None:
        """The gradient of one more batch; exchanged after the step's last one."""
        if not self._run:
            what = f"losses that do not call {type(self.module).__name__} itself"
            raise InputError(what, "Compute", "sharded=False, or a module whose forward is called")
        sharded: Any = self.module
        sharded.set_requires_gradient_sync(last)
        total.backward()

    def taken(self, params: Sequence[nn.Parameter]) -> list[Tensor | None]:
        """The step's gradients, which then begin anew."""
        found = [p.grad for p in params]
        for p in params:
            p.grad = None
        return found
