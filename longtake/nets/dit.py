"""A space-time transformer on latent frames at real times: any subset, stride, length and picture size.

Two scales (after the hourglass of Crowson et al. 2024, "HDiT"): outer blocks keep every latent place
and mix along time there, inner blocks join 2x2 places and attend over all of space and time.
At the end a gate may keep, place by place, what the nearest observed frames show: what stands still
stays exactly the same from clip to clip.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class DiTShape:
    """Sizes of the network. text: width of the per-frame control track."""

    channels: int = 32
    text: int = 27
    outer: int = 128
    inner: int = 224
    outer_blocks: int = 2  # before and again after the inner ones
    inner_blocks: int = 5
    head: int = 32
    ratio: int = 3
    reach: float = 100.0  # seconds beyond which a frame counts as equally far


def waves(x: Tensor, count: int, longest: float, shortest: float) -> Tensor:
    """(...,) -> (..., 2*count): cosines and sines of log-spaced periods."""
    periods = torch.logspace(
        math.log10(shortest), math.log10(longest), count, device=x.device, dtype=torch.float32
    )
    angles = x.float()[..., None] * (2 * math.pi / periods)
    return torch.cat([angles.cos(), angles.sin()], -1)


def nearest_observed(x: Tensor, observed: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """What lies nearest in time among the observed frames, and how far off it is.

    x (b, t, c, h, w), observed (b, t) bool, times (b, t) -> the last observed frame before and the
    first one after, mixed by nearness, (b, t, c, h, w), zero where none is; seconds to the nearer
    one (b, t), infinite where none is.
    """
    apart = times[:, None] - times[:, :, None]  # (b, t, s): from frame t to frame s
    seen = observed.bool()[:, None]
    far = torch.full_like(apart, math.inf)
    before, last = torch.where(seen & (apart <= 0), -apart, far).min(-1)
    after, first = torch.where(seen & (apart >= 0), apart, far).min(-1)
    near = [1 / (gap + 1e-3) for gap in (before, after)]  # 0 where there is none
    total = (near[0] + near[1]).clamp(min=1e-9)
    row = torch.arange(len(x), device=x.device)[:, None]
    mixed = [
        (weight / total)[:, :, None, None, None] * x[row, place]
        for weight, place in zip(near, (last, first), strict=True)
    ]
    return mixed[0] + mixed[1], torch.minimum(before, after)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021): pairs of `x` (b, heads, n, d) turned by `angles` (b, 1, n, d/2)."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def time_angles(times: Tensor, count: int) -> Tensor:
    """(b, t) seconds -> (b, t, count) angles, periods from 1 s to 400 s."""
    rates = torch.logspace(0, math.log10(1 / 400), count, device=times.device)
    return times[..., None] * (2 * math.pi * rates)


def place_angles(places: Tensor, count: int) -> Tensor:
    """(n,) token places -> (n, count) angles, periods from 4 to 64 tokens."""
    rates = torch.logspace(math.log10(1 / 4), math.log10(1 / 64), count, device=places.device)
    return places[..., None] * (2 * math.pi * rates)


LONG = (
    1024  # tokens from which scores are not kept: memory grows with tokens, not with their square
)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T) v. On the CPU written out while sequences are short: what films are made of stays the same to the bit."""
    if q.is_cuda or q.shape[-2] > LONG:
        return F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return (q @ k.transpose(-1, -2)).softmax(-1) @ v


class Attention(nn.Module):
    """Self-attention with normalised queries and keys (Henry et al. 2020) and rotary positions."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.head = head
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.sharpness = nn.Parameter(torch.full((width // head, 1, 1), 8.0))
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """(b, n, width), (b or 1, n, head/2) -> (b, n, width)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, -1, self.head)).permute(2, 0, 3, 1, 4)
        q, k = F.normalize(q.float(), dim=-1), F.normalize(k.float(), dim=-1)
        turn = angles[:, None]
        q = (rotate(q, turn) * self.sharpness).to(v.dtype)
        k = rotate(k, turn).to(v.dtype)
        y = attend(q, k, v)
        return self.out(y.transpose(1, 2).flatten(2))


