"""Quantisers: vectors to codes and back, each with a straight-through gradient.

All take the vector in the last dimension. Nearest code with a codebook that follows by moving
averages (van den Oord et al. 2017, appendix A.1), signs (LFQ, Yu et al. 2024, MAGVIT-v2, section 3.1),
and rounding on a grid (FSQ, Mentzer et al. 2024).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class Quantised:
    """values (..., width) with the gradient of the input, codes (...), losses by name (scalars)."""

    values: Tensor
    codes: Tensor
    losses: Mapping[str, Tensor]


def straight_through(x: Tensor, to: Tensor) -> Tensor:
    """`to`, exactly, whose gradient is `x`'s (Bengio et al. 2013).

    Written as to + (x - x): what is added is zero, while x + (to - x) would round.
    """
    return to.detach() + (x - x.detach())


class Quantiser(nn.Module):
    """What all quantisers have: `size` codes for vectors of `width` numbers."""

    size: int
    width: int

    def codes(self, x: Tensor) -> Tensor:
        """(..., width) -> whole numbers (...)."""
        raise NotImplementedError

    def values(self, codes: Tensor) -> Tensor:
        """(...) -> (..., width)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Quantised:
        """Values for the decoder, and losses; in training mode the codebook may move."""
        codes = self.codes(x)
        return Quantised(straight_through(x, self.values(codes)), codes, self.losses(x, codes))

    def losses(self, x: Tensor, codes: Tensor) -> Mapping[str, Tensor]:
        """Named scalars that keep the encoder near its codes."""
        return {}


class VectorQuantiser(Quantiser):
    """The nearest of `size` vectors, which follow the mean of what falls to them.

    decay: of the moving averages. dead: a code whose average count falls below it is placed on a
    vector of the batch (Dhariwal et al. 2020, section 3.1). commitment: weight of |x - code|^2
    (van den Oord et al. 2017, equation 3).
    """

    counts: Tensor
    sums: Tensor
    book: Tensor

    def __init__(
        self,
        size: int,
        width: int,
        decay: float = 0.99,
        dead: float = 0.03,
        commitment: float = 0.25,
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}; try 0.99")
        self.size, self.width = size, width
        self.decay, self.dead, self.commitment = decay, dead, commitment
        self._held: list[tuple[Tensor, Tensor, Tensor]] | None = None
        book = torch.randn(size, width) / math.sqrt(width)
        self.register_buffer("book", book)
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", book.clone())

    def codes(self, x: Tensor) -> Tensor:
        """By |x - c|^2; of two as near, the first."""
        flat = x.reshape(-1, self.width).to(self.book)
        far = self.book.square().sum(1) - 2 * flat @ self.book.T
        return far.argmin(1).view(x.shape[:-1])

    def values(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.book)

    def losses(self, x: Tensor, codes: Tensor) -> Mapping[str, Tensor]:
        far = (x - self.values(codes).detach()).square().mean()
        return {"commitment": self.commitment * far}

    def forward(self, x: Tensor) -> Quantised:
        """As every quantiser; in training mode the codebook then takes one step."""
        found = super().forward(x)
        if self.training:
            self.follow(x.detach().reshape(-1, self.width), found.codes.flatten())
        return found

    @torch.no_grad()
    def follow(self, x: Tensor, codes: Tensor) -> None:
        """One step of the averages: N <- g N + (1-g) n, m <- g m + (1-g) sum x, e = m / N."""
        x = x.to(self.book)
        counts = torch.bincount(codes, minlength=self.size).to(x)
        sums = torch.zeros_like(self.book).index_add_(0, codes, x)
        if self._held is None:
            self._step(counts, sums, x)
        else:
            self._held.append((counts, sums, x if not self._held else x[:0]))

    def hold(self, held: bool) -> None:
        """Whether steps wait for `settle`, so that several batches, in several processes, are one step."""
        self._held = [] if held else None

    @torch.no_grad()
    def settle(self, total: Callable[[Tensor], Tensor]) -> None:
        """The step of all batches since the last one. total: sums a tensor over all processes.

        Dead codes begin anew on vectors of the first batch here.
        """
        held = self._held or []
        counts, sums = torch.zeros_like(self.counts), torch.zeros_like(self.sums)
        for more, weighed, _ in held:
            counts, sums = counts + more, sums + weighed
        counts, sums = total(counts), total(sums)
        if counts.any():
            self._step(counts, sums, held[0][2] if held else self.book.clone())
        self._held = []

    def _step(self, counts: Tensor, sums: Tensor, x: Tensor) -> None:
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        dead = self.counts < self.dead
        if dead.any():
            chosen = torch.randint(len(x), (int(dead.sum()),), device=x.device)
            self.sums[dead], self.counts[dead] = x[chosen], 1.0
        self.book.copy_(self.sums / self.counts[:, None])


