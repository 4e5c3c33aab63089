"""A space-time transformer on packed sequences: clips of any length, size and shape side by side in one row.

Patches of frames are tokens; rotary positions of time, row and column say where each is, and a mask
keeps clips of one row apart (Dehghani et al. 2023, NaViT; FiT, Lu et al. 2024). Positions may reach
farther than in training (`stretch`, `learned`; see `nets.rotary`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.dit import Mixer, waves
from longtake.nets.rotary import angles, by_parts, frequencies, shares
from longtake.nets.tokens import PlacedAttention
from longtake.nets.unet import Told


@dataclasses.dataclass(frozen=True)
class PackedShape:
    """Sizes of a packed transformer.

    channels, extra, text: as in `UNetShape`. patch: places along an edge of a token. tick: seconds that
    count as one place along time. stretch, learned: as in `TokenShape`.
    """

    channels: int = 4
    extra: int = 0
    text: int = 0
    patch: int = 2
    width: int = 128
    blocks: int = 6
    head: int = 32
    ratio: int = 3
    tick: float = 0.1
    base: float = 100.0
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)
    learned: tuple[float, ...] = ()
    maps: int = 0
    context: int = 0

    def __post_init__(self) -> None:
        if self.width % self.head:
            raise ValueError(f"heads of {self.head} in width {self.width}; try a divisor")
        if self.learned and len(self.learned) != 3:
            raise ValueError(f"learned of {len(self.learned)} axes; try 3 numbers")
        shares(self.head // 2, 3)

    @cached_property
    def rates(self) -> tuple[Tensor, ...]:
        """Radians a place of every rotary pair, axis by axis."""
        rows = zip(shares(self.head // 2, 3), self.stretch, self.learned or (0.0,) * 3, strict=True)
        return tuple(
            by_parts(pairs, self.base, far, long) if long else frequencies(pairs, self.base, far)
            for pairs, far, long in rows
        )


@dataclasses.dataclass(frozen=True)
class Row:
    """Tokens of one sequence or several: numbers (b, n, k), places (b, n, 3), six modulations (b, f, 6, d).

    n is a multiple of f: as many tokens in a row share a modulation as there are to each.
    """

    tokens: Tensor
    places: Tensor
    told: Tensor


class PackedBlock(nn.Module):
    """Attention, then a mixer, each under its token's shift, scale and gate (Peebles and Xie 2023)."""

    def __init__(self, shape: PackedShape) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(6, shape.width))
        self.attention = PlacedAttention(shape.width, shape.head)
        self.mixer = Mixer(shape.width, shape.ratio)

    def forward(self, x: Tensor, told: Tensor, turns: Tensor, mask: Tensor | None) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = (told + self.table)[:, :, :, None].unbind(2)
        x = x.unflatten(1, (told.shape[1], -1))  # (b, f, tokens of each, d)
        y = torch.addcmul(shift, F.rms_norm(x, x.shape[-1:]), 1 + scale).flatten(1, 2)
        k, v = self.attention.keys(y, turns)
        y = self.attention.mix(self.attention.queries(y, turns), k, v, mask, None)
        x = torch.addcmul(x, y.view_as(x), 1 + gate)
        y = torch.addcmul(shift2, F.rms_norm(x, x.shape[-1:]), 1 + scale2)
        return torch.addcmul(x, self.mixer(y), 1 + gate2).flatten(1, 2)


