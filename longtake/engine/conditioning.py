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
        self._known: OrderedDict[tuple[str, bool], Tensor] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        """The encoder's own."""
        return self._encoder.fingerprint

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(len(prompts), d)."""
        return self._rows(prompts, beside=False)

    def beside(self, prompts: Sequence[str]) -> Tensor:
        """The same beside a picture, as the encoder itself hears it."""
        return self._rows(prompts, beside=True)

    def _rows(self, prompts: Sequence[str], beside: bool) -> Tensor:
        import torch

        return torch.cat([self._row(prompt, beside) for prompt in prompts])

    def _row(self, prompt: str, beside: bool) -> Tensor:
        asked = (prompt, beside)
        row = self._known.get(asked)
        if row is None:
            encode = self._encoder.encode
            encode = getattr(self._encoder, "beside", encode) if beside else encode
            row = self._known[asked] = encode([prompt])
            if len(self._known) > PROMPTS:
                self._known.popitem(last=False)
        self._known.move_to_end(asked)
        return row
