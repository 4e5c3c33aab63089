"""How pipelines are run: what is put on top of their weights is diffusers' own, and what cannot be is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers")
pytest.importorskip("peft")

import diffusers
import pipeline_parts as parts
from peft import LoraConfig, get_peft_model_state_dict

import longtake
from longtake.errors import InputError
from longtake.models.pretrained.running import Running
from longtake.recipes.pretrained import Knobs, pretrained, wrapped

PROMPT = "a calm sea"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.saved("wan-text", tmp_path_factory.mktemp("pipelines"))


def lora(place: Path, seed: int) -> Path:
    """A file of random LoRA weights, as `save_lora_weights` writes it."""
    pipe = parts.made("wan-text")
    torch.manual_seed(seed)
    made = LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v"])
    pipe.transformer.add_adapter(made)
    name = f"lora{seed}.safetensors"
    layers = get_peft_model_state_dict(pipe.transformer)
    pipe.save_lora_weights(str(place), transformer_lora_layers=layers, weight_name=name)
    return place / name


def film(folder: Path, **knobs: Any) -> Tensor:
    system = pretrained(folder=str(folder), noise="diffusers", clip=9, steps=3, **knobs)
    take = longtake.generate(PROMPT, model=system, frames=9, size=(32, 16), seed=3)
    return torch.stack(list(take))


def direct(pipe: Any, **more: Any) -> Tensor:
    made = pipe(
        **more,
        prompt=PROMPT,
        height=16,
        width=32,
        num_frames=9,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
    )
    return made.frames[0].float().mul(255).round().to(torch.uint8)


def test_several_loras_each_with_its_weight(folder: Path, tmp_path: Path) -> None:
    one, two = (lora(tmp_path, seed) for seed in (1, 2))
    pipe = parts.made("wan-text")
    plain = direct(pipe)
    for name, file in (("one", one), ("two", two)):
        pipe.load_lora_weights(str(tmp_path), weight_name=file.name, adapter_name=name)
    pipe.set_adapters(["one", "two"], [0.5, 2.0])
    both = direct(pipe)
    assert not torch.equal(both, plain)
    assert torch.equal(film(folder, lora=f"{one}=0.5,{two}=2"), both)
    marks = [Running(lora=f"{file}={weight}").mark for file in (one, two) for weight in (1, 2)]
    assert all(a != b for n, a in enumerate(marks) for b in marks[:n]), "another film, another key"


def test_attention_and_step_caching_are_diffusers_own(folder: Path) -> None:
    pipe = parts.made("wan-text")
    pipe.transformer.enable_cache(diffusers.FirstBlockCacheConfig())
    assert torch.equal(film(folder, cache="first-block"), direct(pipe))
    math = parts.made("wan-text")
    math.transformer.set_attention_backend("_native_math")
    assert torch.equal(film(folder, attention="_native_math"), direct(math))
    assert Running(cache="first-block").mark != Running().mark


def test_what_no_knob_says_is_an_argument_of_the_call(folder: Path) -> None:
    longer = direct(parts.made("wan-text"), guidance_scale=9.0, max_sequence_length=4)
    assert torch.equal(film(folder, call="guidance_scale=9; max_sequence_length=4"), longer)
    with pytest.raises(InputError, match=r"no argument 'guidance'.*guidance_scale"):
        film(folder, call="guidance=9")


def test_a_sampler_s_least_steps_are_told_before_it_runs() -> None:
    with pytest.raises(InputError, match="steps=2"):
        wrapped(parts.made("mochi"), Knobs(clip=19, steps=1))


def test_what_cannot_be_run_so_is_one_line(folder: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.safetensors"
    short.write_bytes(bytes(40))
    pickle = tmp_path / "lora.pt"
    pickle.write_bytes(bytes(40))
    for knobs, said in (
        ({"offload": "model"}, "--device cuda"),
        ({"offload": "modle", "device": "cuda"}, "try model"),
        ({"cache": "all"}, "unknown cache"),
        ({"lora": str(pickle)}, "not a LoRA file"),
        ({"lora": f"{short}=1"}, "cannot be read"),
        ({"lora": f"{lora(tmp_path, 1)}=much"}, "weight 'much'"),
        ({"observed_noise": 2.0}, "0 to 1"),
    ):
        with pytest.raises(InputError, match=said):
            pretrained(folder=str(folder), **knobs)
    with pytest.raises(InputError, match="cannot take attention=none-such"):
        film(folder, attention="none-such")
