"""A convolutional autoencoder of video whose every norm and filter is local, so that it streams and tiles."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class AutoencoderShape:
    """Sizes: `stride` frames and 16x16 pixels become one latent of `channels` numbers.

    lap: frames past its own ones that a latent frame decodes to on either side; see `lapped`.
    """

    channels: int = 32
    stride: int = 4
    lap: int = 2
    widths: tuple[int, int, int] = (72, 128, 192)  # at 1/4, 1/8 and 1/16 of the picture
    blocks: tuple[int, int, int] = (2, 2, 3)

    down = 16
    patch = 4
    context = (4, 4)  # three temporal filters of three taps, and the neighbour that laps over

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.lap <= self.stride:
            raise ValueError(f"lap={self.lap} over groups of {self.stride}")


class ChannelNorm(nn.Module):
    """Root-mean-square norm over channels (dim 1) at each place: no statistic crosses space or time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        scale = x.float().square().mean(1, keepdim=True).add(1e-6).rsqrt().to(x.dtype)
        return x * scale * self.gain.to(x.dtype).view(-1, *[1] * (x.ndim - 2))


class ConvBlock(nn.Module):
    """Two 3x3 filters, residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(self.norm(x))))


class WideBlock(nn.Module):
    """Depthwise 5x5 filter, then a channel mixer, residual (after ConvNeXt, Liu et al. 2022)."""

    def __init__(self, width: int, ratio: int = 3) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = ChannelNorm(width)
        self.up = nn.Conv2d(width, ratio * width, 1)
        self.down = nn.Conv2d(ratio * width, width, 1)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.silu(self.up(self.norm(self.depthwise(x)))))


class Encoder(nn.Module):
    """Groups of `stride` frames to means and log-variances; groups do not see one another."""

    def __init__(self, shape: AutoencoderShape) -> None:
        super().__init__()
        self.shape = shape
        fine, middle, coarse = shape.widths
        pixels = 3 * shape.stride * shape.patch**2
        self.body = nn.Sequential(
            nn.Conv2d(pixels, fine, 3, padding=1),
            *(ConvBlock(fine) for _ in range(shape.blocks[0])),
            nn.Conv2d(fine, middle, 3, stride=2, padding=1),
            *(WideBlock(middle) for _ in range(shape.blocks[1])),
            nn.Conv2d(middle, coarse, 3, stride=2, padding=1),
            *(WideBlock(coarse) for _ in range(shape.blocks[2])),
            ChannelNorm(coarse),
            nn.Conv2d(coarse, 2 * shape.channels, 1),
        )
        with (
            torch.no_grad()
        ):  # begin nearly without posterior noise: pixels first, then the KL term
            self.body[-1].bias[shape.channels :] = -6.0  # type: ignore[index]

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """(b, t, 3, h, w) in [-1, 1] -> mean and log-variance, each (b, s, channels, h/16, w/16)."""
        b, t, _, h, w = video.shape
        groups = video.reshape(b * t // self.shape.stride, 3 * self.shape.stride, h, w)
        x = F.pixel_unshuffle(groups, self.shape.patch).contiguous(
            memory_format=torch.channels_last
        )
        out = self.body(x).float()
        mean, logvar = out.unflatten(0, (b, -1)).chunk(2, dim=2)
        return mean, logvar.clamp(-12, 4)


class TimeMix(nn.Module):
    """A filter of three taps over latent frames, residual, ends repeated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.taps = nn.Conv2d(3 * width, width, 1)
        nn.init.zeros_(self.taps.weight)

    def forward(self, x: Tensor, s: int) -> Tensor:
        """(b*s, width, h, w) -> the same."""
        y = self.norm(x).unflatten(0, (-1, s))
        before = torch.cat([y[:, :1], y[:, :-1]], 1)
        after = torch.cat([y[:, 1:], y[:, -1:]], 1)
        return x + self.taps(torch.cat([before, y, after], 2).flatten(0, 1))


