"""The decoders of LTX and LTX-2 as streams: every convolution keeps the frames that it will see again.

diffusers has no such caches for them. Where a decoder looks both ways, a convolution of width 3 gives out a frame when
the next one is there: each layer lags one frame behind the one before, and what goes around layers waits for them.
At the end of a take the last frame is repeated, layer by layer, as the whole would have it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from longtake.codecs.quick import quick, replaced
from longtake.codecs.vaes import LTX_PIECE


class _Waiting(Exception):
    """No frame is final yet."""


class Lagging:
    """The whole up to a clip, as its pipeline decodes it; longer takes piece by piece."""

    def __init__(self, vae: Any, length: int | None, whole: int) -> None:
        modules = list(vae.decoder.modules())
        self._vae = vae
        self._convs = [one for one in modules if type(one).__name__.endswith("CausalConv3d")]
        self._ups = [one for one in modules if type(one).__name__.endswith("Upsampler3d")]
        self._blocks = [one for one in modules if type(one).__name__.endswith("ResnetBlock3d")]
        self._noisy = any(block.per_channel_scale1 is not None for block in self._blocks)
        self._whole = length is not None and length <= whole
        self._held: Tensor | None = None
        self._kept = dict[
            Any, Tensor
        ]()  # of a convolution or a layer's way around, what it still needs
        self._made = dict[Any, int]()  # frames that a convolution gave out last
        self._last = False

    def push(self, latents: Tensor, last: bool) -> Tensor:
        """The next latents (b, c, s, h, w) -> the next final frames (b, 3, t, ...), t perhaps 0."""
        held = latents if self._held is None else torch.cat([self._held, latents], dim=2)
        frames = []
        if self._whole:
            frames += [self._decoded(held)] if last else []
            held = held[:, :, : 0 if last else None]
        else:
            with self._told():
                while held.shape[2] >= LTX_PIECE or (last and held.shape[2]):
                    self._last = last and held.shape[2] <= LTX_PIECE
                    frames.append(self._decoded(held[:, :, :LTX_PIECE]))
                    held = held[:, :, LTX_PIECE:]
        self._held = held.clone()
        frames = [made for made in frames if made.shape[2]]
        if frames:
            return frames[0] if len(frames) == 1 else torch.cat(frames, dim=2)
        return latents.new_zeros(len(latents), self._vae.config.out_channels, 0, 1, 1)

    def _decoded(self, x: Tensor) -> Tensor:
        temb = None
        if self._vae.config.timestep_conditioning:
            temb = torch.zeros(len(x), device=x.device, dtype=x.dtype)
        try:
            with _steady(x) if self._noisy else contextlib.nullcontext():
                made: Tensor = self._vae.decoder(x, temb)
        except _Waiting:
            return x.new_zeros(len(x), self._vae.config.out_channels, 0, 1, 1)
        return made

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """While it lasts, layers remember what came before."""
        with contextlib.ExitStack() as stack:
            ways = [(conv, self._convolved) for conv in self._convs]
            for module, way in (*ways, *((up, self._doubled) for up in self._ups)):
                told = functools.partial(way, module)
                stack.enter_context(replaced(module, "forward", told))
            for block in self._blocks:
                # past the module's bookkeeping: `forward` adds to its own what this gives out
                before = vars(block).get("conv_shortcut", block)
                own = block.conv_shortcut
                vars(block)["conv_shortcut"] = functools.partial(self._around, block, own)
                stack.callback(_restored, block, before)
            stack.enter_context(quick(self._vae.decoder))
            yield

    def _convolved(self, conv: Any, x: Tensor, causal: bool | None = None) -> Tensor:
        causal = conv.is_causal if causal is None else causal
        width = conv.kernel_size[0]
        ahead = 0 if causal else (width - 1) // 2
        before = self._kept.get(conv)
        if before is None and x.shape[2]:
            before = x[:, :, :1].repeat(1, 1, width - 1 - ahead, 1, 1)
        if before is not None:
            x = torch.cat([before, x], dim=2)
            if self._last and ahead:
                x = torch.cat([x, x[:, :, -1:].repeat(1, 1, ahead, 1, 1)], dim=2)
            self._kept[conv] = x[:, :, max(0, x.shape[2] - width + 1) :].clone()
        count = self._made[conv] = max(0, x.shape[2] - width + 1)
        if count:
            made: Tensor = conv.conv(x)
            return made
        if conv is self._vae.decoder.conv_out:
            raise _Waiting  # what comes after it cannot fold nothing
        return x.new_zeros(len(x), conv.out_channels, 0, *x.shape[3:])

    def _around(self, block: Any, own: Any, x: Tensor) -> Tensor:
        """What goes around a block's two convolutions, as many frames as came through them."""
        x = x if own is None else own(x)
        before = self._kept.get(block)
        x = x if before is None else torch.cat([before, x], dim=2)
        count = self._made[block.conv2]
        self._kept[block] = x[:, :, count:].clone()
        return x[:, :, :count]

    def _doubled(self, up: Any, x: Tensor, causal: bool | None = None) -> Tensor:
        """Channels become frames and places; of a take's first frames all but the last are dropped."""
        told = {} if causal is None else {"causal": causal}
        made = _unfolded(up.conv(x, **told), up.stride)
        if up.residual:
            before = self._kept.get((up, "around"))
            x = x if before is None else torch.cat([before, x], dim=2)
            count = self._made[up.conv]
            self._kept[up, "around"] = x[:, :, count:].clone()
            repeats = up.stride[0] * up.stride[1] * up.stride[2] // up.upscale_factor
            made = made + _unfolded(x[:, :, :count], up.stride).repeat(1, repeats, 1, 1, 1)
        if made.shape[2] and up not in self._kept:
            self._kept[up] = made[:, :, :0]  # it has begun
            made = made[:, :, up.stride[0] - 1 :]
        return made


def _restored(block: Any, before: Any) -> None:
    if before is block:  # it was registered as a module, or not there
        del vars(block)["conv_shortcut"]
    else:
        vars(block)["conv_shortcut"] = before


@contextlib.contextmanager
def _steady(x: Tensor) -> Iterator[None]:
    """While it lasts, decoders that add noise add the same to every piece, as to all frames of a whole."""
    devices = [x.device] if x.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        yield


def _unfolded(x: Tensor, by: tuple[int, int, int]) -> Tensor:
    """(b, c*by, t, h, w) -> (b, c, t*by, h*by, w*by)."""
    x = x.unflatten(1, (-1, *by))
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).flatten(6, 7).flatten(4, 5).flatten(2, 3)
