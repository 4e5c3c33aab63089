"""A network that answers in half precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Halved(nn.Module):
    """Products of matrices in bfloat16, as `train.in_half` trains a network; its weights stay whole.

    Where a call holds many tokens it is up to twice as fast on processors that know bfloat16. Where
    tokens are asked for one by one, casting weights costs more than it saves.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.shape = net, net.shape

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        """What the network answers, in single precision."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            answer: Tensor = self.net(x, *others, **named)
        return answer.float()
