"""Transformers that see all tokens at once, some of them hidden, and say what those may be.

Full attention (MaskGIT, Chang et al. 2022; MAGVIT, Yu et al. 2023), or through a bottleneck of a fixed
number of latents, whose cost grows linearly with tokens (MeBT, Yoo et al. 2023, section 3.2).
"""

from __future__ import annotations

import math

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
    """Tokens meet in a fixed number of latents alone: each block reads all tokens into them, mixes them,
    and writes back to all tokens.

    MeBT encodes the known tokens into latents and decodes the hidden ones out of them, which cost as
    much as they are many; here all tokens read and are written, so that hints and places of hidden
    tokens are seen as well. Time and memory grow as tokens x latents. MeBT's latents are anywhere, and
    have to learn first which tokens are whose; these stand on a grid over the clip, however long it
    is, and tokens count the less for them the farther they are, by slopes that are fixed, a head each
    (Press et al. 2022, ALiBi, here of squares of distance), so that a short training suffices.
    """

    def __init__(self, shape: TokenShape) -> None:
        super().__init__()
        self.shape = shape
        self.enter, self.leave = _Entry(shape), _Exit(shape)
        self.where = nn.Linear(shape.head, shape.width, bias=False)
        self.where.outer = True  # type: ignore[assignment]
        self.latents = nn.Parameter(torch.randn(math.prod(shape.latents), shape.width) * 0.5)
        self.read = nn.ModuleList(TokenBlock(shape) for _ in range(shape.blocks))
        self.mix = nn.ModuleList(TokenBlock(shape) for _ in range(shape.blocks))
        self.write = nn.ModuleList(TokenBlock(shape) for _ in range(shape.blocks))

    def forward(
        self, codes: Tensor, places: Tensor, states: Tensor, text: Tensor | None = None
    ) -> Tensor:
        """As `MaskedTransformer`."""
        places = places - places.amin(1, keepdim=True)
        stands, near = self._grid(places)
        turns, held = self.shape.turns(places), self.shape.turns(stands)
        x = self.enter(codes, states, text) + self.where(torch.cat([turns.cos(), turns.sin()], -1))
        z = self.latents.expand(len(x), -1, -1)
        for read, mix, write in zip(self.read, self.mix, self.write, strict=True):
            z = mix(read(z, held, turns, bias=near, source=x), held, held)
            x = write(x, turns, held, bias=near.mT, source=z)
        logits: Tensor = self.leave(x)
        return logits

    def _grid(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Places of the latents (b, m, axes) among tokens' (b, n, axes), and (b, heads, m, n): how much
        less than the nearest ones tokens count, in scores."""
        counts = self.shape.latents
        cell = (places.amax(1) + 1) / torch.tensor(counts, device=places.device)
        middles = (torch.arange(n, device=places.device) + 0.5 for n in counts)
        stands = torch.cartesian_prod(*middles) * cell[:, None] - 0.5
        apart = ((stands[:, :, None] - places[:, None]) / cell[:, None, None]).square().sum(-1)
        heads = self.shape.width // self.shape.head
        slopes = torch.logspace(-1, 2, heads, base=2, device=places.device)
        return stands, -slopes[:, None, None] * apart[:, None]


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
