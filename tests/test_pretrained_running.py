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
from longtake.controls import Shot, Storyboard
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


def shots(*prompts: str) -> Storyboard:
    """Takes of nine frames each."""
    return Storyboard(tuple(Shot(prompt, 9.0) for prompt in prompts), seed=3, fps=1.0)


def test_a_shot_weighs_loras_by_its_prompt(folder: Path, tmp_path: Path) -> None:
    one, two = (lora(tmp_path, seed) for seed in (1, 2))

    def made(board: Storyboard, weights: tuple[float, float]) -> tuple[Tensor, ...]:
        told = f"{one}={weights[0]},{two}={weights[1]}"
        system = pretrained(folder=str(folder), clip=9, steps=3, lora=told)
        take = longtake.generate(board, model=system, size=(32, 16))
        return torch.stack(list(take)).split(9)

    said = (PROMPT, f"{PROMPT} <lora:lora2:2>", f"<lora:lora1:0> {PROMPT}")
    ours = made(shots(*said), (0.5, 0.0))
    for n, weights in enumerate(((0.5, 0.0), (0.5, 2.0), (0.0, 0.0))):
        assert torch.equal(ours[n], made(shots(*[PROMPT] * 3), weights)[n])
    assert not torch.equal(ours[1], made(shots(*[PROMPT] * 3), (0.5, 0.0))[1])
    system = pretrained(folder=str(folder), lora=f"{one}=0.5")
    for tag, hint in (("<lora:lora3>", "try lora1"), ("<lora:lora1:much>", "<lora:lora1:0.8>")):
        with pytest.raises(InputError, match=hint):
            longtake.plan(shots(f"a sea {tag}"), model=system, size=(32, 16))


def test_attention_and_step_caching_are_diffusers_own(folder: Path) -> None:
    pipe = parts.made("wan-text")
    pipe.transformer.enable_cache(diffusers.FirstBlockCacheConfig())
    assert torch.equal(film(folder, cache="first-block"), direct(pipe))
    math = parts.made("wan-text")
    math.transformer.set_attention_backend("_native_math")
    assert torch.equal(film(folder, attention="_native_math"), direct(math))
    assert Running(cache="first-block").mark != Running().mark


@pytest.fixture(scope="module")
def cog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.saved("cog-text", tmp_path_factory.mktemp("pipelines"))


def test_caches_that_count_calls_are_for_pipelines_with_one_call_a_step(
    folder: Path, cog: Path
) -> None:
    for name, config in (
        ("pab", diffusers.PyramidAttentionBroadcastConfig(spatial_attention_block_skip_range=3)),
        ("faster", diffusers.FasterCacheConfig(tensor_format="BFCHW")),
    ):
        pipe = parts.made("cog-text")
        plain = direct(pipe)
        config.current_timestep_callback = lambda pipe=pipe: pipe.current_timestep
        pipe.transformer.enable_cache(config)
        told = "pab:spatial_attention_block_skip_range=3" if name == "pab" else name
        assert torch.equal(film(cog, cache=told), direct(pipe))
        assert not torch.equal(direct(pipe), plain)
        with pytest.raises(InputError, match="twice a step"):
            film(folder, cache=name)
    with pytest.raises(InputError, match=r"no argument 'treshold'.*threshold"):
        film(folder, cache="first-block:treshold=0.1")


def test_nothing_is_cached_from_one_call_to_the_next(folder: Path, tmp_path: Path) -> None:
    def made(frames: int, run: Path) -> Tensor:
        system = pretrained(folder=str(folder), clip=9, steps=4, cache="first-block:threshold=0.9")
        asked = {"frames": frames, "size": (32, 16), "seed": 3}
        take = longtake.generate(PROMPT, model=system, run=run, **asked)
        return torch.stack(list(take))

    whole = made(17, tmp_path / "whole")
    made(9, tmp_path / "parts")
    assert torch.equal(made(17, tmp_path / "parts"), whole)


def test_weights_kept_as_float8_make_nearly_the_same_film(folder: Path) -> None:
    plain, small = film(folder).float(), film(folder, quantise="float8").float()
    assert 0 < (plain - small).abs().mean() < 8
    system = pretrained(folder=str(folder), quantise="float8")
    net = system.stages[0].models["clip"].made.pipe.transformer
    assert net.blocks[0].attn1.to_q.weight.dtype == torch.float8_e4m3fn
    assert Running(quantise="float8").mark != Running().mark


def test_weights_are_quantised_by_diffusers_own_configurations(folder: Path) -> None:
    pytest.importorskip("torchao")
    how = Running(quantise="torchao").loading
    pipe = diffusers.WanPipeline.from_pretrained(str(folder), dtype=torch.float32, **how)
    assert torch.equal(film(folder, quantise="torchao"), direct(pipe))
    with pytest.raises(InputError, match="Int8WeightOnlyConfig"):
        film(folder, quantise="torchao:Int8WeightsOnlyConfig")


def test_what_quantises_and_is_not_installed_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install bitsandbytes"):
        _ = Running(quantise="bitsandbytes").loading


def test_blocks_that_repeat_are_compiled_and_tiles_are_on() -> None:
    pipe = Running(compile="default", tiling="on").prepare(parts.made("wan-text"))
    assert all(block._compiled_call_impl is not None for block in pipe.transformer.blocks)
    assert pipe.transformer._compiled_call_impl is None, "films replace its forward"
    assert pipe.vae.use_tiling
    with pytest.raises(InputError, match="compile=default"):
        Running(compile="default").prepare(parts.made("cog-text"))


def test_a_device_map_is_diffusers_own(folder: Path) -> None:
    assert torch.equal(film(folder, device_map="cpu"), film(folder))
    with pytest.raises(InputError, match="device map has placed"):
        Running(device="cuda", offload="model", device_map="balanced")
    with pytest.raises(InputError, match="not supported"):
        film(folder, device_map="everywhere")


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