class ResidualQuantiser(Quantiser):
    """Quantisers in turns, each of what those before it left (Zeghidour et al. 2021, SoundStream, section III-C).

    Codes have one more dimension, the turn; the first codes of a row alone are a coarser value. In
    training a share `coarse` of the rows (the first dimension) is quantised by a random number of turns
    only, so that every such number is learned for (section III-D).
    """

    def __init__(self, stages: Sequence[Quantiser], coarse: float = 0.5) -> None:
        super().__init__()
        if not stages or len({(stage.size, stage.width) for stage in stages}) > 1:
            raise ValueError(f"{len(stages)} stages; try one or more of equal size and width")
        self.stages, self.coarse = nn.ModuleList(stages), coarse
        self.size, self.width, self.depth = stages[0].size, stages[0].width, len(stages)

    @classmethod
    def of(cls, size: int, width: int, depth: int, decay: float = 0.95) -> ResidualQuantiser:
        """Moving codebooks for vectors of unit mean square: each begins at the scale of what is left for it."""
        stages = [VectorQuantiser(size, width, decay) for _ in range(depth)]
        for turn, stage in enumerate(stages):
            stage.book.mul_(width**0.5 * 0.6**turn)
            stage.sums.copy_(stage.book)
        return cls(stages)

    def codes(self, x: Tensor) -> Tensor:
        """(..., width) -> whole numbers (..., depth)."""
        found, left = [], x.float()
        for stage in self._turns:
            found.append(stage.codes(left))
            left = left - stage.values(found[-1])
        return torch.stack(found, -1)

    def values(self, codes: Tensor) -> Tensor:
        """(..., depth or fewer) -> (..., width): sums."""
        if not 1 <= codes.shape[-1] <= self.depth:
            raise ValueError(f"{codes.shape[-1]} codes a step; try 1 to {self.depth}")
        rows = zip(self._turns, codes.unbind(-1), strict=False)
        return torch.stack([stage.values(row) for stage, row in rows]).sum(0)

    def forward(self, x: Tensor) -> Quantised:
        """As every quantiser; codes of turns that a row does without are -1."""
        rows = torch.full((len(x),), self.depth, device=x.device)
        if self.training and self.coarse:
            some = torch.rand(len(x), device=x.device) < self.coarse
            rows = torch.where(some, torch.randint(1, self.depth + 1, rows.shape).to(rows), rows)
        codes = torch.full((*x.shape[:-1], self.depth), -1, device=x.device)
        total, losses = torch.zeros_like(x, dtype=torch.float), dict[str, Tensor]()
        for turn, stage in enumerate(self._turns):
            mine = rows > turn
            if not mine.any():
                break
            # the gradient of what is left is that of x: earlier turns' codes are constants
            found = stage((x.float() - total)[mine])
            codes[mine, ..., turn] = found.codes
            share = mine.float().mean() / self.depth
            for name, loss in found.losses.items():
                losses[name] = losses.get(name, torch.zeros_like(loss)) + share * loss
            total = total.index_put((mine,), total[mine] + stage.values(found.codes).detach())
        return Quantised(straight_through(x, total.to(x)), codes, losses)

    @property
    def _turns(self) -> list[Quantiser]:
        return list(self.stages)  # type: ignore[arg-type]


class LookupFree(Quantiser):
    """Signs: 2^bits codes without a codebook (MAGVIT-v2, section 3.1).

    entropy: weight of E[H(q)] - H(E[q]) (equation 5), of each bit by itself with a logistic q, which
    asks for sure signs and for codes that are all in use; with independent bits that is the sum
    over bits.
    """

    def __init__(
        self, bits: int, entropy: float = 0.1, commitment: float = 0.25, sharpness: float = 4.0
    ) -> None:
        super().__init__()
        if not 1 <= bits <= 30:
            raise ValueError(f"bits={bits}; try 1 to 30")
        self.size, self.width = 2**bits, bits
        self.entropy, self.commitment, self.sharpness = entropy, commitment, sharpness

    def codes(self, x: Tensor) -> Tensor:
        return ((x > 0).long() << torch.arange(self.width, device=x.device)).sum(-1)

    def values(self, codes: Tensor) -> Tensor:
        bits = codes[..., None] >> torch.arange(self.width, device=codes.device) & 1
        return bits * 2.0 - 1.0

    def losses(self, x: Tensor, codes: Tensor) -> Mapping[str, Tensor]:
        on = torch.sigmoid(self.sharpness * x.float()).reshape(-1, self.width)
        sure, spread = _entropy(on).mean(0).sum(), _entropy(on.mean(0)).sum()
        far = (x - self.values(codes).to(x)).square().mean()
        return {"entropy": self.entropy * (sure - spread), "commitment": self.commitment * far}


class FiniteScalar(Quantiser):
    """Every number is bounded and rounded to one of `levels`: a grid as codebook, no losses."""

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"levels={tuple(levels)}; try 2 or more each")
        self.levels = tuple(levels)
        self.size, self.width = math.prod(self.levels), len(self.levels)

    def forward(self, x: Tensor) -> Quantised:
        """The gradient passes through the bound, not through the rounding."""
        codes = self.codes(x)
        return Quantised(straight_through(self._bounded(x), self.values(codes)), codes, {})

    def codes(self, x: Tensor) -> Tensor:
        top = self._row(x) - 1
        steps = ((self._bounded(x.float()) + 1) / 2 * top).round().long()
        return (steps * self._places(x)).sum(-1)

    def values(self, codes: Tensor) -> Tensor:
        steps = codes[..., None] // self._places(codes) % self._row(codes).long()
        return steps / (self._row(codes) - 1) * 2 - 1

    def _bounded(self, x: Tensor) -> Tensor:
        """To (-1, 1), stretched by half a step each side so that all levels are as wide."""
        top = self._row(x).to(x.dtype if x.is_floating_point() else torch.float32) - 1
        return torch.tanh(x) * (1 + (1 - 1e-4) / top)

    def _row(self, like: Tensor) -> Tensor:
        return torch.tensor(self.levels, device=like.device, dtype=torch.float32)

    def _places(self, like: Tensor) -> Tensor:
        """Value of each digit of a code."""
        row = [math.prod(self.levels[:n]) for n in range(self.width)]
        return torch.tensor(row, device=like.device)


def _entropy(p: Tensor) -> Tensor:
    """Of a coin, in nats."""
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(p * p.log() + (1 - p) * (1 - p).log())
