"""Transformers that see all tokens at once, some of them hidden, and say what those may be.

Full attention (MaskGIT, Chang et al. 2022; MAGVIT, Yu et al. 2023), or through a bottleneck of a fixed
number of latents, whose cost grows linearly with tokens (MeBT, Yoo et al. 2023, section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.tokens import TokenBlock, TokenShape

HIDDEN, HINT, KNOWN = 0, 1, 2  # what a position's code is: absent, perhaps right, right


class _Entry(nn.Module):
    """Tokens as vectors: their code unless hidden, what is known of it, and the frame's text."""

    def __init__(self, shape: TokenShape) -> None:
        super().__init__()
        self.codes = nn.Embedding(shape.codes, shape.width)
        self.states = nn.Embedding(3, shape.width)
        self.text = nn.Linear(shape.text, shape.width, bias=False) if shape.text else None
        self.outer = True
        for table in (self.codes, self.states):
            nn.init.normal_(table.weight, std=0.5)

    def forward(self, codes: Tensor, states: Tensor, text: Tensor | None) -> Tensor:
        x = self.states(states) + self.codes(codes) * (states != HIDDEN)[..., None]
        return x if self.text is None or text is None else x + self.text(text)


class _Exit(nn.Linear):
    """Normalised vectors to logits; zero at first."""

    def __init__(self, shape: TokenShape) -> None:
        super().__init__(shape.width, shape.codes)
        self.outer = True
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.rms_norm(x, x.shape[-1:])).float()


class MaskedTransformer(nn.Module):
    """Every token looks at every token."""

    def __init__(self, shape: TokenShape) -> None:
        super().__init__()
        self.shape = shape
        self.enter, self.leave = _Entry(shape), _Exit(shape)
        self.blocks = nn.ModuleList(TokenBlock(shape) for _ in range(shape.blocks))

    def forward(
        self, codes: Tensor, places: Tensor, states: Tensor, text: Tensor | None = None
    ) -> Tensor:
        """codes (b, n), places (b, n, axes), states (b, n) of HIDDEN, HINT, KNOWN, text (b, n, d)
        -> logits (b, n, codes)."""
        x = self.enter(codes, states, text)
        turns = self.shape.turns(places)
        for block in self.blocks:
            x = block(x, turns, turns)
        logits: Tensor = self.leave(x)
        return logits


class BottleneckTransformer(nn.Module):
    """Tokens meet in `latents` vectors alone: each block reads all tokens into them, mixes them, and
    writes back to all tokens.

    MeBT encodes the known tokens into latents and decodes the hidden ones out of them, which cost as
    much as they are many; here all tokens read and are written, so that hints and places of hidden
    tokens are seen as well. Time and memory grow as tokens x latents. Latents are nowhere, so tokens
    say where they are: as waves of their place, counted from the first of the clip.
    """

    def __init__(self, shape: TokenShape) -> None:
        super().__init__()
        self.shape = shape
        self.enter, self.leave = _Entry(shape), _Exit(shape)
        self.where = nn.Linear(shape.head, shape.width, bias=False)
        self.where.outer = True  # type: ignore[assignment]
        self.latents = nn.Parameter(torch.randn(shape.latents, shape.width) * 0.5)
        self.read = nn.ModuleList(TokenBlock(shape) for _ in range(shape.blocks))
        self.mix = nn.ModuleList(TokenBlock(shape) for _ in range(shape.blocks))
        self.write = nn.ModuleList(TokenBlock(shape) for _ in range(shape.blocks))

    def forward(
        self, codes: Tensor, places: Tensor, states: Tensor, text: Tensor | None = None
    ) -> Tensor:
        """As `MaskedTransformer`."""
        turns = self.shape.turns(places - places.amin(1, keepdim=True))
        x = self.enter(codes, states, text) + self.where(torch.cat([turns.cos(), turns.sin()], -1))
        z = self.latents.expand(len(x), -1, -1)
        for read, mix, write in zip(self.read, self.mix, self.write, strict=True):
            z = mix(read(z, None, None, source=x), None, None)
            x = write(x, None, None, source=z)
        logits: Tensor = self.leave(x)
        return logits


class TokenCritic(nn.Module):
    """Says of every token of a clip how likely it is one of the data, given all others (Lezama et al. 2022)."""

    def __init__(self, shape: TokenShape) -> None:
        super().__init__()
        self.shape = shape
        self.enter = _Entry(shape)
        self.blocks = nn.ModuleList(TokenBlock(shape) for _ in range(shape.blocks))
        self.leave = nn.Linear(shape.width, 1)
        self.leave.outer = True  # type: ignore[assignment]
        nn.init.zeros_(self.leave.weight)

    def forward(
        self, codes: Tensor, places: Tensor, states: Tensor, text: Tensor | None = None
    ) -> Tensor:
        """As `MaskedTransformer`, KNOWN being what is observed, HINT what is judged -> logits (b, n)."""
        x = self.enter(codes, states, text)
        turns = self.shape.turns(places)
        for block in self.blocks:
            x = block(x, turns, turns)
        logits: Tensor = self.leave(F.rms_norm(x, x.shape[-1:]))[..., 0]
        return logits.float()
