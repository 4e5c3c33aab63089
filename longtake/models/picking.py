"""From logits to codes: temperature, top-k, top-p, and the draw of one code with one number of chance."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from longtake.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Picking:
    """How codes are drawn, checked without torch so that a plan can refuse it.

    temperature: logits are divided by it; 0 takes the likeliest. top_k: only so many likeliest codes,
    0 for all (Fan et al. 2018). top_p: only the likeliest that together hold this share (nucleus
    sampling, Holtzman et al. 2020). guidance: on text, 1 for none (Gafni et al. 2022, section 3.4).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    guidance: float = 1.0

    def __post_init__(self) -> None:
        for name, value, fine, hint in (
            ("temperature", self.temperature, 0 <= self.temperature < math.inf, "temperature=1"),
            ("top_k", self.top_k, self.top_k >= 0, "top_k=100, 0 for all"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "top_p=0.95, 1 for all"),
            ("guidance", self.guidance, abs(self.guidance) < math.inf, "guidance=2, 1 for none"),
        ):
            if not fine:
                raise InputError(f"{name}={value}", "picking", hint)

    def chances(self, logits: Tensor) -> Tensor:
        """(..., codes) logits -> probabilities, summing to 1 in float64."""
        import torch

        logits = logits.double()
        if self.temperature == 0:
            best = logits.argmax(-1, keepdim=True)
            return torch.zeros_like(logits).scatter_(-1, best, 1.0)
        logits = logits / self.temperature
        if 0 < self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, -1).values[..., -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        found = logits.softmax(-1)
        if self.top_p < 1:
            ranked, order = found.sort(-1, descending=True)
            # A code stays while those likelier than it hold less than the share.
            beyond = ranked.cumsum(-1) - ranked >= self.top_p
            found = found.masked_fill(beyond.scatter(-1, order, beyond), 0.0)
            found = found / found.sum(-1, keepdim=True)
        return found


def pick(chances: Tensor, uniform: Tensor) -> Tensor:
    """(..., codes) probabilities and (...) numbers in [0, 1] -> (...) codes, by inverting the distribution."""
    import torch

    reached = chances.double().cumsum(-1)
    reached = reached / reached[..., -1:]
    below = uniform.double().clamp(max=1 - 1e-12)[..., None]
    return torch.searchsorted(reached, below, right=True)[..., 0]


def uniform(noise: Tensor) -> Tensor:
    """Standard normals to evenly distributed numbers in [0, 1]: how a frame's noise becomes chance."""
    import torch

    return torch.special.ndtr(noise.double())
