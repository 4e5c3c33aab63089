"""A causal autoencoder of waveforms: filters along time, strided down and up again, and what they have seen last.

After SoundStream (Zeghidour et al. 2021, section III): residual units of growing dilation, a strided
filter after each group, the mirror image of it all as decoder. Nothing is computed from later samples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.quantise import Quantised, ResidualQuantiser

Past = dict[nn.Module, Tensor]  # by filter, the end of its input so far


@dataclasses.dataclass(frozen=True)
class SoundShape:
    """Sizes of a waveform autoencoder.

    tracks: 1 mono, 2 stereo. widths: of the filters, finest level first. strides: samples that become
    one at the end of each level. channels: numbers in a latent step. dilations: of the units of a level.
    """

    tracks: int = 1
    widths: tuple[int, ...] = (16, 32, 64)
    strides: tuple[int, ...] = (4, 5, 8)
    channels: int = 32
    dilations: tuple[int, ...] = (1, 3, 9)

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.strides) or not self.strides:
            raise ValueError(f"{len(self.strides)} strides for {len(self.widths)} widths")
        if min(self.strides) < 2:
            raise ValueError(f"strides={self.strides}; try 2 or more each")

    @property
    def stride(self) -> int:
        """Samples in a latent step."""
        return math.prod(self.strides)


class CausalConv(nn.Conv1d):
    """A filter over `taps` samples that ends on the last one of its stride; silence before the beginning."""

    def __init__(self, width: int, out: int, taps: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(width, out, taps, stride, dilation=dilation)
        self.back = dilation * (taps - 1) + 1 - stride

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """(b, width, n) -> (b, out, n / stride); past: what came before, brought up to date."""
        if not self.back:
            return super().forward(x)
        x = torch.cat([_before(self, x, self.back, past), x], -1)
        if past is not None:
            past[self] = x[..., -self.back :].clone()
        return super().forward(x)


class CausalEnlarge(nn.ConvTranspose1d):
    """`stride` samples for one, from that one and the one before it."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__(width, out, 2 * stride, stride)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:  # type: ignore[override]
        """(b, width, n) -> (b, out, n * stride)."""
        step = self.stride[0]
        x = torch.cat([_before(self, x, 1, past), x], -1)
        if past is not None:
            past[self] = x[..., -1:].clone()
        return super().forward(x)[..., step:-step]


def _before(layer: nn.Module, x: Tensor, count: int, past: Past | None) -> Tensor:
    if past is not None and layer in past:
        return past[layer]
    return x.new_zeros(*x.shape[:2], count)


class SoundUnit(nn.Module):
    """A dilated filter and a mixer of channels, residual."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.wide = CausalConv(width, width, 7, dilation=dilation)
        self.mixer = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.mixer.weight)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        return x + self.mixer(F.elu(self.wide(F.elu(x), past)))


class InOrder(nn.ModuleList):
    """Layers one after the other, each with its past."""

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        for layer in self:
            x = layer(x) if isinstance(layer, nn.ELU) else layer(x, past)
        return x


class SoundVQ(nn.Module):
    """Waveforms to latent steps, quantised in turns, and back; for `codecs.audio.SoundCodec`."""

    def __init__(self, shape: SoundShape, quantiser: ResidualQuantiser) -> None:
        super().__init__()
        if quantiser.width != shape.channels:
            raise ValueError(f"a quantiser of {quantiser.width} numbers; try {shape.channels}")
        self.shape, self.quantiser = shape, quantiser
        widths = (*shape.widths, 2 * shape.widths[-1])
        down: list[nn.Module] = [CausalConv(shape.tracks, widths[0], 7)]
        up: list[nn.Module] = [CausalConv(widths[0], shape.tracks, 7), nn.ELU()]  # from the end
        for level, stride in enumerate(shape.strides):
            fine, coarse = widths[level], widths[level + 1]
            down += [SoundUnit(fine, dilation) for dilation in shape.dilations]
            down += [nn.ELU(), CausalConv(fine, coarse, 2 * stride, stride)]
            up += [SoundUnit(fine, dilation) for dilation in reversed(shape.dilations)]
            up += [CausalEnlarge(coarse, fine, stride), nn.ELU()]
        down += [nn.ELU(), CausalConv(widths[-1], shape.channels, 3)]
        up += [CausalConv(shape.channels, widths[-1], 7)]
        self.encoder, self.decoder = InOrder(down), InOrder(reversed(up))
        for edge in (down[0], up[0], down[-1], up[-1]):
            edge.outer = True  # type: ignore[assignment]

    def latents(self, wave: Tensor, past: Past | None = None) -> Tensor:
        """(b, tracks, n) in [-1, 1] -> (b, n / stride, channels) of unit mean square."""
        found = self.encoder(wave, past).transpose(1, 2)
        return F.rms_norm(found.float(), found.shape[-1:])

    def codes(self, wave: Tensor, past: Past | None = None) -> Tensor:
        """(b, tracks, n), n a multiple of the stride -> whole numbers (b, n / stride, depth)."""
        return self.quantiser.codes(self.latents(wave, past))

    def made(self, codes: Tensor, past: Past | None = None) -> Tensor:
        """(b, s, depth) -> (b, tracks, s * stride), about [-1, 1]; fewer codes a step: a coarser sound."""
        wave: Tensor = self.decoder(self.quantiser.values(codes).transpose(1, 2), past)
        return wave

    def forward(self, wave: Tensor) -> tuple[Tensor, Quantised]:
        """What is made of the quantised latents, and what quantising gave: for training."""
        found = self.quantiser(self.latents(wave))
        return self.decoder(found.values.transpose(1, 2)), found


def spectra(wave: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Magnitudes (b * tracks, bins, frames) of a waveform (b, tracks, n) in windows of each size, a quarter apart."""
    flat, found = wave.flatten(0, 1).float(), []
    for size in sizes:
        window = torch.hann_window(size, device=wave.device)
        waves = torch.stft(
            flat, size, size // 4, window=window, normalized=True, return_complex=True
        )
        found.append(waves.abs())
    return found
