"""The encoders of diffusers' autoencoders as streams: frames in their order go in, latents come out, memory stays.

What a stream makes equals what encoding the whole makes, up to rounding. Mochi's encoder attends to all
frames of the past, and encoders that are not causal look ahead: those wait for the last frame.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from longtake.codecs.quick import replaced

PIECE = 16  # frames that LTX encodes at once


class EncodeStream(Protocol):
    """An encoding under way."""

    def push(self, video: Tensor, last: bool) -> Tensor:
        """The next frames (b, t, 3, h, w) in [0, 1] -> the next latents (b, s, c, h, w), s perhaps 0."""


class Whole:
    """Waits for the last frame. frames: of the video."""

    def __init__(self, vae: Any, frames: int) -> None:
        self._vae, self._held, self._left = vae, list[Tensor](), frames

    def push(self, x: Tensor, last: bool) -> Tensor:
        """The next frames (b, 3, t, h, w) in [-1, 1] -> the next modes (b, c, s, h, w), s perhaps 0."""
        self._held.append(x)
        if not last:
            return x.new_zeros(len(x), 1, 0, 1, 1)
        mode: Tensor = self._vae.encode(torch.cat(self._held, dim=2)).latent_dist.mode()
        return mode


class Pieces:
    """Encodes pieces of a video one after the other: `first` frames, then `size` at a time."""

    first, size = 1, 4

    def __init__(self, vae: Any, frames: int) -> None:
        self._vae, self._held, self._begun = vae, list[Tensor](), False

    def push(self, x: Tensor, last: bool) -> Tensor:
        """As `Whole.push`."""
        held, made = torch.cat([*self._held, x], dim=2), []
        while held.shape[2] and (held.shape[2] >= self._next or last):
            made.append(self._piece(held[:, :, : self._next]).chunk(2, dim=1)[0])
            held, self._begun = held[:, :, self._next :], True
        self._held = [held.clone()]
        return torch.cat(made, dim=2) if made else x.new_zeros(len(x), 1, 0, 1, 1)

    @property
    def _next(self) -> int:
        return self.size if self._begun else self.first

    def _piece(self, x: Tensor) -> Tensor:
        """Mean and spread of its latents."""
        raise NotImplementedError


class WanPieces(Pieces):
    """A frame, then four at a time, given what its causal convolutions kept."""

    def __init__(self, vae: Any, frames: int) -> None:
        from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

        super().__init__(vae, frames)
        convs = sum(isinstance(module, WanCausalConv3d) for module in vae.encoder.modules())
        self._kept: list[Any] = [None] * convs

    def _piece(self, x: Tensor) -> Tensor:
        from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

        if self._vae.config.patch_size is not None:
            x = patchify(x, patch_size=self._vae.config.patch_size)
        made = self._vae.encoder(x, feat_cache=self._kept, feat_idx=[0])
        moments: Tensor = self._vae.quant_conv(made)
        return moments


class CogPieces(Pieces):
    """CogVideoX's: eight frames at a time, what is left over among the first."""

    def __init__(self, vae: Any, frames: int) -> None:
        super().__init__(vae, frames)
        self.size = vae.num_sample_frames_batch_size
        self.first = self.size + frames % self.size if frames >= self.size else frames
        self._cache: Any = None

    def _piece(self, x: Tensor) -> Tensor:
        made, self._cache = self._vae.encoder(x, conv_cache=self._cache)
        moments: Tensor = made if self._vae.quant_conv is None else self._vae.quant_conv(made)
        return moments


