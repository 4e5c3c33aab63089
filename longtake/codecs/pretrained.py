"""Codecs around the autoencoders of diffusers pipelines, decoded as streams in bounded memory.

Film latents are what the pipelines call latents: normalised, (b, s, c, h, w). What a pipeline would
decode from them in one piece, a stream decodes too: exactly where the decoder is causal and works
frame by frame or pair by pair, and up to rounding where pieces with margins are cut out of the whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from longtake.clip import CodecSpec, CodecStream
from longtake.codecs.vaes import PICTURES, VAES, Vae, ltx_margin


@dataclasses.dataclass(frozen=True)
class Kind:
    """One autoencoder class at work. outward: film latents (b, c, s, h, w) to the autoencoder's; inward: back.

    stream: of (autoencoder, latent frames of the take or None, `whole` as in `Vae.spec`).
    """

    vae: Vae
    outward: Callable[[Any, Tensor], Tensor]
    inward: Callable[[Any, Tensor], Tensor]
    stream: Callable[[Any, int | None, int], CodecStream]


class VaeCodec:
    """An autoencoder of diffusers as a codec; see `Codec` and `StreamingCodec`. whole: as in `Vae.spec`."""

    def __init__(self, vae: Any, kind: Kind, spec: CodecSpec, whole: int) -> None:
        self.vae, self.kind, self.spec, self.whole = vae, kind, spec, whole

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """(b, t, 3, h, w) in [0, 1] -> (b, s, c, h/down, w/down): the mode, as pipelines condition on it."""
        x = (video * 2.0 - 1.0).transpose(1, 2).to(self.vae.device, self.vae.dtype)
        return self.kind.inward(self.vae, self._encoded(x)).transpose(1, 2).float()

    def _encoded(self, x: Tensor) -> Tensor:
        if self.kind.vae.causal:
            return self.vae.encode(x).latent_dist.mode()
        flat = [self.vae.encode(frame).latent_dist.mode() for frame in x.transpose(1, 2)]
        return torch.stack(flat).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """See `Codec`: a take of its own, in one go."""
        return self.stream(latents.shape[1]).push(latents, True)

    def stream(self, length: int | None) -> CodecStream:
        """Latents of one take in their order -> pixels in [0, 1]."""
        return _Pixels(self, self.kind.stream(self.vae, length, self.whole))


class _Pixels:
    """Around a stream of raw latents (b, c, s, h, w): film latents in, pixels in [0, 1] out."""

    def __init__(self, codec: VaeCodec, inner: CodecStream) -> None:
        self._codec, self._inner = codec, inner

    @torch.no_grad()
    def push(self, latents: Tensor, last: bool) -> Tensor:
        vae = self._codec.vae
        raw = self._codec.kind.outward(vae, latents.transpose(1, 2).to(vae.device, vae.dtype))
        video = self._inner.push(raw, last)
        return (video * 0.5 + 0.5).clamp(0, 1).transpose(1, 2).float()


class OneByOne:
    """Wan's decoder: each latent frame given the features that its causal convolutions kept."""

    def __init__(self, vae: Any, length: int | None, whole: int) -> None:
        from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

        convs = sum(isinstance(module, WanCausalConv3d) for module in vae.decoder.modules())
        self._vae, self._kept, self._begun = vae, [None] * convs, False
        self._whole, self._held = length is not None and length <= whole, list[Tensor]()

    def push(self, latents: Tensor, last: bool) -> Tensor:
        from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

        # a 1x1x1 convolution of many frames rounds otherwise than that of one
        if self._whole:
            self._held.append(latents)
            if not last:
                return _joined([], latents, self._vae)
            pieces = self._vae.post_quant_conv(torch.cat(self._held, dim=2)).split(1, dim=2)
        else:
            pieces = tuple(map(self._vae.post_quant_conv, latents.split(1, dim=2)))
        frames = []
        for x in pieces:
            first = {} if self._begun else {"first_chunk": True}
            frames.append(self._vae.decoder(x, feat_cache=self._kept, feat_idx=[0], **first))
            self._begun = True
        video = torch.cat(frames, dim=2)
        if self._vae.config.patch_size is not None:
            video = unpatchify(video, patch_size=self._vae.config.patch_size)
        return video.clamp(-1.0, 1.0)


class InPairs:
    """CogVideoX's decoder: two latent frames at a time, the odd one among the first.

    Its norms pool over what is decoded together, so pairs must lie where the whole would have them.
    """

    def __init__(self, vae: Any, length: int | None, whole: int) -> None:
        self._vae, self._cache, self._held = vae, None, None
        self._next = 3 if length is None else min(length, 2 + length % 2)

    def push(self, latents: Tensor, last: bool) -> Tensor:
        held = latents if self._held is None else torch.cat([self._held, latents], dim=2)
        frames = []
        while held.shape[2] >= self._next:
            x, held = held[:, :, : self._next], held[:, :, self._next :]
            if self._vae.post_quant_conv is not None:
                x = self._vae.post_quant_conv(x)
            video, self._cache = self._vae.decoder(x, conv_cache=self._cache)
            frames.append(video)
            self._next = 2
        self._held = held
        return _joined(frames, latents, self._vae)


