"""Layers across time, for nets whose other layers see one frame at a time.

Each takes features (b, t, c, h, w), the frames' `times` (b, t) in seconds, in order of time, and their
`vector` (b, t, d), and gives features of the same shape. Each begins as the identity, so that a net of
pictures with such layers in it is at first still that net, frame by frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.dit import Attention, time_angles

TimeFactory = Callable[[int, int], nn.Module]  # width of features, width of the vector


def along_time(x: Tensor) -> Tensor:
    """(b, t, c, h, w) -> (b*h*w, t, c): what one place shows in all frames."""
    return x.permute(0, 3, 4, 1, 2).flatten(0, 2)


def of_places(y: Tensor, like: Tensor) -> Tensor:
    """The inverse of `along_time`, to the shape of `like`."""
    b, t, c, h, w = like.shape
    return y.reshape(b, h, w, t, c).permute(0, 3, 4, 1, 2)


class NoTime(nn.Module):
    """Leaves every frame alone: a net of pictures."""

    def forward(self, x: Tensor, times: Tensor, vector: Tensor) -> Tensor:
        return x


class TimeAttention(nn.Module):
    """Attention at each place along time; positions are real times, of which only differences matter."""

    def __init__(self, width: int, vector: int, head: int = 32) -> None:
        super().__init__()
        self.head = math.gcd(width, head)
        self.attention = Attention(width, self.head)

    def forward(self, x: Tensor, times: Tensor, vector: Tensor) -> Tensor:
        b, t, c, h, w = x.shape
        y = along_time(x)
        turn = time_angles(times - times.mean(1, keepdim=True), self.head // 2)
        y = self.attention(F.rms_norm(y, (c,)), turn.repeat_interleave(h * w, 0))
        return x + of_places(y, x)

    def wake(self) -> None:
        """The last weights as they would be without starting from the identity."""
        self.attention.out.reset_parameters()


class TimeConv(nn.Module):
    """A filter of `taps` frames at each place, the ends repeated.

    It knows the frames' order, not how far apart they are: for evenly spaced ones.
    """

    def __init__(self, width: int, vector: int, taps: int = 3) -> None:
        super().__init__()
        self.reach = taps // 2
        self.filter = nn.Conv1d(width, width, taps)
        nn.init.zeros_(self.filter.weight)
        nn.init.zeros_(self.filter.bias)

    def forward(self, x: Tensor, times: Tensor, vector: Tensor) -> Tensor:
        y = F.silu(F.rms_norm(along_time(x), (x.shape[2],))).transpose(1, 2)
        y = self.filter(F.pad(y, (self.reach, self.reach), mode="replicate"))
        return x + of_places(y.transpose(1, 2), x)

    def wake(self) -> None:
        """As `TimeAttention.wake`."""
        self.filter.reset_parameters()


class RelativeTimeAttention(nn.Module):
    """Attention along time whose queries, keys and values know how far frames are apart, and nothing else.

    A small net turns log(1 + gap) either way, whether it is zero, and the frame's vector into what is
    added to queries, keys and values for every pair of frames (Harvey et al. 2022, FDM, appendix B;
    Wu et al. 2021). gap: in units of `unit` seconds.
    """

    def __init__(self, width: int, vector: int, head: int = 32, unit: float = 0.1) -> None:
        super().__init__()
        self.head, self.unit = math.gcd(width, head), unit
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gap = nn.Linear(3, width)
        self.level = nn.Linear(vector, width)
        self.places = nn.Linear(width, 3 * width)
        nn.init.zeros_(self.out.weight)

    def relative(self, times: Tensor, vector: Tensor) -> Tensor:
        """(b, t), (b, t, d) -> (3, b, t, s, heads, head): for queries, keys, values of frame t with s."""
        gap = (times[:, :, None] - times[:, None]) / self.unit
        told = [gap.clamp(min=0).log1p(), (-gap).clamp(min=0).log1p(), (gap == 0).to(gap)]
        y = self.gap(torch.stack(told, -1)) + self.level(F.silu(vector))[:, :, None]
        return self.places(F.silu(y)).unflatten(-1, (3, -1, self.head)).movedim(-3, 0)

    def forward(self, x: Tensor, times: Tensor, vector: Tensor) -> Tensor:
        b, t, c, h, w = x.shape
        y = F.rms_norm(along_time(x), (c,))
        q, k, v = (
            self.qkv(y).unflatten(-1, (3, -1, self.head)).unflatten(0, (b, h * w)).movedim(3, 0)
        )
        to_q, to_k, to_v = self.relative(times, vector)
        score = torch.einsum("bntgd,bnsgd->bngts", q, k)
        score = score + torch.einsum("bntgd,btsgd->bngts", q, to_k)
        score = score + torch.einsum("bnsgd,btsgd->bngts", k, to_q)
        share = (score * self.head**-0.5).softmax(-1)
        y = torch.einsum("bngts,bnsgd->bntgd", share, v)
        y = y + torch.einsum("bngts,btsgd->bntgd", share, to_v)
        return x + of_places(self.out(y.flatten(3)).flatten(0, 1), x)

    def wake(self) -> None:
        """As `TimeAttention.wake`."""
        self.out.reset_parameters()


class InTurn(nn.Module):
    """Several layers across time, one after the other."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, times: Tensor, vector: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, times, vector)
        return x

    def wake(self) -> None:
        """As `TimeAttention.wake`."""
        for layer in self.layers:
            layer.wake()


class AlphaMixed(nn.Module):
    """alpha x + (1 - alpha) layer(x), alpha learned and 1 at first (Blattmann et al. 2023, equation 2).

    With alpha = 1 the layer is out of the way again, whatever it has learned. The layer itself does not
    begin as the identity, else alpha and layer would wait for each other.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        layer.wake()
        self.alpha = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, times: Tensor, vector: Tensor) -> Tensor:
        alpha = self.alpha.clamp(0, 1)
        return alpha * x + (1 - alpha) * self.layer(x, times, vector)


def conv_then_attention(width: int, vector: int) -> nn.Module:
    """The usual pair: a filter of neighbours, then attention to all frames."""
    return InTurn(TimeConv(width, vector), TimeAttention(width, vector))


def alpha_mixed(width: int, vector: int) -> nn.Module:
    """The same pair, each mixed in by an alpha of its own (Video LDM)."""
    return InTurn(AlphaMixed(TimeConv(width, vector)), AlphaMixed(TimeAttention(width, vector)))
