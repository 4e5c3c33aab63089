"""Convolutional autoencoders of video: per frame, over space and time, or causal in time; KL or quantised.

One pair of encoder and decoder serves them all. With one tap in time it is an image autoencoder
applied to every frame; with three it compresses time as well (after TATS, Ge et al. 2022, and
MAGVIT-v2, Yu et al. 2024). Norms are over channels, so that only filters cross time.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.autoencoder import ChannelNorm
from longtake.nets.quantise import Quantised, Quantiser


@dataclasses.dataclass(frozen=True)
class VideoShape:
    """Sizes of a video autoencoder.

    channels: numbers in a latent place. widths: of the filters, finest level first; each further
    level halves height and width, and time too where `halves_time` says so. taps: of filters in
    time, 1 for none. padding: beyond the edges "zero" or "replicate"; with zeros a filter can tell
    how far the ends of a clip are, which a longer film then lacks (TATS, section 3.1).
    causal: nothing is computed from later frames. patch: frames and pixels along an edge that enter,
    and leave, as channels of one place: cheaper than a fine level of filters.
    """

    channels: int = 8
    widths: tuple[int, ...] = (32, 64, 64)
    halves_time: tuple[bool, ...] = (False, False)
    taps: int = 1
    padding: str = "replicate"
    causal: bool = False
    blocks: int = 1
    patch: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if len(self.halves_time) != len(self.widths) - 1:
            raise ValueError(
                f"{len(self.halves_time)} of halves_time for {len(self.widths)} levels"
            )
        if self.padding not in ("zero", "replicate"):
            raise ValueError(f"padding={self.padding}; try zero or replicate")
        if self.taps not in (1, 3):
            raise ValueError(f"taps={self.taps}; try 1 or 3")
        if any(self.halves_time) and self.taps == 1:
            raise ValueError("taps=1 while time is halved; try taps=3")

    @property
    def down(self) -> int:
        """Pixels along an edge of a latent place."""
        return int(self.patch[1] * 2 ** len(self.halves_time))

    @property
    def stride(self) -> int:
        """Frames in a latent frame."""
        return int(self.patch[0] * 2 ** sum(self.halves_time))

    @property
    def pixels(self) -> int:
        """Channels of a place of the finest level."""
        return 3 * self.patch[0] * self.patch[1] ** 2

    @cached_property
    def context(self) -> tuple[int, int]:
        """Latent frames that the decoder sees before and after the one it decodes."""
        first, last = (
            0,
            self.stride // self.patch[0] - 1,
        )  # places in time of latent frame 0, followed back through the decoder
        back, ahead = (self.taps - 1, 0) if self.causal else (self.taps // 2, self.taps // 2)
        for halved in (*self.halves_time, False):
            first, last = first - 2 * self.blocks * back, last + 2 * self.blocks * ahead
            if halved:
                first, last = first // 2, last // 2
            first, last = (
                first - back,
                last + ahead,
            )  # of `Enlarge`, and of the decoder's first filter
        return -first, last

    @cached_property
    def sight(self) -> int:
        """Latent frames of the past that the encoder of a causal shape sees beside the one it makes."""
        first, back = 0, self.taps - 1
        for halved in (*reversed(self.halves_time), None):
            first -= 2 * self.blocks * back
            if halved is not None:
                first = 2 * first - 1 if halved else first - back
        first -= back  # the encoder's first filter
        return -(first * self.patch[0] // self.stride)


def folded(video: Tensor, patch: tuple[int, int]) -> Tensor:
    """(b, c, t, h, w) -> (b, c * pt * p * p, t / pt, h / p, w / p): patches of frames as channels."""
    pt, p = patch
    if patch == (1, 1):
        return video
    b, c, t, h, w = video.shape
    parts = video.reshape(b, c, t // pt, pt, h // p, p, w // p, p)
    return parts.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * pt * p * p, t // pt, h // p, w // p)


def unfolded(places: Tensor, patch: tuple[int, int]) -> Tensor:
    """What `folded` folds, again."""
    pt, p = patch
    if patch == (1, 1):
        return places
    b, c, t, h, w = places.shape
    parts = places.reshape(b, c // (pt * p * p), pt, p, p, t, h, w)
    return parts.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, -1, t * pt, h * p, w * p)


class SpaceTimeConv(nn.Conv3d):
    """A filter of (taps, 3, 3) whose result has its input's size, divided by `stride` (t, h, w)."""

    def __init__(
        self, width: int, out: int, shape: VideoShape, stride: tuple[int, int, int] = (1, 1, 1)
    ) -> None:
        super().__init__(width, out, (shape.taps, 3, 3), stride)
        self.mode = "constant" if shape.padding == "zero" else "replicate"
        reach = shape.taps - 1
        # A filter that halves time ends on the last frame of its pair: causal over whole groups.
        early = shape.causal or stride[0] == 2
        before = (reach // stride[0] if early else reach // 2, 0 if early else reach // 2)
        self.pads = (1, 1, 1, 1, *before)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, t, h, w) -> (b, out, t, h, w), in parts of the stride."""
        if self.kernel_size[0] > 1:
            return super().forward(F.pad(x, self.pads, mode=self.mode))
        frames = F.pad(x.transpose(1, 2).flatten(0, 1), self.pads[:4], mode=self.mode)
        stride = (self.stride[1], self.stride[2])
        y = F.conv2d(frames, self.weight[:, :, 0], self.bias, stride)  # some times faster
        return y.unflatten(0, (len(x), -1)).transpose(1, 2)


class VideoBlock(nn.Module):
    """Two filters, residual."""

    def __init__(self, width: int, shape: VideoShape) -> None:
        super().__init__()
        self.norm, self.middle = ChannelNorm(width), ChannelNorm(width)
        self.first = SpaceTimeConv(width, width, shape)
        self.second = SpaceTimeConv(width, width, shape)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(F.silu(self.norm(x)))
        return x + self.second(F.silu(self.middle(y)))


class VideoEncoder(nn.Module):
    """Frames to latents of `out` numbers a place."""

    def __init__(self, shape: VideoShape, out: int) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = [SpaceTimeConv(shape.pixels, shape.widths[0], shape)]
        for level, width in enumerate(shape.widths):
            layers += [VideoBlock(width, shape) for _ in range(shape.blocks)]
            if level < len(shape.halves_time):
                stride = (2 if shape.halves_time[level] else 1, 2, 2)
                layers.append(SpaceTimeConv(width, shape.widths[level + 1], shape, stride))
        self.body = nn.Sequential(*layers)
        self.leave = nn.Sequential(
            ChannelNorm(shape.widths[-1]), nn.Conv3d(shape.widths[-1], out, 1)
        )

    def forward(self, video: Tensor) -> Tensor:
        """(b, t, 3, h, w) in [-1, 1] -> (b, s, out, h/down, w/down); t a multiple of stride."""
        found: Tensor = self.leave(self.body(folded(video.transpose(1, 2), self.shape.patch)))
        return found.transpose(1, 2)

    def steadily(self, video: Tensor, chunk: int = 8) -> Tensor:
        """The same in chunks of so many latent frames, in bounded memory; causal shapes to the last bit.

        A filter's rounding depends on how much it is given, so every chunk is given as much: the last
        one is filled up with its last frame, which none before it can see.
        """
        shape, stride = self.shape, self.shape.stride
        if not shape.causal:
            return self(video)
        count = video.shape[1] // stride
        fill = -count % chunk * stride
        video = torch.cat([video, video[:, -1:].expand(-1, fill, -1, -1, -1)], 1)
        found = []
        for start in range(0, count, chunk):
            before = min(start, shape.sight)
            part = video[:, (start - before) * stride : (start + chunk) * stride]
            found.append(self(part)[:, before:])
        return torch.cat(found, 1)[:, :count]


class Enlarge(nn.Module):
    """Places doubled, frames too if `time`, and a filter over them."""

    def __init__(self, width: int, out: int, shape: VideoShape, time: bool) -> None:
        super().__init__()
        self.conv = SpaceTimeConv(width, 2 * out if time else out, shape)
        self.time = time

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x.repeat_interleave(2, 3).repeat_interleave(2, 4))
        if not self.time:
            return x
        # Each frame's filter makes two: no later latent frame is needed for the second.
        b, c, t, h, w = x.shape
        return x.view(b, c // 2, 2, t, h, w).transpose(2, 3).reshape(b, c // 2, 2 * t, h, w)


class VideoDecoder(nn.Module):
    """Latents to frames."""

    def __init__(self, shape: VideoShape) -> None:
        super().__init__()
        coarse = shape.widths[-1]
        layers: list[nn.Module] = [SpaceTimeConv(shape.channels, coarse, shape)]
        for level in reversed(range(len(shape.widths))):
            width = shape.widths[level]
            layers += [VideoBlock(width, shape) for _ in range(shape.blocks)]
            if level:
                halved = shape.halves_time[level - 1]
                layers.append(Enlarge(width, shape.widths[level - 1], shape, halved))
        self.body = nn.Sequential(*layers)
        self.leave = nn.Sequential(
            ChannelNorm(shape.widths[0]), nn.SiLU(), nn.Conv3d(shape.widths[0], shape.pixels, 1)
        )
        self.patch = shape.patch

    def forward(self, latents: Tensor) -> Tensor:
        """(b, s, channels, h/down, w/down) -> (b, s*stride, 3, h, w), about [-1, 1]."""
        made: Tensor = self.leave(self.body(latents.transpose(1, 2)))
        return unfolded(made, self.patch).transpose(1, 2)


class _Posterior(nn.Module):
    """An encoder whose numbers are means and log-variances."""

    def __init__(self, shape: VideoShape) -> None:
        super().__init__()
        self.body = VideoEncoder(shape, 2 * shape.channels)
        last = self.body.leave[-1]
        with (
            torch.no_grad()
        ):  # begin nearly without posterior noise: pixels first, then the KL term
            last.bias[shape.channels :] = -6.0

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        body = self.body if self.training else self.body.steadily
        mean, logvar = body(video).float().chunk(2, dim=2)
        return mean, logvar.clamp(-12, 4)


class KLVideo(nn.Module):
    """A variational autoencoder for `KLCodec`: per frame (taps=1) or with filters over time."""

    def __init__(self, shape: VideoShape | None = None) -> None:
        super().__init__()
        self.shape = shape or VideoShape()
        self.encoder = _Posterior(self.shape)
        self.decoder = VideoDecoder(self.shape)

    def forward(self, video: Tensor) -> Tensor:
        """There and back by the means, (b, t, 3, h, w), about [-1, 1]."""
        made: Tensor = self.decoder(self.encoder(video)[0])
        return made


class VQVideo(nn.Module):
    """An autoencoder whose latents are codes of a quantiser: per frame (VQ-GAN), 3D, causal."""

    def __init__(self, shape: VideoShape, quantiser: Quantiser) -> None:
        super().__init__()
        if quantiser.width != shape.channels:
            raise ValueError(f"a quantiser of {quantiser.width} numbers; try {shape.channels}")
        self.shape = shape
        self.encoder = VideoEncoder(shape, shape.channels)
        self.quantiser = quantiser
        self.decoder = VideoDecoder(shape)

    def codes(self, video: Tensor) -> Tensor:
        """(b, t, 3, h, w) in [-1, 1] -> whole numbers (b, s, h/down, w/down)."""
        return self.quantiser.codes(self.encoder.steadily(video).movedim(2, -1))

    def made(self, codes: Tensor) -> Tensor:
        """(b, s, h/down, w/down) -> (b, s*stride, 3, h, w), about [-1, 1]."""
        frames: Tensor = self.decoder(self.quantiser.values(codes).movedim(-1, 2))
        return frames

    def forward(self, video: Tensor) -> tuple[Tensor, Quantised]:
        """What is made of the quantised latents, and what quantising gave: for training."""
        found = self.quantiser(self.encoder(video).movedim(2, -1))
        return self.decoder(found.values.movedim(-1, 2)), found
