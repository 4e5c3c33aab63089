"""Codecs around the autoencoders of diffusers pipelines, decoded as streams in bounded memory.

Film latents are what the pipelines call latents: normalised, (b, s, c, h, w). What a pipeline would
decode from them in one piece, a stream decodes too: exactly where the decoder works frame by frame or pair by
pair, and up to rounding where its layers are given what they saw before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from longtake.clip import CodecSpec, CodecStream
from longtake.codecs.encoding import ENCODERS, EncodeStream, Whole
from longtake.codecs.lagging import Lagging
from longtake.codecs.quick import quick, replaced
from longtake.codecs.tiling import in_tiles
from longtake.codecs.vaes import GROUP, PICTURES, VAES, Vae

LONG = 65  # frames of a video that are encoded at once


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
        """(b, t, 3, h, w) in [0, 1] -> (b, s, c, h/down, w/down): the mode, as pipelines condition on it.

        Videos beyond `LONG` frames in pieces, equal up to rounding.
        """
        length = video.shape[1]
        if self.kind.vae.causal and length > LONG:
            stream = self.encoding(length)
            pieces = [stream.push(part, False) for part in video[:, :-1].split(LONG, dim=1)]
            pieces.append(stream.push(video[:, -1:], True))
            return torch.cat([piece for piece in pieces if piece.shape[1]], dim=1)
        return self._film(self._encoded(self._seen(video)))

    def encoding(self, frames: int) -> EncodeStream:
        """A new stream for a video of so many frames."""
        return _Latents(self, frames)

    def _encoded(self, x: Tensor) -> Tensor:
        if self.kind.vae.causal:
            return self.vae.encode(x).latent_dist.mode()
        flat = [self.vae.encode(frame).latent_dist.mode() for frame in x.transpose(1, 2)]
        return torch.stack(flat).transpose(1, 2)

    def _seen(self, video: Tensor) -> Tensor:
        """As the autoencoder sees frames, (b, 3, t, h, w) in [-1, 1]."""
        return (video * 2.0 - 1.0).transpose(1, 2).to(self.vae.device, self.vae.dtype)

    def _film(self, modes: Tensor) -> Tensor:
        """Film latents of the autoencoder's."""
        return self.kind.inward(self.vae, modes).transpose(1, 2).float()

    def decode(self, latents: Tensor) -> Tensor:
        """See `Codec`: a take of its own, in one go."""
        return self.stream(latents.shape[1]).push(latents, True)

    def stream(self, length: int | None) -> CodecStream:
        """Latents of one take in their order -> pixels in [0, 1]."""

        def make(tile: bool) -> CodecStream:
            # tiles of Wan's are decoded frame by frame, also those of a film no longer than the clip
            apart = tile and self.kind.stream is OneByOne
            return self.kind.stream(self.vae, length, 0 if apart else self.whole)

        return _Pixels(self, in_tiles(self.vae, make, decodes=True))


