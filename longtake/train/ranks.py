"""Several processes that train one module: what they share, and what they must agree on.

Started by `torchrun --nproc-per-node N`, or any launcher that sets its variables. Gradients are summed
once a step, after all of a process's batches, so several processes take the step that one would.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from longtake.errors import InputError


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among `count`."""

    rank: int = 0
    count: int = 1

    @staticmethod
    def here() -> Ranks:
        """As the launcher's variables say; one process alone without them."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return Ranks()
        dist = torch.distributed
        if not dist.is_initialized():
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return Ranks(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this one writes files."""
        return self.rank == 0

    def share(self, pieces: int) -> range:
        """Which of a step's batches are this process's; InputError if they cannot be shared out."""
        if pieces % self.count:
            what = f"{pieces} batches a step for {self.count} processes"
            raise InputError(what, "Schedule", f"pieces={-(-pieces // self.count) * self.count}")
        return range(self.rank, pieces, self.count)

    def total(
        self, grads: Sequence[Tensor | None], params: Sequence[nn.Parameter]
    ) -> list[Tensor | None]:
        """Sums over all processes; a gradient that is missing counts as zero."""
        if self.count == 1:
            return list(grads)
        whole = [
            torch.zeros_like(p) if g is None else g for g, p in zip(grads, params, strict=True)
        ]
        if not whole:
            return []
        flat = torch.cat([g.float().flatten() for g in whole])
        torch.distributed.all_reduce(flat)
        parts = flat.split([g.numel() for g in whole])
        return [part.view_as(g).to(g) for part, g in zip(parts, whole, strict=True)]

    def sum(self, tensor: Tensor) -> Tensor:
        """Over all processes."""
        if self.count > 1:
            tensor = tensor.clone()
            torch.distributed.all_reduce(tensor)
        return tensor

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """Means over all processes."""
        if self.count == 1:
            return dict(values)
        row = self._row(list(values.values())) / self.count
        torch.distributed.all_reduce(row)
        return dict(zip(values, row.tolist(), strict=True))

    def agree(self, value: float) -> float:
        """The first process's value: clocks differ, and all must stop at one step."""
        if self.count == 1:
            return value
        row = self._row([value])
        torch.distributed.broadcast(row, 0)
        return float(row)

    def copy(self, tensors: Sequence[Tensor]) -> None:
        """The first process's values for all, in place."""
        if self.count > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), 0)

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            torch.distributed.barrier()

    def _row(self, values: Sequence[float]) -> Tensor:
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        return torch.tensor(values, dtype=torch.float64, device=device)