class WithMargins:
    """LTX's decoder, which looks both ways: the whole up to a clip, then pieces that see their margins.

    A margin is as wide as the decoder's convolutions reach, so that pieces equal the whole up to rounding.
    """

    def __init__(self, vae: Any, length: int | None, whole: int) -> None:
        self._vae, self._stride = vae, vae.temporal_compression_ratio
        self._margin = ltx_margin(vae.config)
        self._whole = length is not None and length <= whole
        self._held: Tensor | None = None
        self._start = self._done = 0  # latents before the held ones; those whose frames are out

    def push(self, latents: Tensor, last: bool) -> Tensor:
        held = latents if self._held is None else torch.cat([self._held, latents], dim=2)
        frames, size, margin = [], 2 * self._margin, self._margin
        end = self._start + held.shape[2]
        while not self._whole and end >= self._done + size + margin:
            frames.append(self._piece(held, self._done + size, end))
            held, self._start = self._trimmed(held)
        if last and self._done < end:
            frames.append(self._piece(held, end, end))
        self._held = held
        return _joined(frames, latents, self._vae)

    def _piece(self, held: Tensor, stop: int, end: int) -> Tensor:
        """Frames of the latents from `_done` to `stop`."""
        high = min(stop + self._margin, end)
        temb = None
        if self._vae.config.timestep_conditioning:
            temb = torch.zeros(held.shape[0], device=held.device, dtype=held.dtype)
        made = self._vae.decoder(held[:, :, : high - self._start], temb)
        # latent p holds frames stride*(p-1)+1 to stride*p, and latent 0 frame 0
        first = 0 if not self._done else self._stride * (self._done - 1) + 1
        origin, self._done = self._stride * self._start, stop
        return made[:, :, first - origin : self._stride * (stop - 1) + 1 - origin]

    def _trimmed(self, held: Tensor) -> tuple[Tensor, int]:
        """What later pieces still look at; a frame more, for the first one of a piece is cut short."""
        low = max(0, self._done - self._margin - 1)
        return held[:, :, low - self._start :].clone(), low


class Pictures:
    """An image decoder: frame by frame, or in the groups of `PICTURES` that the pipeline makes.

    How a batch rounds depends on its size.
    """

    def __init__(self, vae: Any, length: int | None, whole: int) -> None:
        self._vae, self._held, self._group = vae, None, PICTURES if whole else 1

    def push(self, latents: Tensor, last: bool) -> Tensor:
        held = latents if self._held is None else torch.cat([self._held, latents], dim=2)
        frames = []
        while held.shape[2] >= self._group or (last and held.shape[2]):
            x, held = held[:, :, : self._group], held[:, :, self._group :]
            made = self._vae.decode(x.transpose(1, 2).flatten(0, 1)).sample
            frames.append(made.unflatten(0, (x.shape[0], -1)).transpose(1, 2))
        self._held = held
        return _joined(frames, latents, self._vae)


def _joined(frames: list[Tensor], latents: Tensor, vae: Any) -> Tensor:
    """Frames as one (b, 3, t, h, w); none where none are final."""
    if frames:
        return torch.cat(frames, dim=2)
    return latents.new_zeros(latents.shape[0], vae.config.out_channels, 0, 1, 1)


def _vector(vae: Any, values: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(values).view(1, -1, 1, 1, 1).to(like.device, like.dtype)


def _wan_out(vae: Any, z: Tensor) -> Tensor:
    spread = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(z.device, z.dtype)
    return z / spread + _vector(vae, vae.config.latents_mean, z)


def _wan_in(vae: Any, z: Tensor) -> Tensor:
    spread = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(z.device, z.dtype)
    return (z - _vector(vae, vae.config.latents_mean, z)) * spread


def _ltx_out(vae: Any, z: Tensor) -> Tensor:
    spread = _vector(vae, vae.latents_std, z)
    return z * spread / vae.config.scaling_factor + _vector(vae, vae.latents_mean, z)


def _ltx_in(vae: Any, z: Tensor) -> Tensor:
    mean, spread = _vector(vae, vae.latents_mean, z), _vector(vae, vae.latents_std, z)
    return (z - mean) * vae.config.scaling_factor / spread


def _scaled_out(vae: Any, z: Tensor) -> Tensor:
    return 1 / vae.config.scaling_factor * z


def _scaled_in(vae: Any, z: Tensor) -> Tensor:
    return vae.config.scaling_factor * z


KINDS: Mapping[str, Kind] = {
    "AutoencoderKLWan": Kind(VAES["AutoencoderKLWan"], _wan_out, _wan_in, OneByOne),
    "AutoencoderKLCogVideoX": Kind(
        VAES["AutoencoderKLCogVideoX"], _scaled_out, _scaled_in, InPairs
    ),
    "AutoencoderKLLTXVideo": Kind(VAES["AutoencoderKLLTXVideo"], _ltx_out, _ltx_in, WithMargins),
    "AutoencoderKL": Kind(VAES["AutoencoderKL"], _scaled_out, _scaled_in, Pictures),
}
