"""Tiny pipelines of other kinds than Wan's, LTX's and CogVideoX's: HunyuanVideo, Mochi, SVD, Helios, LTX-2."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import diffusers
import torch
import transformers
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
from pipeline_blocks import tokenizer, wan_vae, words


def hunyuan_vae(**changes: Any) -> Any:
    sizes = {
        "down_block_types": ("HunyuanVideoDownBlock3D",) * 4,
        "up_block_types": ("HunyuanVideoUpBlock3D",) * 4,
        "block_out_channels": (8, 8, 8, 8),
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
    }
    return diffusers.AutoencoderKLHunyuanVideo(**{**sizes, **changes}).eval()


def _hunyuan_parts(
    channels: int = 4, kind: str = "HunyuanVideoTransformer3DModel", **changes: Any
) -> dict[str, Any]:
    net = getattr(diffusers, kind)(
        in_channels=channels,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        text_embed_dim=16,
        pooled_projection_dim=8,
        rope_axes_dim=(2, 4, 4),
        **changes,
    )
    said = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    heard = transformers.CLIPTextConfig(
        vocab_size=32,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        eos_token_id=1,
    )
    return {
        "transformer": net.eval(),
        "vae": hunyuan_vae(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        "text_encoder": transformers.LlamaModel(said).eval(),
        "tokenizer": tokenizer(),
        "text_encoder_2": transformers.CLIPTextModel(heard).eval(),
        "tokenizer_2": tokenizer(),
    }


def hunyuan_text() -> Any:
    return diffusers.HunyuanVideoPipeline(**_hunyuan_parts())


def hunyuan_image(way: str = "token_replace", channels: int = 4) -> Any:
    """Its words are embedded beside its picture by a model that is left out here."""
    built = _hunyuan_parts(channels, image_condition_type=way)
    for name in ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"):
        built[name] = None
    return diffusers.HunyuanVideoImageToVideoPipeline(**built, image_processor=None)


def hunyuan_concat() -> Any:
    return hunyuan_image("latent_concat", 2 * 4 + 1)


def framepack() -> Any:
    built = _hunyuan_parts(
        kind="HunyuanVideoFramepackTransformer3DModel",
        has_image_proj=True,
        image_proj_dim=16,
        has_clean_x_embedder=True,
    )
    seen = transformers.SiglipVisionConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        intermediate_size=16,
        patch_size=16,
    )
    return diffusers.HunyuanVideoFramepackPipeline(
        **built,
        image_encoder=transformers.SiglipVisionModel(seen).eval(),
        feature_extractor=transformers.SiglipImageProcessor(size={"height": 32, "width": 32}),
    )


def mochi_vae() -> Any:
    return diffusers.AutoencoderKLMochi(
        latent_channels=12,
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(32,) * 4,
        layers_per_block=(1,) * 5,
    ).eval()


def mochi() -> Any:
    net = diffusers.MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        pooled_projection_dim=16,
        text_embed_dim=16,
        time_embed_dim=4,
        max_sequence_length=16,
    )
    return diffusers.MochiPipeline(
        transformer=net.eval(),
        vae=mochi_vae(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        text_encoder=words("T5EncoderModel"),
        tokenizer=tokenizer(),
    )


def svd() -> Any:
    unet = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32),
        layers_per_block=1,
        sample_size=8,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=16,
        num_attention_heads=(2, 2),
        projection_class_embeddings_input_dim=24,
        addition_time_embed_dim=8,
    )
    vae = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2
    )
    seen = transformers.CLIPVisionConfig(
        hidden_size=16,
        projection_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=224,
        intermediate_size=16,
        patch_size=112,
    )
    return diffusers.StableVideoDiffusionPipeline(
        unet=unet.eval(),
        vae=vae.eval(),
        image_encoder=transformers.CLIPVisionModelWithProjection(seen).eval(),
        scheduler=diffusers.EulerDiscreteScheduler(
            prediction_type="v_prediction", timestep_type="continuous", use_karras_sigmas=True
        ),
        feature_extractor=transformers.CLIPImageProcessor(crop_size=224, size=224),
    )


def helios() -> Any:
    net = diffusers.HeliosTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=1,
        rope_dim=(4, 4, 4),
    )
    scheduler = diffusers.HeliosScheduler(stage_range=[0, 1], stages=1, use_dynamic_shifting=True)
    return diffusers.HeliosPipeline(
        transformer=net.eval(),
        vae=wan_vae(),
        scheduler=scheduler,
        text_encoder=words(),
        tokenizer=tokenizer(),
    )


def ltx2_vae(**changes: Any) -> Any:
    sizes = {
        "latent_channels": 8,
        "block_out_channels": (8, 8),
        "down_block_types": ("LTX2VideoDownBlock3D",) * 2,
        "decoder_block_out_channels": (8, 16),
        "layers_per_block": (1, 1, 1),
        "decoder_layers_per_block": (1, 1, 1),
        "spatio_temporal_scaling": (True, True),
        "decoder_spatio_temporal_scaling": (True, True),
        "decoder_inject_noise": (False, False, False),
        "downsample_type": ("spatiotemporal", "spatiotemporal"),
        "upsample_type": ("spatiotemporal", "spatiotemporal"),
        "upsample_residual": (True, True),
        "upsample_factor": (2, 2),
        "patch_size": 1,
        "decoder_causal": False,
    }
    vae = diffusers.AutoencoderKLLTX2Video(**{**sizes, **changes}).eval()
    vae.latents_mean += torch.linspace(-1, 1, 8)  # so that forgetting to normalise would show
    vae.latents_std *= torch.linspace(0.5, 2, 8)
    return vae


def _ltx2_parts() -> dict[str, Any]:
    """Video and audio; words go through all layers of a Gemma and through connectors."""
    said = transformers.Gemma3Config(
        text_config={
            "vocab_size": 32,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 16,
        },
    )
    connectors = LTX2TextConnectors(
        caption_channels=16,
        text_proj_in_factor=2,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=8,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=8,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=8,
        rope_type="split",
    )
    net = diffusers.LTX2VideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        vae_scale_factors=(4, 4, 4),
        audio_in_channels=4,
        audio_out_channels=4,
        audio_num_attention_heads=2,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=8,
        num_layers=1,
        caption_channels=16,
        rope_type="split",
    )
    hearing = diffusers.AutoencoderKLLTX2Audio(
        base_channels=4,
        ch_mult=(1,),
        num_res_blocks=1,
        resolution=32,
        latent_channels=2,
        mel_bins=8,
    )
    vocoder = LTX2Vocoder(
        in_channels=16,
        hidden_channels=8,
        upsample_kernel_sizes=[4, 4],
        upsample_factors=[2, 2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
    )
    return {
        "transformer": net.eval(),
        "vae": ltx2_vae(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        "text_encoder": transformers.Gemma3ForConditionalGeneration(said).eval(),
        "tokenizer": tokenizer(),
        "connectors": connectors.eval(),
        "audio_vae": hearing.eval(),
        "vocoder": vocoder.eval(),
    }


def ltx2_text() -> Any:
    return diffusers.LTX2Pipeline(**_ltx2_parts())


def ltx2_image() -> Any:
    return diffusers.LTX2ImageToVideoPipeline(**_ltx2_parts())


def ltx2_condition() -> Any:
    return diffusers.LTX2ConditionPipeline(**_ltx2_parts())