class Mixer(nn.Module):
    """Gated two-layer mixer of channels (SwiGLU, Shazeer 2020)."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        hidden = width * ratio * 2 // 3 // 8 * 8
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, -1)
        return self.down(F.silu(gate) * value)


class Modulation(nn.Module):
    """Six shifts, scales and gates of a block: a table of its own plus those all blocks of a scale share."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(6, width))

    def forward(self, shared: Tensor) -> tuple[Tensor, ...]:
        """(b, t, 6, width) -> six of (b, t, 1, width)."""
        return (shared + self.table)[:, :, :, None].unbind(2)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalised x (b, t, n, width) under a frame's shift and scale."""
    y = F.rms_norm(x, x.shape[-1:])
    return y * (1 + scale.to(x.dtype)) + shift.to(x.dtype)


class InnerBlock(nn.Module):
    """Attention over all tokens of all frames, then a mixer."""

    def __init__(self, width: int, head: int, ratio: int) -> None:
        super().__init__()
        self.modulation = Modulation(width)
        self.attention = Attention(width, head)
        self.mixer = Mixer(width, ratio)

    def forward(self, x: Tensor, shared: Tensor, angles: Tensor) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(shared)
        b, t, n, _ = x.shape
        y = modulated(x, shift, scale).reshape(b, t * n, -1)
        x = x + (1 + gate).to(x.dtype) * self.attention(y, angles).reshape(x.shape)
        return x + (1 + gate2).to(x.dtype) * self.mixer(modulated(x, shift2, scale2))


class OuterBlock(nn.Module):
    """Attention along time at each place, a 3x3 depthwise filter, then a mixer."""

    def __init__(self, width: int, head: int, ratio: int) -> None:
        super().__init__()
        self.modulation = Modulation(width)
        self.attention = Attention(width, head)
        self.near = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mixer = Mixer(width, ratio)
        nn.init.zeros_(self.near.weight)

    def forward(self, x: Tensor, shared: Tensor, angles: Tensor, grid: tuple[int, int]) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(shared)
        b, t, n, d = x.shape
        y = modulated(x, shift, scale).transpose(1, 2).reshape(b * n, t, d)
        y = self.attention(y, angles.repeat_interleave(n, 0)).reshape(b, n, t, d).transpose(1, 2)
        x = x + (1 + gate).to(x.dtype) * y
        image = x.reshape(b * t, *grid, d).permute(0, 3, 1, 2)
        x = x + self.near(image).permute(0, 2, 3, 1).reshape(b, t, n, d)
        return x + (1 + gate2).to(x.dtype) * self.mixer(modulated(x, shift2, scale2))