class Decoder(nn.Module):
    """Latent frames to `stride` frames each, seeing `context` latent frames on either side."""

    def __init__(self, shape: AutoencoderShape) -> None:
        super().__init__()
        self.shape = shape
        fine, middle, coarse = shape.widths
        self.enter = nn.Conv2d(shape.channels, coarse, 3, padding=1)
        self.coarse_time = TimeMix(coarse)
        self.coarse = nn.Sequential(*(WideBlock(coarse) for _ in range(shape.blocks[2])))
        self.to_middle = nn.Conv2d(coarse, 4 * middle, 1)
        self.middle_time = TimeMix(middle)
        self.middle = nn.Sequential(*(WideBlock(middle) for _ in range(shape.blocks[1] + 1)))
        self.to_fine = nn.Conv2d(middle, 4 * fine, 1)
        self.fine_time = TimeMix(fine)
        self.fine = nn.Sequential(*(ConvBlock(fine) for _ in range(shape.blocks[0] + 1)))
        self.leave = nn.Sequential(
            ChannelNorm(fine),
            nn.Conv2d(fine, 3 * (shape.stride + 2 * shape.lap) * shape.patch**2, 3, padding=1),
        )

    def forward(self, latents: Tensor, before: int = 0, after: int = 0) -> Tensor:
        """(b, s, channels, h/16, w/16) -> (b, t, 3, h, w), about [-1, 1], t = (s - before - after) * stride.

        before, after: latents at the ends that are only seen: each filter over time needs one fewer of
        them than the one before it, and what no later one needs is dropped.
        """
        b, s = latents.shape[:2]
        x = latents.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = self.coarse_time(self.enter(x), s)
        x, s, before, after = within(x, s, (before, after), 3)
        x = F.pixel_shuffle(self.to_middle(self.coarse(x)), 2)
        x, s, before, after = within(self.middle_time(x, s), s, (before, after), 2)
        x = F.pixel_shuffle(self.to_fine(self.middle(x)), 2)
        x, s, before, after = within(self.fine_time(x, s), s, (before, after), 1)
        x = F.pixel_shuffle(self.leave(self.fine(x)), self.shape.patch).float()
        video = lapped(x.reshape(b, s, -1, 3, *x.shape[-2:]), self.shape.lap)
        return video[:, before * self.shape.stride : (s - after) * self.shape.stride]


def within(x: Tensor, s: int, seen: tuple[int, int], most: int) -> tuple[Tensor, int, int, int]:
    """x (b*s, ...) with at most so many of the frames at its ends that are only seen; s and those then."""
    before, after = (min(count, most) for count in seen)
    first, stop = seen[0] - before, s - seen[1] + after
    if stop - first < s:
        x = x.unflatten(0, (-1, s))[:, first:stop].flatten(0, 1)
    return x, stop - first, before, after


def lapped(groups: Tensor, lap: int) -> Tensor:
    """(b, s, lap + stride + lap, ...) -> (b, s*stride, ...): each group fades into the next over 2*lap frames.

    Groups made apart never agree to the pixel; what they differ by is spread over the frames about
    their border instead of showing as a beat. An end that has no neighbour is the group's own.
    """
    if not lap:
        return groups.flatten(1, 2)
    stride = groups.shape[2] - 2 * lap
    rise = torch.arange(1, 2 * lap + 1, device=groups.device) / (2 * lap + 1)
    rise = rise.view(-1, *[1] * (groups.ndim - 3)).to(groups)
    whole = groups[:, :, lap : lap + stride].flatten(1, 2)
    if groups.shape[1] == 1:
        return whole
    # 2*lap frames about each inner border: the end of one group and the beginning of the next.
    faded = groups[:, :-1, stride:] * rise.flip(0) + groups[:, 1:, : 2 * lap] * rise
    middle = groups[:, 1:-1, 2 * lap : stride]  # frames that no neighbour reaches
    inner = torch.cat([faded[:, :-1], middle], 2).flatten(1, 2)
    ends = stride - lap
    return torch.cat([whole[:, :ends], inner, faded[:, -1], whole[:, -ends:]], 1)


class Autoencoder(nn.Module):
    """Both halves."""

    def __init__(self, shape: AutoencoderShape | None = None) -> None:
        super().__init__()
        self.shape = shape or AutoencoderShape()
        self.encoder = Encoder(self.shape)
        self.decoder = Decoder(self.shape)