class PackedTransformer(nn.Module):
    """Predicts something for every frame of a clip, or of many clips at once (`packed`)."""

    def __init__(self, shape: PackedShape | None = None) -> None:
        super().__init__()
        self.shape = s = shape or PackedShape()
        area = s.patch**2
        self.enter = nn.Linear((s.channels + s.extra) * area, s.width)
        self.level = nn.Linear(32, s.width)
        self.text = nn.Linear(s.text, s.width) if s.text else None
        self.tell = nn.Linear(s.width, 6 * s.width)
        self.blocks = nn.ModuleList(PackedBlock(s) for _ in range(s.blocks))
        self.leave = nn.Linear(s.width, s.channels * area)
        for edge in (self.enter, self.level, self.text, self.tell, self.leave):
            if edge is not None:
                edge.outer = True  # type: ignore[assignment]
        for zero in (self.tell, self.leave):
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)

    def forward(self, x: Tensor, level: Tensor, times: Tensor, told: Told) -> Tensor:
        """x (b, t, channels + extra, h, w) at noise `level` (b, t) and `times` (b, t) in seconds; h and w
        multiples of the patch -> (b, t, channels, h, w)."""
        return self._frames(self.run(self._row(x, level, times, told)), x)

    def packed(
        self, clips: Sequence[tuple[Tensor, Tensor, Tensor, Told]], room: int
    ) -> list[Tensor]:
        """What `forward` gives for each of `clips`, (1, t, ...) each, in rows of at most `room` tokens."""
        rows = [_each(self._row(*clip)) for clip in clips]
        lengths = [row.tokens.shape[1] for row in rows]
        bins = packing(lengths, room)
        longest = max(sum(lengths[n] for n in group) for group in bins)
        joined, owners = [], []
        for group in bins:
            row = Row(
                *(
                    torch.cat([getattr(rows[n], f.name) for n in group], 1)
                    for f in dataclasses.fields(Row)
                )
            )
            short = longest - row.tokens.shape[1]
            joined.append(
                Row(*(_longer(part, short) for part in (row.tokens, row.places, row.told)))
            )
            owner = [n for n in group for _ in range(lengths[n])]
            owners.append(torch.tensor([*owner, *[-1] * short]))
        whole = Row(
            *(torch.cat([getattr(row, f.name) for row in joined]) for f in dataclasses.fields(Row))
        )
        owner = torch.stack(owners).to(whole.tokens.device)
        found = self.run(whole, (owner[:, :, None] == owner[:, None])[:, None])
        return [self._frames(found[owner == n][None], clips[n][0]) for n in range(len(clips))]

    def run(self, row: Row, mask: Tensor | None = None) -> Tensor:
        """Tokens of rows, who may see whom (b, 1, n, n) -> (b, n, channels * patch^2)."""
        y = self.enter(row.tokens)
        turns = angles(row.places, self.shape.rates)
        for block in self.blocks:
            y = block(y, row.told, turns, mask)
        found: Tensor = self.leave(F.rms_norm(y, y.shape[-1:]))
        return found

    def _row(self, x: Tensor, level: Tensor, times: Tensor, told: Told) -> Row:
        p, (b, t, _, h, w) = self.shape.patch, x.shape
        if h % p or w % p:
            raise ValueError(f"frames of {h}x{w} in patches of {p}; try multiples of {p}")
        grid = (h // p, w // p)
        patches = x.unflatten(-1, (grid[1], p)).unflatten(3, (grid[0], p))
        tokens = patches.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(1, 3)
        vector = self.level(waves(level, 16, 4.0, 0.02))
        if self.text is not None and told.text is not None:
            vector = vector + self.text(told.text)
        six = self.tell(F.silu(vector)).unflatten(-1, (6, -1))
        when = (times - times.mean(1, keepdim=True)) / self.shape.tick
        edges = [torch.arange(n, device=x.device) - (n - 1) / 2 for n in grid]
        places = torch.stack(
            [
                when[:, :, None, None].expand(b, t, *grid),
                edges[0][:, None].expand(b, t, *grid),
                edges[1].expand(b, t, *grid),
            ],
            -1,
        )
        return Row(tokens, places.flatten(1, 3), six)

    def _frames(self, tokens: Tensor, like: Tensor) -> Tensor:
        p, (b, t, _, h, w) = self.shape.patch, like.shape
        patches = tokens.view(b, t, h // p, w // p, self.shape.channels, p, p)
        return patches.permute(0, 1, 4, 2, 5, 3, 6).reshape(b, t, self.shape.channels, h, w)


def packing(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Which sequences share a row of `room`: each in the first row that has space, longest first."""
    rows: list[list[int]] = []
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if lengths[n] > room:
            raise ValueError(f"a sequence of {lengths[n]} tokens in rows of {room}")
        for row in rows:
            if sum(lengths[m] for m in row) + lengths[n] <= room:
                row.append(n)
                break
        else:
            rows.append([n])
    return rows


def _each(row: Row) -> Row:
    """The same with modulations for every token, so that rows can be joined."""
    count = row.tokens.shape[1] // row.told.shape[1]
    return dataclasses.replace(row, told=row.told.repeat_interleave(count, 1))


def _longer(part: Tensor, more: int) -> Tensor:
    return torch.cat([part, part.new_zeros(1, more, *part.shape[2:])], 1)
