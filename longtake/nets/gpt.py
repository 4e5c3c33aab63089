"""A transformer that reads tokens one after another and says what the next one may be.

Spatial and temporal autoregression in one sequence (Graves 2013; VideoGPT, Yan et al. 2021; TATS,
Ge et al. 2022).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.tokens import Memory, TokenBlock, TokenShape, causal

Bias = Callable[[Tensor, Tensor], Tensor]  # places asked and held -> (b, heads, n, m)
Product = Callable[[Tensor], Tensor]
# Of queries, keys and values, of what leaves attention, of both ways through the mixer; sharpness, keys, values.
Layer = tuple[Product, Product, Product, Product, Tensor, Tensor, Tensor]


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


def product(weight: Tensor, bias: Tensor | None = None) -> Product:
    """x -> x weight^T + bias for few rows, many times: where oneDNN is, weights lie as its kernels read them.

    A product of few rows otherwise spends half its time on bringing them into that order. `torch.compile`
    uses the same operations for weights that do not change.
    """
    ordered = hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    if not (ordered and weight.device.type == "cpu" and weight.dtype == torch.float32):
        return functools.partial(F.linear, weight=weight, bias=bias)
    told = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, told, bias, "none", [], "")


class Decoder:
    """Reads on where a memory ends, one token at a time: what `GPT` does with a cache, in fewer operations.

    held, asked (b, m, axes), text (b, m, d): of all tokens there will be, those of the memory first.
    Queries, keys and values come of one product; keys lie transposed, in a store that is as long as
    it will get. Weights are those of the moment.
    """

    @torch.inference_mode()
    def __init__(
        self, net: GPT, memory: Memory, held: Tensor, asked: Tensor, text: Tensor | None = None
    ) -> None:
        self.net, shape = net, net.shape
        self.heads, self.count, self._places = shape.width // shape.head, len(memory), (asked, held)
        self._told = None if net.text is None or text is None else net.text(text)
        turns = torch.stack([shape.turns(asked), shape.turns(held)], 2)  # (b, m, 2, head/2)
        cos, sin = (wave.to(net.embed.weight)[:, :, :, None] for wave in (turns.cos(), turns.sin()))
        self._turns = torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)
        self._layers = [self._layer(memory, number) for number in range(shape.blocks)]
        self._leave = product(net.leave.weight, net.leave.bias)

    def _layer(self, memory: Memory, number: int) -> Layer:
        """Weights of a block, and its stores."""
        block, (b, room) = self.net.blocks[number], self._places[0].shape[:2]
        attention, mixer, head = block.attention, block.mixer, self.net.shape.head  # type: ignore[union-attr]
        like = attention.q.weight
        keys = like.new_empty(b * self.heads, head, room)
        values = like.new_empty(b * self.heads, room, head)
        if self.count:
            k, v = (part.flatten(0, 1) for part in memory.read(number))
            keys[:, :, : self.count], values[:, : self.count] = k.transpose(1, 2), v
        qkv = torch.cat([like, attention.kv.weight])
        weights = (qkv, attention.out.weight, mixer.up.weight, mixer.down.weight)
        return *map(product, weights), attention.sharpness[:, 0], keys, values

    @torch.inference_mode()
    def next(self, token: Tensor) -> Tensor:
        """One more token (b,) -> logits (b, codes)."""
        net, width, b = self.net, self.net.shape.width, len(token)
        here, stop, half = self.count, self.count + 1, net.shape.head // 2
        x = net.embed(token)
        if self._told is not None:
            x = x + self._told[:, here]
        cos, sin = (wave[:, here] for wave in self._turns)
        added = None
        if net.bias is not None:
            asked, held = self._places
            added = net.bias(asked[:, here:stop], held[:, :stop]).flatten(0, 1)
        for qkv, out, up, down, sharpness, keys, values in self._layers:
            y = qkv(F.rms_norm(x, (width,))).view(b, 3, self.heads, -1)
            both = F.normalize(y[:, :2], dim=-1)
            both = torch.addcmul(both * cos, both.roll(half, -1), sin)
            keys[:, :, here], values[:, here] = both[:, 1].flatten(0, 1), y[:, 2].flatten(0, 1)
            q = (both[:, 0] * sharpness).view(-1, 1, 2 * half)
            score = torch.bmm(q, keys[:, :, :stop])
            score = score if added is None else score + added
            y = torch.bmm(score.softmax(-1), values[:, :stop]).view(b, width)
            x = x + out(y)
            gate, value = up(F.rms_norm(x, (width,))).chunk(2, -1)
            x = x + down(F.silu(gate) * value)
        self.count = stop
        return self._leave(F.rms_norm(x, (width,))).float()
