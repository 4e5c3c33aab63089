"""What the latents of diffusers' autoencoders look like, from their configurations alone. No torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from longtake.clip import CodecSpec
from longtake.errors import InputError

PICTURES = 16  # frames that an image decoder takes at once, as AnimateDiff's pipeline does
Config = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Vae:
    """An autoencoder class. latents: channels, down, stride of a configuration.

    ahead: latent frames that decoding looks ahead, of a configuration and of the latent frames that are
    decoded as the pipeline would (0: none).
    causal: the first latent frame of a take holds one frame. chunk: latent frames decoded together.
    """

    latents: Callable[[Config], tuple[int, int, int]]
    ahead: Callable[[Config, int], int]
    causal: bool = True
    chunk: int = 1

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
            chunk=self.chunk,
            streams=True,
            stills=True,
        )


def vae_of(kind: str) -> Vae:
    """The row of an autoencoder class; InputError for one that is not known."""
    if kind not in VAES:
        what = f"autoencoders of class {kind or 'none'} are not known"
        raise InputError(what, "component vae", ", ".join(sorted(VAES)))
    return VAES[kind]


def ltx_margin(config: Config) -> int:
    """Latent frames that the LTX decoder looks to either side: half widths of all its convolutions."""
    layers = list(reversed(config["decoder_layers_per_block"]))
    scaling = list(reversed(config["decoder_spatio_temporal_scaling"]))
    reach, rate = 1 + 2.0 * layers[0], 1
    for count, scaled in zip(layers[1:], scaling, strict=False):
        reach += 3 / rate
        rate *= 2 if scaled else 1
        reach += 2 * count / rate
    wide = math.ceil(reach + 1 / rate) + 1
    return 2 * wide if config.get("decoder_causal") else wide


def _wan_latents(c: Config) -> tuple[int, int, int]:
    return c.get("z_dim", 16), c.get("scale_factor_spatial", 8), c.get("scale_factor_temporal", 4)


def _ltx_latents(c: Config) -> tuple[int, int, int]:
    # as the class derives them from its scaling layers, where the configuration does not state them
    scaled = sum(c.get("spatio_temporal_scaling", (True, True, True, False)))
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
    return max(whole, 3 * ltx_margin(known))


VAES: Mapping[str, Vae] = {
    "AutoencoderKLWan": Vae(_wan_latents, lambda config, whole: whole),
    "AutoencoderKLCogVideoX": Vae(_cog_latents, lambda config, whole: 2, chunk=2),
    "AutoencoderKLLTXVideo": Vae(_ltx_latents, _ltx_ahead),
    "AutoencoderKL": Vae(_image_latents, lambda config, whole: PICTURES, causal=False),
}
