"""A transformer that reads tokens one after another and says what the next one may be.

Spatial and temporal autoregression in one sequence (Graves 2013; VideoGPT, Yan et al. 2021; TATS,
Ge et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.tokens import Memory, TokenBlock, TokenShape, causal

Bias = Callable[[Tensor, Tensor], Tensor]  # places asked and held -> (b, heads, n, m)


class GPT(nn.Module):
    """Logits of the token asked for at every position.

    bias: of attention, from places, such as `RelativeBias`. The token `codes` is the one that
    begins a sequence.
    """

    def __init__(self, shape: TokenShape, bias: Bias | None = None) -> None:
        super().__init__()
        self.shape, self.bias = shape, bias
        self.embed = nn.Embedding(shape.codes + 1, shape.width)
        self.text = nn.Linear(shape.text, shape.width, bias=False) if shape.text else None
        self.blocks = nn.ModuleList(TokenBlock(shape) for _ in range(shape.blocks))
        self.leave = nn.Linear(shape.width, shape.codes)
        for edge in (self.embed, self.text, self.leave):
            if edge is not None:
                edge.outer = True  # type: ignore[assignment]
        nn.init.normal_(self.embed.weight, std=0.5)
        nn.init.zeros_(self.leave.weight)

    @property
    def begin(self) -> int:
        """The token that begins a sequence."""
        return self.shape.codes

    def memory(self) -> Memory:
        """An empty cache."""
        return Memory(self.shape.blocks)

    def forward(
        self,
        codes: Tensor,
        held: Tensor,
        asked: Tensor,
        text: Tensor | None = None,
        mask: Tensor | None = None,
        memory: Memory | None = None,
        reads: Tensor | None = None,
    ) -> Tensor:
        """codes (b, n), their places `held` (b, n, axes), the places `asked` about, text (b, n, width)
        of the places asked -> logits (b, n, codes).

        mask: (n, m) or (b, 1, n, m), True where a position may look; causal unless given. memory: what
        was read before; these tokens follow it and are added. reads: places held by all m positions,
        needed only where a cache and a bias meet.
        """
        before = 0 if memory is None else len(memory)
        if mask is None and codes.shape[1] > 1:  # a single token sees all there is
            mask = causal(codes.shape[1], before).to(codes.device)
        x = self.embed(codes)
        if self.text is not None and text is not None:
            x = x + self.text(text)
        added = None
        if self.bias is not None:
            if before and reads is None:
                raise ValueError(
                    "a bias with a cache wants the places of all it reads; try reads=..."
                )
            added = self.bias(asked, held if reads is None else reads)
        ask, hold = self.shape.turns(asked), self.shape.turns(held)
        for number, block in enumerate(self.blocks):
            kept = None if memory is None else (memory, number)
            x = block(x, ask, hold, mask, added, kept)
        logits: Tensor = self.leave(F.rms_norm(x, x.shape[-1:]))
        return logits.float()
