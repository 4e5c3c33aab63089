"""Prompts are encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from longtake.controls import Encoder

if TYPE_CHECKING:
    from torch import Tensor

PROMPTS = 64  # that are remembered, the latest


class Remembering:
    """An encoder that encodes a prompt once, and each alone: company could change how sums round."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        """The encoder's own."""
        return self._encoder.fingerprint

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(len(prompts), d)."""
        import torch

        return torch.cat([self._row(prompt) for prompt in prompts])

    def _row(self, prompt: str) -> Tensor:
        row = self._known.get(prompt)
        if row is None:
            row = self._known[prompt] = self._encoder.encode([prompt])
            if len(self._known) > PROMPTS:
                self._known.popitem(last=False)
        self._known.move_to_end(prompt)
        return row