class ChunkCodec:
    """An autoencoder whose takes are chunks of `count` latent frames, kept as one frame with more channels."""

    def __init__(self, inner: VaeCodec, count: int, spec: CodecSpec) -> None:
        self.inner, self.count, self.spec = inner, count, spec

    def encode(self, video: Tensor) -> Tensor:
        """(b, n*stride, 3, h, w) -> (b, n, count*c, h/down, w/down)."""
        chunks = [self.inner.encode(chunk) for chunk in video.split(self.spec.stride, dim=1)]
        return torch.stack([chunk.flatten(1, 2) for chunk in chunks], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """(b, n, count*c, h, w) -> (b, n*stride, 3, ...): every chunk for itself, as its pipeline does."""
        chunks = latents.unflatten(2, (self.count, -1)).unbind(1)
        return torch.cat([self.inner.decode(chunk) for chunk in chunks], dim=1)


class _Latents:
    """Around an encoder's stream: pixels in [0, 1] in, film latents out; pictures apart one by one."""

    def __init__(self, codec: VaeCodec, frames: int) -> None:
        self._codec, kind = codec, ENCODERS.get(type(codec.vae).__name__, Whole)
        # what is encoded as a whole cuts its tiles itself
        self._inner: Any = kind(codec.vae, frames)
        if not isinstance(self._inner, Whole):
            self._inner = in_tiles(codec.vae, lambda tile: kind(codec.vae, frames), decodes=False)

    @torch.no_grad()
    def push(self, video: Tensor, last: bool) -> Tensor:
        x = self._codec._seen(video)
        modes = (
            self._inner.push(x, last) if self._codec.kind.vae.causal else self._codec._encoded(x)
        )
        if modes.shape[2]:
            return self._codec._film(modes)
        return video.new_zeros(len(video), 0, self._codec.spec.channels, 1, 1)


class _Pixels:
    """Around a stream of raw latents (b, c, s, h, w): film latents in, pixels in [0, 1] out."""

    def __init__(self, codec: VaeCodec, inner: CodecStream) -> None:
        self._codec, self._inner = codec, inner

    @torch.no_grad()
    def push(self, latents: Tensor, last: bool) -> Tensor:
        vae = self._codec.vae
        raw = self._codec.kind.outward(vae, latents.transpose(1, 2).to(vae.device, vae.dtype))
        video = self._inner.push(raw, last)
        # one new tensor and not three; the stream may still need its own
        return video.mul(0.5).add_(0.5).clamp_(0, 1).transpose(1, 2).float()


class OneByOne:
    """Wan's decoder: each latent frame given the features that its causal convolutions kept."""

    def __init__(self, vae: Any, length: int | None, whole: int) -> None:
        from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

        convs = sum(isinstance(module, WanCausalConv3d) for module in vae.decoder.modules())
        self._vae, self._kept, self._begun = vae, [None] * convs, False
        self._whole, self._held = length is not None and length <= whole, list[Tensor]()

    def push(self, latents: Tensor, last: bool) -> Tensor:
        return self.finish(self.raw(latents, last))

    def finish(self, video: Tensor) -> Tensor:
        """Pixels as `decode` gives them, of what the decoder makes."""
        from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

        if self._vae.config.patch_size is not None and video.shape[2]:
            video = unpatchify(video, patch_size=self._vae.config.patch_size)
        return video.clamp(-1.0, 1.0)

    def raw(self, latents: Tensor, last: bool) -> Tensor:
        """What the decoder makes, before it is clipped."""
        # a 1x1x1 convolution of many frames rounds otherwise than that of one
        if self._whole:
            self._held.append(latents)
            if not last:
                return _joined([], latents, self._vae)
            pieces = self._vae.post_quant_conv(torch.cat(self._held, dim=2)).split(1, dim=2)
        else:
            pieces = tuple(map(self._vae.post_quant_conv, latents.split(1, dim=2)))
        frames, decoder = [], self._vae.decoder
        with contextlib.nullcontext() if self._whole else quick(decoder):
            for x in pieces:
                first = {} if self._begun else {"first_chunk": True}
                frames.append(decoder(x, feat_cache=self._kept, feat_idx=[0], **first))
                self._begun = True
        return torch.cat(frames, dim=2)


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


class Pictures:
    """An image decoder: frame by frame, or in the groups of `PICTURES` that the pipeline makes.

    How a batch rounds depends on its size.
    """

    def __init__(self, vae: Any, length: int | None, whole: int) -> None:
        self._vae, self._held, self._group = vae, None, self._together(length, whole)

    def _together(self, length: int | None, whole: int) -> int:
        return PICTURES if whole else 1

    def _decoded(self, pictures: Tensor) -> Tensor:
        made: Tensor = self._vae.decode(pictures).sample
        return made

    def push(self, latents: Tensor, last: bool) -> Tensor:
        held = latents if self._held is None else torch.cat([self._held, latents], dim=2)
        frames = []
        while held.shape[2] >= self._group or (last and held.shape[2]):
            x, held = held[:, :, : self._group], held[:, :, self._group :]
            made = self._decoded(x.transpose(1, 2).flatten(0, 1))
            frames.append(made.unflatten(0, (x.shape[0], -1)).transpose(1, 2))
        self._held = held
        return _joined(frames, latents, self._vae)


class Groups(Pictures):
    """A decoder of pictures that looks over time, which its pipeline gives a group of frames at once."""

    def _together(self, length: int | None, whole: int) -> int:
        return whole or GROUP

    def _decoded(self, pictures: Tensor) -> Tensor:
        made: Tensor = self._vae.decode(pictures, num_frames=len(pictures)).sample
        return made


class Tiles:
    """HunyuanVideo's decoder: overlapping tiles of time, blended, as its `decode` makes of the whole."""

    def __init__(self, vae: Any, length: int | None, whole: int) -> None:
        self._vae, ratio = vae, vae.temporal_compression_ratio
        self._size = vae.tile_sample_min_num_frames // ratio
        self._step, self._ratio = vae.tile_sample_stride_num_frames // ratio, ratio
        self._blend = vae.tile_sample_min_num_frames - vae.tile_sample_stride_num_frames
        self._alone = length is not None and length <= self._size
        self._held: Tensor | None = None
        self._before: Tensor | None = None
        self._next = self._start = self._out = (
            0  # the next tile's, the first held latent; frames out
        )

    def push(self, latents: Tensor, last: bool) -> Tensor:
        held = latents if self._held is None else torch.cat([self._held, latents], dim=2)
        end, frames = self._start + held.shape[2], []
        if self._alone:
            frames += [self._vae.decode(held).sample] if last else []
        while not self._alone and (self._next + self._size < end or (last and self._next < end)):
            first = self._next - self._start
            frames.append(self._tile(held[:, :, first : first + self._size + 1]))
            self._next += self._step
        keep = min(self._next - self._start, held.shape[2])
        self._held, self._start = held[:, :, keep:], self._start + keep
        made = _joined(frames, latents, self._vae)
        if last:
            made = made[:, :, : (end - 1) * self._ratio + 1 - self._out]
        self._out += made.shape[2]
        return made

    def _tile(self, z: Tensor) -> Tensor:
        vae, first = self._vae, self._next == 0
        wide = vae.tile_sample_min_width // vae.spatial_compression_ratio
        high = vae.tile_sample_min_height // vae.spatial_compression_ratio
        if vae.use_tiling and (z.shape[-1] > wide or z.shape[-2] > high):
            tile = vae.tiled_decode(z).sample
        else:
            tile = vae.decoder(vae.post_quant_conv(z))
        if not first:
            tile = vae.blend_t(self._before, tile[:, :, 1:], self._blend)
        self._before = tile
        return tile[:, :, : self._step * self._ratio + first]


class Causally:
    """Mochi's decoder: each latent frame given what its causal convolutions saw before.

    They repeat the picture's border, for which diffusers keeps no such cache.
    """

    def __init__(self, vae: Any, length: int | None, whole: int) -> None:
        from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d

        decoder = vae.decoder.modules()
        convs = [module for module in decoder if isinstance(module, CogVideoXCausalConv3d)]
        self._vae, self._begun = vae, False
        self._kept: dict[Any, Tensor | None] = dict.fromkeys(convs)
        self._whole, self._held = length is not None and length <= whole, list[Tensor]()

    def push(self, latents: Tensor, last: bool) -> Tensor:
        if self._whole:
            self._held.append(latents)
            made = [self._vae.decode(torch.cat(self._held, dim=2)).sample] if last else []
            return _joined(made, latents, self._vae)
        frames = []
        with contextlib.ExitStack() as stack:
            for conv in self._kept:
                way = functools.partial(self._convolved, conv)
                stack.enter_context(replaced(conv, "forward", way))
            stack.enter_context(quick(self._vae.decoder))
            for x in latents.split(1, dim=2):
                made = self._vae.decoder(x)[0]
                lead = 0 if self._begun else self._vae.temporal_compression_ratio - 1
                frames.append(made[:, :, lead:])
                self._begun = True
        return torch.cat(frames, dim=2)

    def _convolved(self, conv: Any, x: Tensor, conv_cache: Any = None) -> tuple[Tensor, None]:
        sides = (conv.width_pad, conv.width_pad, conv.height_pad, conv.height_pad, 0, 0)
        x = torch.nn.functional.pad(x, sides, mode="replicate")
        before = self._kept[conv]
        before = x[:, :, :1].repeat(1, 1, conv.time_pad, 1, 1) if before is None else before
        x = torch.cat([before, x], dim=2)
        self._kept[conv] = x[:, :, x.shape[2] - conv.time_pad :]
        return conv.conv(x), None


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


def _mochi_out(vae: Any, z: Tensor) -> Tensor:
    mean, spread = vae.config.latents_mean, vae.config.latents_std
    if mean is None or spread is None:
        return z / vae.config.scaling_factor
    return z * _vector(vae, spread, z) / vae.config.scaling_factor + _vector(vae, mean, z)


def _mochi_in(vae: Any, z: Tensor) -> Tensor:
    mean, spread = vae.config.latents_mean, vae.config.latents_std
    if mean is None or spread is None:
        return z * vae.config.scaling_factor
    return (z - _vector(vae, mean, z)) * vae.config.scaling_factor / _vector(vae, spread, z)


def _divided_out(vae: Any, z: Tensor) -> Tensor:
    return z / vae.config.scaling_factor


def _scaled_out(vae: Any, z: Tensor) -> Tensor:
    return 1 / vae.config.scaling_factor * z


def _scaled_in(vae: Any, z: Tensor) -> Tensor:
    return vae.config.scaling_factor * z


KINDS: Mapping[str, Kind] = {
    "AutoencoderKLWan": Kind(VAES["AutoencoderKLWan"], _wan_out, _wan_in, OneByOne),
    "AutoencoderKLCogVideoX": Kind(
        VAES["AutoencoderKLCogVideoX"], _scaled_out, _scaled_in, InPairs
    ),
    "AutoencoderKLLTXVideo": Kind(VAES["AutoencoderKLLTXVideo"], _ltx_out, _ltx_in, Lagging),
    "AutoencoderKLLTX2Video": Kind(VAES["AutoencoderKLLTX2Video"], _ltx_out, _ltx_in, Lagging),
    "AutoencoderKLHunyuanVideo": Kind(
        VAES["AutoencoderKLHunyuanVideo"], _divided_out, _scaled_in, Tiles
    ),
    "AutoencoderKLMochi": Kind(VAES["AutoencoderKLMochi"], _mochi_out, _mochi_in, Causally),
    "AutoencoderKLTemporalDecoder": Kind(
        VAES["AutoencoderKLTemporalDecoder"], _scaled_out, _scaled_in, Groups
    ),
    "AutoencoderKL": Kind(VAES["AutoencoderKL"], _scaled_out, _scaled_in, Pictures),
}
