"""Autoencoders of diffusers as streams: equal to the whole, in memory that does not grow with the film."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import pipeline_others as others
import pipeline_parts as parts

from longtake.codecs.pretrained import KINDS, LONG, VaeCodec
from longtake.codecs.vaes import ltx_ahead
from longtake.models.pretrained.showing import _Answer

VAES = {
    "wan": (parts.wan_vae, 16, 1e-5),
    "wan-patched": (
        lambda: parts.wan_vae(
            patch_size=2,
            in_channels=12,
            out_channels=12,
            is_residual=True,
            scale_factor_spatial=16,
        ),
        16,
        1e-5,
    ),
    "cog": (parts.cog_vae, 4, 1e-5),
    "hunyuan": (others.hunyuan_vae, 4, 1e-5),
    "mochi": (others.mochi_vae, 12, 1e-5),
    "ltx": (parts.ltx_vae, 8, 1e-5),
    "ltx-causal": (lambda: parts.ltx_vae(decoder_causal=True), 8, 1e-5),
    "ltx2": (others.ltx2_vae, 8, 1e-5),
    "ltx2-causal": (lambda: others.ltx2_vae(decoder_causal=True), 8, 1e-5),
    "ltx2-timed": (lambda: others.ltx2_vae(timestep_conditioning=True), 8, 1e-5),
    "ltx2-apart": (
        lambda: others.ltx2_vae(
            downsample_type=("spatial", "temporal"),
            upsample_type=("temporal", "spatial"),
            spatial_compression_ratio=2,
            temporal_compression_ratio=2,
        ),
        8,
        1e-5,
    ),
    "ltx-deep": (lambda: parts.ltx_vae(decoder_layers_per_block=(2, 1, 2, 1, 1)), 8, 1e-5),
}


def _codec(name: str) -> tuple[VaeCodec, int]:
    torch.manual_seed(0)
    make, channels, _ = VAES[name]
    vae = make()
    kind = KINDS[type(vae).__name__]
    return VaeCodec(vae, kind, kind.vae.spec(vae.config, 0, name), 0), channels


@pytest.mark.parametrize("name", VAES)
def test_decoding_as_a_stream_is_decoding_the_whole(name: str) -> None:
    codec, channels = _codec(name)
    for length in (5, 45 if name.startswith("ltx") else 11):
        z = torch.randn(1, length, channels, 2, 3)
        raw = codec.kind.outward(codec.vae, z.transpose(1, 2))
        with torch.no_grad():
            time = torch.zeros(1) if codec.vae.config.get("timestep_conditioning") else ()
            whole = codec.vae.decode(raw, *time).sample.transpose(1, 2) * 0.5 + 0.5
        stream = codec.stream(length)
        pieces = [stream.push(z[:, n : n + 3], n + 3 >= length) for n in range(0, length, 3)]
        made = torch.cat([piece for piece in pieces if piece.shape[1]], dim=1)
        assert made.shape == whole.shape
        assert (made - whole.clamp(0, 1)).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["wan", "cog", "ltx", "ltx2", "ltx2-apart", "hunyuan", "mochi"])
def test_encoding_is_the_pipeline_s_and_decodes_to_as_many_frames(name: str) -> None:
    codec, _ = _codec(name)
    stride = codec.spec.stride
    video = torch.rand(1, 2 * stride + 1, 3, 16, 16)
    latents = codec.encode(video)
    assert latents.shape[1:3] == (3, codec.spec.channels)
    assert codec.decode(latents).shape[1] == video.shape[1]
    with torch.no_grad():
        raw = codec.vae.encode((video * 2 - 1).transpose(1, 2)).latent_dist.mode()
    back = codec.kind.outward(codec.vae, latents.transpose(1, 2))
    assert (back - raw).abs().max() <= 1e-5


ENCODED = [name for name in VAES if name not in ("ltx2-timed", "ltx-causal", "ltx2-causal")]


@pytest.mark.parametrize("name", ENCODED)
def test_encoding_as_a_stream_is_encoding_the_whole(name: str) -> None:
    codec, _ = _codec(name)
    stride = codec.spec.stride
    for frames in (1, 2 * stride + 1, (LONG // stride + 2) * stride + 1):
        video = torch.rand(1, frames, 3, 16, 16)
        with torch.no_grad():
            raw = codec.vae.encode((video * 2 - 1).transpose(1, 2)).latent_dist.mode()
        whole = codec.kind.inward(codec.vae, raw).transpose(1, 2)
        stream = codec.encoding(frames)
        pieces = [stream.push(video[:, n : n + 5], n + 5 >= frames) for n in range(0, frames, 5)]
        made = torch.cat([piece for piece in pieces if piece.shape[1]], dim=1)
        assert made.shape == whole.shape
        assert (made - whole).abs().max() <= 1e-5
        assert (codec.encode(video) - whole).abs().max() <= 1e-5


TILED = ("wan", "wan-patched", "cog", "hunyuan", "mochi", "ltx", "ltx2")


def _in_tiles(codec: VaeCodec) -> None:
    """Tiles of four latents each side, of which they share one."""
    vae = codec.vae
    wide = 4 * codec.spec.down
    if type(vae).__name__ == "AutoencoderKLCogVideoX":
        vae.enable_tiling(wide, wide, 0.25, 0.25)
    else:
        vae.enable_tiling(
            tile_sample_min_height=wide,
            tile_sample_min_width=wide,
            tile_sample_stride_height=wide - codec.spec.down,
            tile_sample_stride_width=wide - codec.spec.down,
        )


@pytest.mark.parametrize("name", TILED)
def test_a_stream_of_tiles_is_the_whole_film_in_tiles(name: str) -> None:
    codec, channels = _codec(name)
    _in_tiles(codec)
    z = torch.randn(1, 7, channels, 5, 9)
    raw = codec.kind.outward(codec.vae, z.transpose(1, 2))
    with torch.no_grad():
        whole = codec.vae.decode(raw).sample.transpose(1, 2) * 0.5 + 0.5
    stream = codec.stream(7)
    pieces = [stream.push(z[:, n : n + 3], n + 3 >= 7) for n in range(0, 7, 3)]
    made = torch.cat([piece for piece in pieces if piece.shape[1]], dim=1)
    assert made.shape == whole.shape
    assert (made - whole.clamp(0, 1)).abs().max() <= 1e-5
    codec.vae.disable_tiling()
    assert (codec.decode(z) - made).abs().max() > 1e-4, "nothing was cut"


@pytest.mark.parametrize("name", [name for name in TILED if name != "wan-patched"])
def test_a_stream_encodes_tiles_as_the_whole_video_is(name: str) -> None:
    codec, _ = _codec(name)
    _in_tiles(codec)
    frames, (high, wide) = 2 * codec.spec.stride + 1, (5 * codec.spec.down, 9 * codec.spec.down)
    video = torch.rand(1, frames, 3, high, wide)
    with torch.no_grad():
        raw = codec.vae.encode((video * 2 - 1).transpose(1, 2)).latent_dist.mode()
    whole = codec.kind.inward(codec.vae, raw).transpose(1, 2)
    stream = codec.encoding(frames)
    pieces = [stream.push(video[:, n : n + 5], n + 5 >= frames) for n in range(0, frames, 5)]
    made = torch.cat([piece for piece in pieces if piece.shape[1]], dim=1)
    assert made.shape == whole.shape
    assert (made - whole).abs().max() <= 1e-5


@pytest.mark.parametrize("name", [name for name in VAES if name.startswith("ltx")])
def test_frames_come_as_soon_as_the_codec_says(name: str) -> None:
    codec, channels = _codec(name)
    stream, ahead, out = codec.stream(40), codec.spec.context[1], 0
    assert ltx_ahead(codec.vae.config) < ahead, "what was looked at, and the piece it lies in"
    for n in range(40):
        out += stream.push(torch.zeros(1, 1, channels, 2, 2), n == 39).shape[1]
        settled = n - ahead  # the last latent frame whose frames have to be there
        assert out >= (0 if settled < 0 else settled * codec.spec.stride + 1)
    assert out == 39 * codec.spec.stride + 1


def test_noise_that_a_decoder_adds_is_the_same_in_every_piece() -> None:
    torch.manual_seed(0)
    vae = parts.ltx_vae(decoder_inject_noise=(True,) * 5)
    for module in vae.decoder.modules():
        if getattr(module, "per_channel_scale1", None) is not None:
            torch.nn.init.ones_(module.per_channel_scale1)
    kind = KINDS["AutoencoderKLLTXVideo"]
    codec = VaeCodec(vae, kind, kind.vae.spec(vae.config, 0, "noisy"), 0)
    z, before = torch.randn(1, 24, 8, 2, 3), torch.get_rng_state()
    made = codec.decode(z)
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(made, codec.decode(z))
    torch.manual_seed(0)
    with torch.no_grad():
        whole = vae.decode(kind.outward(vae, z.transpose(1, 2))).sample.transpose(1, 2)
    assert (made - (whole * 0.5 + 0.5).clamp(0, 1)).abs().max() <= 1e-5


class Live(TorchDispatchMode):
    """While it lasts, how many bytes of tensors that were made in it are alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                self._count(one.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())

    def _freed(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self.now -= size


def most(codec: VaeCodec, channels: int, latents: int, encodes: bool) -> int:
    """Bytes alive at once while a film of so many latent frames goes through a stream, piece by piece."""
    stride, frames = codec.spec.stride, (latents - 1) * codec.spec.stride + 1
    stream = codec.encoding(frames) if encodes else codec.stream(latents)
    count, step = (frames, stride) if encodes else (latents, 1)
    with Live() as live, torch.no_grad():
        for n in range(0, count, step):
            shape = (min(step, count - n), *((3, 16, 16) if encodes else (channels, 2, 2)))
            stream.push(torch.zeros(1, *shape), n + step >= count)
    return live.most


@pytest.mark.parametrize("encodes", [False, True], ids=["decode", "encode"])
@pytest.mark.parametrize("name", ["wan", "cog", "hunyuan", "mochi", "ltx", "ltx2"])
def test_memory_does_not_grow_with_the_film(name: str, encodes: bool) -> None:
    codec, channels = _codec(name)
    lengths = (9, 19) if encodes or not name.startswith("ltx") else (21, 41)
    short, long = (most(codec, channels, count, encodes) for count in lengths)
    if encodes and name == "mochi":  # its encoder attends to all of the past
        assert long > 1.5 * short
    else:
        assert long <= 1.02 * short


def test_what_answers_for_an_encoder_goes_when_nobody_holds_it() -> None:
    latent = torch.zeros(1, 4, 1, 2, 2)
    answer = _Answer(latent)
    assert answer.latent_dist.mode() is latent
    gone = weakref.ref(answer)
    del answer
    assert gone() is None, "a ring would hold it until rings are looked for"