class SpaceTimeTransformer(nn.Module):
    """Predicts the flow's velocity of every frame, each at its own noise level."""

    def __init__(self, shape: DiTShape | None = None) -> None:
        super().__init__()
        self.shape = s = shape or DiTShape()
        self.enter = nn.Linear(2 * s.channels + 2 + 4 + 12, s.outer)
        self.text = nn.Linear(s.text, s.inner)
        self.level = nn.Linear(32, s.inner)
        self.condition = nn.Linear(s.inner, s.inner)
        self.to_outer = nn.Linear(s.inner, 6 * s.outer)
        self.to_inner = nn.Linear(s.inner, 6 * s.inner)
        self.speak = nn.Linear(s.inner, s.inner)
        self.before = nn.ModuleList(
            OuterBlock(s.outer, s.head, s.ratio) for _ in range(s.outer_blocks)
        )
        self.merge = nn.Linear(4 * s.outer, s.inner, bias=False)
        self.inside = nn.ModuleList(
            InnerBlock(s.inner, s.head, s.ratio) for _ in range(s.inner_blocks)
        )
        self.split = nn.Linear(s.inner, 4 * s.outer, bias=False)
        self.after = nn.ModuleList(
            OuterBlock(s.outer, s.head, s.ratio) for _ in range(s.outer_blocks)
        )
        self.leave = nn.Linear(s.outer, s.channels)
        self.keep = nn.Linear(s.outer, s.channels)
        edges = (self.enter, self.text, self.level, self.leave, self.keep)
        for edge in (*edges, self.to_inner, self.to_outer):
            edge.outer = True  # type: ignore[assignment]
        for zero in (self.leave, self.keep, self.to_inner, self.to_outer):
            nn.init.zeros_(zero.weight)

    def forward(
        self,
        x: Tensor,
        level: Tensor,
        observed: Tensor,
        times: Tensor,
        text: Tensor,
        clean: Tensor,
    ) -> Tensor:
        """x (b, t, c, h, w) at noise `level` (b, t), flags `observed` (b, t), `times` (b, t) in seconds,
        `text` (b, t, d), `clean` (b, t, c, h, w) of which only observed frames are read
        -> velocity (b, t, c, h, w); h and w even."""
        s = self.shape
        b, t, c, h, w = x.shape
        near, gap = nearest_observed(clean, observed, times)
        times = (times - times.mean(1, keepdim=True)).clamp(-s.reach, s.reach)
        signal = waves(level, 16, 4.0, 0.02)
        cond = self.level(signal) + self.text(text)
        cond = cond + self.condition(F.silu(cond))
        lit = F.silu(cond)
        outer = self.to_outer(lit).unflatten(-1, (6, -1))
        inner = self.to_inner(lit).unflatten(-1, (6, -1))

        flags = torch.stack([observed, level], -1)[:, :, None].expand(b, t, h * w, 2)
        where = self._where(h, w, x.device).expand(b, t, -1, -1)
        fading = torch.exp(-gap[..., None] / gap.new_tensor([0.8, 4.0, 20.0, 100.0]))
        known = torch.cat(
            [near.flatten(3).transpose(2, 3), fading[:, :, None].expand(b, t, h * w, 4)], -1
        )
        tokens = [x.flatten(3).transpose(2, 3), flags, where, known]
        y = self.enter(torch.cat(tokens, -1).to(x.dtype))
        along = time_angles(times, s.head // 2)
        for block in self.before:
            y = block(y, outer, along, (h, w))
        z = y.reshape(b, t, h // 2, 2, w // 2, 2, -1).permute(0, 1, 2, 4, 3, 5, 6)
        z = self.merge(z.reshape(b, t, h * w // 4, -1)) + self.speak(cond)[:, :, None].to(y.dtype)
        around = self._around(times, h // 2, w // 2)
        for block in self.inside:
            z = block(z, inner, around)
        z = self.split(F.rms_norm(z, z.shape[-1:])).reshape(b, t, h // 2, w // 2, 2, 2, -1)
        y = y + z.permute(0, 1, 2, 4, 3, 5, 6).reshape(y.shape)
        for block in self.after:
            y = block(y, outer, along, (h, w))
        y = F.rms_norm(y, y.shape[-1:])
        out, kept = (
            edge(y).transpose(2, 3).reshape(b, t, c, h, w).float()
            for edge in (self.leave, self.keep)
        )
        # The velocity of a path to `near`: x = (1 - s) x0 + s e and v = e - x0 = (x - x0) / s.
        kept = kept * gap.isfinite()[:, :, None, None, None]
        still = (x - near) / level.clamp(min=0.05)[:, :, None, None, None]
        return out + kept * (still - out)

    def _where(self, h: int, w: int, device: torch.device) -> Tensor:
        """(1, 1, h*w, 12): where a place is in the picture, in parts of its height and width."""
        y = (torch.arange(h, device=device) + 0.5) / h
        x = (torch.arange(w, device=device) + 0.5) / w
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(h * w, 2)
        wide = (grid[:, 1:] - 0.5) * (w / h)
        return waves(torch.cat([grid, wide], 1), 2, 4.0, 1.3).flatten(1)[None, None]

    def _around(self, times: Tensor, h: int, w: int) -> Tensor:
        """(b, t*h*w, head/2): half the rotary pairs for time, a quarter each for height and width."""
        b, t = times.shape
        quarter = self.shape.head // 8
        time = time_angles(times, 2 * quarter)[:, :, None, None].expand(b, t, h, w, -1)
        rows = place_angles(torch.arange(h, device=times.device), quarter)[:, None]
        columns = place_angles(torch.arange(w, device=times.device) - w / 2, quarter)[None]
        place = torch.cat([rows.expand(h, w, -1), columns.expand(h, w, -1)], -1)
        return torch.cat([time, place.expand(b, t, h, w, -1)], -1).flatten(1, 3)
