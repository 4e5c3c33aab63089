"""Tiny diffusers video pipelines with random weights, made offline as diffusers' own tests make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import diffusers
import transformers
from pipeline_blocks import tokenizer, wan_vae, words
from pipeline_others import (
    framepack,
    helios,
    hunyuan_concat,
    hunyuan_image,
    hunyuan_text,
    ltx2_condition,
    ltx2_image,
    ltx2_text,
    mochi,
    svd,
)


def _wan_net(kind: str = "WanTransformer3DModel", **changes: Any) -> Any:
    sizes = {
        "patch_size": (1, 2, 2),
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 16,
        "out_channels": 16,
        "text_dim": 16,
        "freq_dim": 16,
        "ffn_dim": 32,
        "num_layers": 2,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 32,
    }
    return getattr(diffusers, kind)(**{**sizes, **changes}).eval()


def _wan_parts(**changes: Any) -> dict[str, Any]:
    parts = {
        "transformer": _wan_net(),
        "vae": wan_vae(),
        "scheduler": diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        "text_encoder": words(),
        "tokenizer": tokenizer(),
    }
    return {**parts, **changes}


def _seeing() -> dict[str, Any]:
    config = transformers.CLIPVisionConfig(
        hidden_size=4,
        projection_dim=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        intermediate_size=16,
        patch_size=8,
    )
    processor = transformers.CLIPImageProcessor(crop_size=32, size=32)
    return {
        "image_encoder": transformers.CLIPVisionModel(config).eval(),
        "image_processor": processor,
    }


def wan_text() -> Any:
    return diffusers.WanPipeline(**_wan_parts())


def wan_image() -> Any:
    net = _wan_net(in_channels=36, image_dim=4)
    return diffusers.WanImageToVideoPipeline(**_wan_parts(transformer=net, **_seeing()))


def wan_ends() -> Any:
    net = _wan_net(in_channels=36, image_dim=4, pos_embed_seq_len=2 * (4 * 4 + 1))
    return diffusers.WanImageToVideoPipeline(**_wan_parts(transformer=net, **_seeing()))


def wan_vace() -> Any:
    net = _wan_net("WanVACETransformer3DModel", vace_layers=[0], vace_in_channels=96)
    return diffusers.WanVACEPipeline(**_wan_parts(transformer=net))


def ltx_vae(**changes: Any) -> Any:
    sizes = {
        "latent_channels": 8,
        "block_out_channels": (8, 8, 8, 8),
        "decoder_block_out_channels": (8, 8, 8, 8),
        "layers_per_block": (1, 1, 1, 1, 1),
        "decoder_layers_per_block": (1, 1, 1, 1, 1),
        "spatio_temporal_scaling": (True, True, False, False),
        "decoder_spatio_temporal_scaling": (True, True, False, False),
        "decoder_inject_noise": (False, False, False, False, False),
        "upsample_residual": (False, False, False, False),
        "upsample_factor": (1, 1, 1, 1),
        "timestep_conditioning": False,
        "patch_size": 1,
        "patch_size_t": 1,
        "encoder_causal": True,
        "decoder_causal": False,
    }
    vae = diffusers.AutoencoderKLLTXVideo(**{**sizes, **changes}).eval()
    vae.use_framewise_encoding = vae.use_framewise_decoding = False
    return vae


def _ltx_parts() -> dict[str, Any]:
    net = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=16,
    )
    return {
        "transformer": net.eval(),
        "vae": ltx_vae(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
        "text_encoder": words("T5EncoderModel"),
        "tokenizer": tokenizer(),
    }


def ltx_text() -> Any:
    return diffusers.LTXPipeline(**_ltx_parts())


def ltx_image() -> Any:
    return diffusers.LTXImageToVideoPipeline(**_ltx_parts())


def ltx_condition() -> Any:
    return diffusers.LTXConditionPipeline(**_ltx_parts())


def cog_vae(**changes: Any) -> Any:
    sizes = {
        "down_block_types": ("CogVideoXDownBlock3D",) * 4,
        "up_block_types": ("CogVideoXUpBlock3D",) * 4,
        "block_out_channels": (8, 8, 8, 8),
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "temporal_compression_ratio": 4,
    }
    return diffusers.AutoencoderKLCogVideoX(**{**sizes, **changes}).eval()


def _cog_parts(channels: int) -> dict[str, Any]:
    net = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=channels,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=16,
        num_layers=1,
        sample_width=2,
        sample_height=2,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=16,
        use_rotary_positional_embeddings=True,
    )
    return {
        "transformer": net.eval(),
        "vae": cog_vae(),
        "scheduler": diffusers.CogVideoXDDIMScheduler(),
        "text_encoder": words("T5EncoderModel"),
        "tokenizer": tokenizer(),
    }


def cog_text() -> Any:
    return diffusers.CogVideoXPipeline(**_cog_parts(4))


def cog_image() -> Any:
    return diffusers.CogVideoXImageToVideoPipeline(**_cog_parts(8))


def skyreels_forcing() -> Any:
    net = _wan_net("SkyReelsV2Transformer3DModel")
    return diffusers.SkyReelsV2DiffusionForcingPipeline(**_wan_parts(transformer=net))


def skyreels_text() -> Any:
    net = _wan_net("SkyReelsV2Transformer3DModel")
    return diffusers.SkyReelsV2Pipeline(**_wan_parts(transformer=net))


def skyreels_image() -> Any:
    """Its encoder of pictures is the one with a projection."""
    net = _wan_net("SkyReelsV2Transformer3DModel", in_channels=36, image_dim=4)
    seeing = _seeing()
    config = seeing["image_encoder"].config
    seeing["image_encoder"] = transformers.CLIPVisionModelWithProjection(config).eval()
    return diffusers.SkyReelsV2ImageToVideoPipeline(**_wan_parts(transformer=net, **seeing))


def animate() -> Any:
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 8),
        layers_per_block=1,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        norm_num_groups=2,
        attention_head_dim=4,
    )
    motion = diffusers.MotionAdapter(
        block_out_channels=(8, 8),
        motion_layers_per_block=1,
        motion_norm_num_groups=2,
        motion_num_attention_heads=2,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
    )
    text = transformers.CLIPTextConfig(
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
        vocab_size=32,
        eos_token_id=1,
        max_position_embeddings=16,
    )
    return diffusers.AnimateDiffPipeline(
        unet=unet.eval(),
        motion_adapter=motion.eval(),
        vae=vae.eval(),
        scheduler=diffusers.DDIMScheduler(beta_schedule="linear", clip_sample=False),
        text_encoder=transformers.CLIPTextModel(text).eval(),
        tokenizer=tokenizer(),
    )


# name: how it is made, frames of a clip here, (width, height)
PIPELINES: dict[str, tuple[Callable[[], Any], int, tuple[int, int]]] = {
    "wan-text": (wan_text, 17, (32, 16)),
    "wan-image": (wan_image, 17, (32, 16)),
    "wan-ends": (wan_ends, 17, (32, 16)),
    "wan-vace": (wan_vace, 17, (32, 16)),
    "skyreels-forcing": (skyreels_forcing, 17, (32, 16)),
    "skyreels-text": (skyreels_text, 17, (32, 16)),
    "skyreels-image": (skyreels_image, 17, (32, 16)),
    "ltx-text": (ltx_text, 17, (32, 32)),
    "ltx-image": (ltx_image, 17, (32, 32)),
    "ltx-condition": (ltx_condition, 17, (32, 32)),
    "ltx2-text": (ltx2_text, 17, (32, 32)),
    "ltx2-image": (ltx2_image, 17, (32, 32)),
    "ltx2-condition": (ltx2_condition, 17, (32, 32)),
    "cog-text": (cog_text, 17, (32, 16)),
    "cog-image": (cog_image, 17, (32, 16)),
    "animate": (animate, 8, (16, 16)),
    "hunyuan-text": (hunyuan_text, 17, (32, 16)),
    "hunyuan-image": (hunyuan_image, 17, (32, 16)),
    "hunyuan-concat": (hunyuan_concat, 17, (32, 16)),
    "mochi": (mochi, 19, (32, 16)),
    "svd": (svd, 8, (16, 16)),
    "framepack": (framepack, 33, (32, 16)),
    "helios": (helios, 33, (64, 64)),
}
# have to start from a picture
PICTURED = (
    "wan-image",
    "wan-ends",
    "skyreels-image",
    "ltx-image",
    "ltx2-image",
    "cog-image",
    "hunyuan-image",
    "hunyuan-concat",
    "framepack",
    "svd",
)


def said(name: str) -> dict[str, Any]:
    """What a pipeline without words of its own is told instead, call after call."""
    if name not in ("hunyuan-image", "hunyuan-concat"):
        return {}
    chance = torch.Generator().manual_seed(7)
    return {
        "prompt_embeds": torch.randn(1, 8, 16, generator=chance),
        "pooled_prompt_embeds": torch.randn(1, 8, generator=chance),
        "prompt_attention_mask": torch.ones(1, 8),
    }


def made(name: str) -> Any:
    """A pipeline with the same random weights every time."""
    torch.manual_seed(0)
    return PIPELINES[name][0]()


def saved(name: str, place: Path) -> Path:
    """Its folder, as `save_pretrained` writes it."""
    folder = place / name
    made(name).save_pretrained(str(folder))
    return folder