class TiledPieces:
    """HunyuanVideo's: overlapping tiles of time, blended, as its `encode` makes of the whole."""

    def __init__(self, vae: Any, frames: int) -> None:
        self._vae, self._held, self._left = vae, None, (frames - 1) // self._ratio(vae) + 1
        self._size, self._step = vae.tile_sample_min_num_frames, vae.tile_sample_stride_num_frames
        self._alone = frames <= self._size
        self._before: Tensor | None = None

    def push(self, x: Tensor, last: bool) -> Tensor:
        """As `Whole.push`."""
        held = x if self._held is None else torch.cat([self._held, x], dim=2)
        made = []
        if self._alone:
            made += [self._vae.encode(held).latent_dist.mode()] if last else []
        while not self._alone and held.shape[2] and (held.shape[2] > self._size or last):
            made.append(self._tile(held[:, :, : self._size + 1]).chunk(2, dim=1)[0])
            held = held[:, :, self._step :]
        self._held = held.clone()
        latents = torch.cat(made, dim=2) if made else x.new_zeros(len(x), 1, 0, 1, 1)
        latents = latents[:, :, : self._left]
        self._left -= latents.shape[2]
        return latents

    def _tile(self, x: Tensor) -> Tensor:
        vae, ratio = self._vae, self._ratio(self._vae)
        high, wide = x.shape[-2:]
        if vae.use_tiling and (
            high > vae.tile_sample_min_height or wide > vae.tile_sample_min_width
        ):
            tile = vae.tiled_encode(x)
        else:
            tile = vae.quant_conv(vae.encoder(x))
        first = self._before is None
        if not first:
            blended = (self._size - self._step) // ratio
            tile = vae.blend_t(self._before, tile[:, :, 1:], blended)
        self._before = tile
        return tile[:, :, : self._step // ratio + first]

    @staticmethod
    def _ratio(vae: Any) -> int:
        return int(vae.temporal_compression_ratio)


class CausalPieces(Pieces):
    """The encoders of LTX and LTX-2: their causal convolutions keep what they would see again.

    diffusers has no such cache for them: each convolution, and each fold of frames into channels, is told
    what came before while a piece goes through.
    """

    first, size = PIECE + 1, PIECE

    def __init__(self, vae: Any, frames: int) -> None:
        super().__init__(vae, frames)
        modules = list(vae.encoder.modules())
        self._convs = [one for one in modules if type(one).__name__.endswith("CausalConv3d")]
        self._folds = [one for one in modules if type(one).__name__.endswith("Downsampler3d")]
        self._kept: dict[Any, Tensor] = {}

    def _piece(self, x: Tensor) -> Tensor:
        with contextlib.ExitStack() as stack:
            told = (*zip(self._convs, [self._convolved] * len(self._convs), strict=True),)
            told += (*zip(self._folds, [self._folded] * len(self._folds), strict=True),)
            for module, way in told:
                stack.enter_context(replaced(module, "forward", functools.partial(way, module)))
            moments: Tensor = self._vae.encoder(x)
        return moments

    def _convolved(self, conv: Any, x: Tensor, causal: bool = True) -> Tensor:
        width, step = conv.kernel_size[0], conv.conv.stride[0]
        before = self._kept.get(conv)
        before = x[:, :, :1].repeat(1, 1, width - 1, 1, 1) if before is None else before
        x = torch.cat([before, x], dim=2)
        self._kept[conv] = x[:, :, ((x.shape[2] - width) // step + 1) * step :].clone()
        made: Tensor = conv.conv(x)
        return made

    def _folded(self, fold: Any, x: Tensor, causal: bool = True) -> Tensor:
        """Frames and places go into channels, of the convolved and, averaged, of what it saw."""
        if not self._begun:
            x = torch.cat([x[:, :, : fold.stride[0] - 1], x], dim=2)
        mean = _unshuffled(x, fold.stride).unflatten(1, (-1, fold.group_size)).mean(dim=2)
        return _unshuffled(fold.conv(x), fold.stride) + mean


def _unshuffled(x: Tensor, by: tuple[int, int, int]) -> Tensor:
    """(b, c, t, h, w) -> (b, c*by, t/by, h/by, w/by)."""
    for axis in (4, 3, 2):
        x = x.unflatten(axis, (-1, by[axis - 2]))
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


def _ltx(vae: Any, frames: int) -> Whole | CausalPieces:
    causal = vae.config.get("encoder_causal", True) and vae.config.get("patch_size_t", 1) == 1
    return CausalPieces(vae, frames) if causal else Whole(vae, frames)


ENCODERS: Mapping[str, Callable[[Any, int], Any]] = {
    "AutoencoderKLWan": WanPieces,
    "AutoencoderKLCogVideoX": CogPieces,
    "AutoencoderKLHunyuanVideo": TiledPieces,
    "AutoencoderKLLTXVideo": _ltx,
    "AutoencoderKLLTX2Video": _ltx,
}
