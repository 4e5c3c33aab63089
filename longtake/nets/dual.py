"""A transformer of pictures' tokens, frozen, beside attention to other frames: dual-channel mixing.

After CogVideo (Hong et al. 2023, section 3.2): in every block x + a base(x) + (1 - a) new(x), a learned
for every number of the width. What the net knew of pictures stays; only the new channel and a learn.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.gpt import GPT
from longtake.nets.quantise import straight_through
from longtake.nets.tokens import Memory, PlacedAttention, TokenBlock


class DualBlock(nn.Module):
    """A block whose attention has a second channel, which begins as the first one's copy.

    alpha begins at 1, where the block is the one it is made of, and is held to [0, 1]; its gradient
    passes these bounds, so that a number which was pushed against one comes back.
    """

    def __init__(self, base: TokenBlock) -> None:
        super().__init__()
        self.base = base
        self.new: PlacedAttention = copy.deepcopy(base.attention)
        self.alpha = nn.Parameter(torch.ones(self.new.q.in_features))

    def forward(
        self,
        x: Tensor,
        asked: Tensor,
        held: Tensor,
        own: Tensor,
        seen: Tensor,
        memory: tuple[Memory, int] | None = None,
    ) -> Tensor:
        """As `TokenBlock`; own (n, m): what the frozen channel may look at, seen (n, m): the new one."""
        y = F.rms_norm(x, x.shape[-1:])
        found = []
        for channel, (attention, mask) in enumerate(((self.base.attention, own), (self.new, seen))):
            k, v = attention.keys(y, held)
            if memory is not None:
                kept, block = memory
                k, v = kept.extend(2 * block + channel, k, v)
            found.append(attention.mix(attention.queries(y, asked), k, v, mask, None))
        alpha = straight_through(self.alpha, self.alpha.clamp(0, 1)).to(x.dtype)
        x = x + alpha * found[0] + (1 - alpha) * found[1]
        return x + self.base.mixer(F.rms_norm(x, x.shape[-1:]))


class DualGPT(nn.Module):
    """A `GPT` of single frames whose blocks also look at other frames; at first it is that GPT.

    The GPT's weights are taken over, not copied. One that adds a bias to attention is refused
    (ValueError): a bias of places within a frame says nothing across frames.
    """

    def __init__(self, pictures: GPT) -> None:
        super().__init__()
        if pictures.bias is not None:
            raise ValueError("a GPT with a bias; try GPT(shape)")
        self.shape = pictures.shape
        self.embed, self.text, self.leave = pictures.embed, pictures.text, pictures.leave
        self.blocks = nn.ModuleList(DualBlock(block) for block in pictures.blocks)  # type: ignore[arg-type]

    @property
    def begin(self) -> int:
        """The token that begins a frame."""
        return self.shape.codes

    def memory(self) -> Memory:
        """An empty cache, of both channels."""
        return Memory(2 * self.shape.blocks)

    def freeze_pictures(self) -> None:
        """Only the new channels and their shares learn from now on."""
        self.requires_grad_(False)
        for block in self.blocks:
            block.new.requires_grad_(True)  # type: ignore[union-attr]
            block.alpha.requires_grad_(True)  # type: ignore[union-attr]

    def forward(
        self,
        codes: Tensor,
        held: Tensor,
        asked: Tensor,
        own: Tensor,
        seen: Tensor,
        text: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """codes (b, n) at places `held` (b, n, axes), asking about places `asked`, text (b, n, d) of these
        -> logits (b, n, codes).

        own, seen (n, m): True where the frozen and the new channel may look, m counting what the memory
        has read before; every position sees itself in both.
        """
        x = self.embed(codes)
        if self.text is not None and text is not None:
            x = x + self.text(text)
        ask, hold = self.shape.turns(asked), self.shape.turns(held)
        for number, block in enumerate(self.blocks):
            x = block(x, ask, hold, own, seen, None if memory is None else (memory, number))
        logits: Tensor = self.leave(F.rms_norm(x, x.shape[-1:]))
        return logits.float()
