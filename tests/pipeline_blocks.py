"""What tiny pipelines share: tokenizers and text encoders that know a dozen words, and Wan's autoencoder."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import diffusers
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = "a calm sea at dawn storm clouds roll in the light fades".split()


def tokenizer(longest: int = 16) -> Any:
    vocab = {word: n for n, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=longest,
    )


def words(kind: str = "UMT5EncoderModel", width: int = 16) -> Any:
    configs = {"UMT5EncoderModel": "UMT5Config", "T5EncoderModel": "T5Config"}
    config = getattr(transformers, configs[kind])(
        vocab_size=32, d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2
    )
    return getattr(transformers, kind)(config).eval()


def wan_vae(**changes: Any) -> Any:
    sizes = {
        "base_dim": 3,
        "z_dim": 16,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
    }
    return diffusers.AutoencoderKLWan(**{**sizes, **changes}).eval()
