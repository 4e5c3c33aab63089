"""What token transformers are made of: attention with places, a pluggable mask and bias, and a cache.

A position *asks* from one place and *holds* a token of another: queries turn by the place asked
about, keys by the place held. So the next token need not be the neighbour of the last one, and
frames of any indices come in any order (compare Pannatier et al. 2024, sigma-GPT, whose positions
also name both).
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.dit import Mixer, rotate
from longtake.nets.rotary import angles, by_parts, frequencies, shares


@dataclasses.dataclass(frozen=True)
class TokenShape:
    """Sizes of a token transformer. codes: of the codec. text: width of the per-frame control track, 0 for none.

    axes: of a place (time, row, column). base: of rotary positions. stretch: how many times farther
    along each axis places reach than in training, by a larger base (NTK), or by parts (YaRN) where
    `learned`, the places along each axis in training, is given. latents: of a bottleneck, along each
    axis, where a net has one.
    """

    codes: int
    width: int = 128
    blocks: int = 4
    head: int = 32
    ratio: int = 3
    text: int = 0
    axes: int = 3
    base: float = 100.0
    stretch: tuple[float, ...] = (1.0, 1.0, 1.0)
    learned: tuple[float, ...] = ()
    latents: tuple[int, ...] = (2, 4, 4)

    def __post_init__(self) -> None:
        if self.codes < 1:
            raise ValueError(f"codes={self.codes}; try the codec's number of codes")
        if self.width % self.head or self.head % 2:
            raise ValueError(f"heads of {self.head} in width {self.width}; try an even divisor")
        rows = {"stretch": self.stretch, "learned": self.learned or self.stretch}
        for name, row in (rows | {"latents": self.latents}).items():
            if len(row) != self.axes:
                raise ValueError(f"{name} of {len(row)} axes; try {self.axes} numbers")
        shares(self.head // 2, self.axes)

    @cached_property
    def rates(self) -> tuple[Tensor, ...]:
        """Radians a place of every rotary pair, axis by axis."""
        found = []
        for axis, pairs in enumerate(shares(self.head // 2, self.axes)):
            far = self.stretch[axis]
            if self.learned:
                found.append(by_parts(pairs, self.base, far, self.learned[axis]))
            else:
                found.append(frequencies(pairs, self.base, far))
        return tuple(found)

    def turns(self, places: Tensor) -> Tensor:
        """(b, n, axes) places -> (b, n, head/2) rotary angles."""
        return angles(places, self.rates)


class Memory:
    """Keys and values of the tokens read so far, one pair a block: what makes the next token cheap."""

    def __init__(self, blocks: int) -> None:
        self._kept: list[tuple[Tensor, Tensor] | None] = [None] * blocks

    @property
    def size(self) -> int:
        """Bytes held."""
        pairs = (pair for pair in self._kept if pair is not None)
        return sum(part.numel() * part.element_size() for pair in pairs for part in pair)

    def __len__(self) -> int:
        """Tokens read so far."""
        first = self._kept[0]
        return 0 if first is None else first[0].shape[2]

    def read(self, block: int) -> tuple[Tensor, Tensor]:
        """A block's keys and values (b, heads, n, d)."""
        kept = self._kept[block]
        if kept is None:
            raise ValueError("nothing has been read")
        return kept

    def extend(self, block: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a block, with these (b, heads, n, d) at the end."""
        kept = self._kept[block]
        if kept is not None:
            k, v = torch.cat([kept[0], k], 2), torch.cat([kept[1], v], 2)
        self._kept[block] = k, v
        return k, v


class PlacedAttention(nn.Module):
    """Attention from `x` to `source` (itself, unless given): normalised queries and keys, rotary places.

    mask: True where a position may look. bias: added to scores. Both broadcast to (b, heads, n, m).
    """

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.head = head
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.sharpness = nn.Parameter(torch.full((width // head, 1, 1), 8.0))
        nn.init.zeros_(self.out.weight)

    def queries(self, x: Tensor, turns: Tensor | None) -> Tensor:
        """(b, n, width) -> (b, heads, n, head)."""
        q = F.normalize(self.q(x).unflatten(-1, (-1, self.head)).transpose(1, 2), dim=-1)
        q = q if turns is None else rotate(q, turns[:, None])
        return q * self.sharpness

    def keys(self, x: Tensor, turns: Tensor | None) -> tuple[Tensor, Tensor]:
        """(b, n, width) -> keys and values, each (b, heads, n, head)."""
        k, v = self.kv(x).unflatten(-1, (2, -1, self.head)).permute(2, 0, 3, 1, 4)
        k = F.normalize(k, dim=-1)
        return (k if turns is None else rotate(k, turns[:, None])), v

    def mix(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        """softmax(q k^T + bias, where the mask allows) v -> (b, n, width)."""
        seen = mask
        if bias is not None:
            seen = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        y = F.scaled_dot_product_attention(q, k, v, seen, scale=1.0)
        return self.out(y.transpose(1, 2).flatten(2))


class TokenBlock(nn.Module):
    """Attention, then a mixer of channels, both residual after a norm."""

    def __init__(self, shape: TokenShape) -> None:
        super().__init__()
        self.attention = PlacedAttention(shape.width, shape.head)
        self.mixer = Mixer(shape.width, shape.ratio)

    def forward(
        self,
        x: Tensor,
        asked: Tensor | None,
        held: Tensor | None,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        memory: tuple[Memory, int] | None = None,
        source: Tensor | None = None,
    ) -> Tensor:
        """x (b, n, width) asks at angles `asked` (b, n, head/2) of itself or of `source`, held at `held`."""
        y = F.rms_norm(x, x.shape[-1:])
        seen = y if source is None else F.rms_norm(source, source.shape[-1:])
        k, v = self.attention.keys(seen, held)
        if memory is not None:
            kept, block = memory
            k, v = kept.extend(block, k, v)
        x = x + self.attention.mix(self.attention.queries(y, asked), k, v, mask, bias)
        return x + self.mixer(F.rms_norm(x, x.shape[-1:]))


class RelativeBias(nn.Module):
    """A learned bias for every head and every difference of places up to `reach` along each axis.

    Differences beyond count as `reach`; the axes add up (after Shaw et al. 2018, and the 3D bias of
    Liu et al. 2022, Video Swin). Only differences matter.
    """

    def __init__(self, heads: int, axes: int = 3, reach: int = 16) -> None:
        super().__init__()
        self.reach = reach
        self.table = nn.Parameter(torch.zeros(axes, 2 * reach + 1, heads))

    def forward(self, asked: Tensor, held: Tensor) -> Tensor:
        """(b, n, axes), (b, m, axes) -> (b, heads, n, m)."""
        apart = (asked[:, :, None] - held[:, None]).round().long()
        rows = apart.clamp(-self.reach, self.reach) + self.reach
        found = [self.table[n][rows[..., n]] for n in range(rows.shape[-1])]
        return torch.stack(found).sum(0).permute(0, 3, 1, 2)


def causal(count: int, before: int = 0) -> Tensor:
    """(n, before + n): `count` positions, each looking at itself and at all before it."""
    return torch.ones(count, before + count, dtype=torch.bool).tril(before)


def prefix_causal(prefix: int, count: int) -> Tensor:
    """(n, n) of prefix + count positions: the prefix sees all of itself, the others what came before.

    The prefix-LM mask (Raffel et al. 2020, figure 4).
    """
    mask = causal(prefix + count)
    mask[:prefix, :prefix] = True
    return mask


def nearby(asked: Tensor, held: Tensor, reach: tuple[int, ...]) -> Tensor:
    """(b, 1, n, m): True where places differ by at most `reach` along every axis.

    3D nearby attention (Wu et al. 2022, NUWA, section 3.3); joined with a causal mask by `&`.
    """
    apart = (asked[:, :, None] - held[:, None]).abs()
    return (apart <= apart.new_tensor(reach)).all(-1)[:, None]
