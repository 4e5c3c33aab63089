"""Prompts as bags of known words: what small worlds need, whose texts have a few dozen words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from longtake.keys import fingerprint

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Bag:
    """An `Encoder` whose row has a 1 for every known word of a prompt; other words are not heard."""

    words: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Of the words."""
        return fingerprint(["bag", *self.words])

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(p, words)."""
        import torch

        heard = [set(re.findall(r"[a-z]+", prompt.lower())) for prompt in prompts]
        return torch.tensor([[float(word in told) for word in self.words] for told in heard])
