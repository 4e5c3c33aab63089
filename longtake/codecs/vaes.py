"""What the latents of diffusers' autoencoders look like, from their configurations alone. No torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longtake.clip import CodecSpec
from longtake.errors import InputError

PICTURES = 16  # frames that an image decoder takes at once, as AnimateDiff's pipeline does
GROUP = 14  # frames that a decoder of pictures over time takes at once
TILE, TILE_STEP = 4, 3  # latent frames of HunyuanVideo's tiles beside the first, and between two
LTX_PIECE = 2  # latent frames that LTX and LTX-2 decode at once
Config = Mapping[str, Any]
_CONFIG, _AS_PUBLISHED = "the autoencoder's configuration", "a folder as published"
_MOST = 4096  # channels, pixels or frames of a latent


@dataclasses.dataclass(frozen=True)
class Vae:
    """An autoencoder class. latents: channels, down, stride of a configuration.

    ahead: latent frames that decoding looks ahead, of a configuration and of the latent frames that are
    decoded as the pipeline would (0: none).
    causal: the first latent frame of a take holds one frame. holds: of the same two, as in `CodecSpec`.
    """

    latents: Callable[[Config], tuple[int, int, int]]
    ahead: Callable[[Config, int], int]
    causal: bool = True
    holds: Callable[[Config, int], tuple[int, int, int]] = lambda config, whole: (1, 1, 0)

    def spec(self, config: Config, whole: int, fingerprint: str) -> CodecSpec:
        """The codec's. whole: takes of no more latent frames decode exactly as the pipeline would.

        0: none do, and a longer film begins as a shorter one.
        """
        channels, down, stride = self.latents(config)
        return CodecSpec(
            channels,
            down,
            stride,
            (0, self.ahead(config, whole)),
            fingerprint,
            lead=stride - 1 if self.causal else 0,
            holds=self.holds(config, whole),
            streams=True,
            stills=True,
        )


def in_chunks(spec: CodecSpec, count: int) -> CodecSpec:
    """Of chunks of `count` latent frames that are decoded each by itself: an index is one chunk."""
    return dataclasses.replace(
        spec,
        channels=spec.channels * count,
        stride=(count - 1) * spec.stride + 1,
        context=(0, 0),
        lead=0,
        holds=(1, 1, 0),
        streams=False,
        stills=False,
    )


def vae_of(kind: str) -> Vae:
    """The row of an autoencoder class; InputError for one that is not known."""
    if kind not in VAES:
        what = f"autoencoders of class {kind or 'none'} are not known"
        raise InputError(what, "component vae", ", ".join(sorted(VAES)))
    return VAES[kind]


def ltx_ahead(config: Config) -> int:
    """Latent frames that the decoders of LTX and LTX-2 look ahead: half widths of all convolutions; 0 if causal.

    `upsample_type`, in the other order than the rest, says which of LTX-2's blocks double the frames.
    """
    if config.get("decoder_causal"):
        return 0
    layers = list(reversed(config["decoder_layers_per_block"]))
    scaling = _each(config["decoder_spatio_temporal_scaling"], len(layers) - 1)
    kinds = config.get("upsample_type") or ["spatiotemporal"] * len(scaling)
    reach, rate = 1 + 2.0 * layers[0], 1
    for count, scaled, kind in zip(layers[1:], reversed(scaling), kinds, strict=False):
        reach += 3 / rate
        rate *= 2 if scaled and "temporal" in kind else 1
        reach += 2 * count / rate
    return math.ceil(reach + 1 / rate) + 1


def _each(value: bool | Sequence[bool], count: int) -> Sequence[bool]:
    return [value] * count if isinstance(value, bool) else value


def checked(vae: Vae, config: Config) -> tuple[int, int, int]:
    """Channels, down and stride of a configuration; InputError for what no autoencoder can have."""
    try:
        channels, down, stride = vae.latents(config)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"its sizes cannot be told: {text}", _CONFIG, _AS_PUBLISHED) from None
    for name, value in (("channels", channels), ("pixels", down), ("frames", stride)):
        if not isinstance(value, int) or not 1 <= value <= _MOST:
            raise InputError(f"a latent of {value} {name}", _CONFIG, _AS_PUBLISHED)
    for name in ("latents_mean", "latents_std"):
        told = config.get(name)
        if told is None:
            continue
        real = isinstance(told, Sequence) and all(isinstance(v, int | float) for v in told)
        if not real or len(told) != channels or not all(map(math.isfinite, told)):
            what = f"{name} is not {channels} numbers"
            raise InputError(what, _CONFIG, _AS_PUBLISHED)
        if name == "latents_std" and min(told) <= 0:
            raise InputError("latents_std holds what is no spread", _CONFIG, _AS_PUBLISHED)
    return channels, down, stride


def _wan_latents(c: Config) -> tuple[int, int, int]:
    return c.get("z_dim", 16), c.get("scale_factor_spatial", 8), c.get("scale_factor_temporal", 4)


def _ltx_latents(c: Config) -> tuple[int, int, int]:
    # as the class derives them from its scaling layers, where the configuration does not state them
    blocks = len(c.get("layers_per_block", (4, 3, 3, 3, 4))) - 1
    scaled = sum(_each(c.get("spatio_temporal_scaling", (True, True, True, False)), blocks))
    down = c.get("spatial_compression_ratio") or c.get("patch_size", 4) * 2**scaled
    stride = c.get("temporal_compression_ratio") or c.get("patch_size_t", 1) * 2**scaled
    return c.get("latent_channels", 128), down, stride


def _cog_latents(c: Config) -> tuple[int, int, int]:
    blocks = len(c.get("block_out_channels", (128, 256, 256, 512)))
    return (
        c.get("latent_channels", 16),
        2 ** (blocks - 1),
        int(c.get("temporal_compression_ratio", 4)),
    )


def _image_latents(c: Config) -> tuple[int, int, int]:
    return c.get("latent_channels", 4), 2 ** (len(c.get("block_out_channels", (64,))) - 1), 1


def _ltx_ahead(config: Config, whole: int) -> int:
    known = {
        "decoder_layers_per_block": (4, 3, 3, 3, 4),
        "decoder_spatio_temporal_scaling": (True, True, True, False),
        **config,
    }
    return max(whole, ltx_ahead(known) + LTX_PIECE)


# what the class of LTX-2's autoencoder has where a configuration does not state it
_LTX2: Config = {
    "decoder_layers_per_block": (5, 5, 5, 5),
    "decoder_spatio_temporal_scaling": True,
    "layers_per_block": (4, 6, 6, 2, 2),
    "spatio_temporal_scaling": True,
    "upsample_type": ("spatiotemporal",) * 3,
    "decoder_causal": True,
}


def _hunyuan_latents(c: Config) -> tuple[int, int, int]:
    return (
        c.get("latent_channels", 16),
        c.get("spatial_compression_ratio", 8),
        c.get("temporal_compression_ratio", 4),
    )


def _mochi_latents(c: Config) -> tuple[int, int, int]:
    return (
        c.get("latent_channels", 12),
        math.prod(c.get("spatial_expansions", (2, 2, 2))),
        math.prod(c.get("temporal_expansions", (1, 2, 3))),
    )


VAES: Mapping[str, Vae] = {
    "AutoencoderKLWan": Vae(_wan_latents, lambda config, whole: whole),
    "AutoencoderKLCogVideoX": Vae(
        _cog_latents, lambda config, whole: 2, holds=lambda config, whole: (3, 2, 0)
    ),
    # a tile's frames depend on all of the tile: without `whole` no take ends inside one
    "AutoencoderKLHunyuanVideo": Vae(
        _hunyuan_latents,
        lambda config, whole: TILE,
        holds=lambda config, whole: (1, 1, 0) if whole else (TILE + 1, TILE_STEP, 1),
    ),
    "AutoencoderKLMochi": Vae(_mochi_latents, lambda config, whole: whole),
    "AutoencoderKLTemporalDecoder": Vae(
        _image_latents,
        lambda config, whole: whole or GROUP,
        causal=False,
        holds=lambda config, whole: (1, 1, 0) if whole else (GROUP, GROUP, 0),
    ),
    "AutoencoderKLLTXVideo": Vae(_ltx_latents, _ltx_ahead),
    "AutoencoderKLLTX2Video": Vae(
        lambda config: _ltx_latents({**_LTX2, **config}),
        lambda config, whole: _ltx_ahead({**_LTX2, **config}, whole),
    ),
    "AutoencoderKL": Vae(_image_latents, lambda config, whole: PICTURES, causal=False),
}
