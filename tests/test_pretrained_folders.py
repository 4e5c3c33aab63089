"""Folders of pipelines: what is loaded makes the same film, what is wrong is one line and exit code 2."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import pipeline_parts as parts
from safetensors.torch import load_file, save_file

from longtake.cli import cli

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
ASKED = ("--frames", "9", "--size", "32x16", "--set", "steps=1", "--set", "clip=9", "--seed", "3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.saved("wan-text", tmp_path_factory.mktemp("pipelines"))


@pytest.fixture
def spoilt(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "spoilt"))


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def test_a_folder_makes_the_pipeline_s_own_film(folder: Path, tmp_path: Path) -> None:
    from longtake.video import read_video

    out = tmp_path / "film"
    done = run(
        *("generate", "a calm sea", "--model", str(folder), *ASKED),
        *("--noise", "diffusers", "--out", str(out), "--quiet"),
    )
    assert done.exit_code == 0, done.stderr
    made = parts.made("wan-text")(
        prompt="a calm sea",
        height=16,
        width=32,
        num_frames=9,
        num_inference_steps=1,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
    ).frames[0]
    assert torch.equal(read_video(out), made.mul(255).round().to(torch.uint8))


def test_planning_a_folder_reads_no_weights_and_no_torch(folder: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from longtake.brief import job_of\n"
        f"job = job_of('a calm sea', dict(model={str(folder)!r}, frames=50, size='32x16'))\n"
        "assert len(job.calls) == 1 and job.takes[0].length == 14\n"
        "assert 'torch' not in sys.modules and 'diffusers' not in sys.modules\n"
    )
    root = Path(__file__).parent.parent
    words = [sys.executable, "-c", code]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=root, check=False)
    assert ended.returncode == 0, ended.stderr


def _pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename((folder / WEIGHTS).with_suffix(".bin"))


def _missing(folder: Path) -> None:
    shutil.rmtree(folder / "vae")


def _weightless(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def _cut(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-100])


def _garbled(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"\x80\x04" + bytes(1000))


def _shape(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["proj_out.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / WEIGHTS)


def _lacking(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["proj_out.weight"]
    save_file(tensors, folder / WEIGHTS)


def _changed(folder: Path, name: str, value: Any) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index[name] = value
    (folder / "model_index.json").write_text(json.dumps(index))


def _unknown(folder: Path) -> None:
    _changed(folder, "_class_name", "StableDiffusionPipeline")


def _own_code(folder: Path) -> None:
    _changed(folder, "transformer", ["my_transformer", "Net"])


def _nonsense(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


def _shard(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    place = folder / f"{WEIGHTS}.index.json"
    place.write_text(json.dumps(index))


def _elsewhere(folder: Path) -> None:
    """A shard in another folder than the component's: there, and not to be read."""
    shutil.copy(folder / WEIGHTS, folder / "other.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "../other.safetensors"}}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def _headless(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((60000).to_bytes(8, "little") + b"[" * 60000)


def _mute(folder: Path) -> None:
    """Its encoder of texts lacks most of its weights, which transformers would fill with chance."""
    weights = folder / "text_encoder/model.safetensors"
    save_file(dict(list(load_file(weights).items())[:2]), weights)


def _absent(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    del index["transformer"]
    (folder / "model_index.json").write_text(json.dumps(index))


def _configured(part: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        place = folder / part
        place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))

    return change


def _whole_numbers(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["proj_out.bias"] = tensors["proj_out.bias"].view(torch.int32)
    save_file(tensors, folder / WEIGHTS)


def _piped(part: str) -> Callable[[Path], None]:
    """A pipe that nobody writes into: who opens it waits for ever."""

    def change(folder: Path) -> None:
        (folder / part).unlink()
        os.mkfifo(folder / part)

    return change


def _looped(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(Path(WEIGHTS).name)


def _outside(folder: Path) -> None:
    _changed(folder, "../spoilt", ["diffusers", "AutoencoderKLWan"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_pickle, "pickle"),
        (_missing, "component 'vae' is missing"),
        (_weightless, "no weights for the component 'transformer'"),
        (_cut, "weights are cut"),
        (_garbled, "weights cannot be read"),
        (_shape, r"but got torch.Size\(\[3, 3\]\) \("),
        (_lacking, "lack 'proj_out.weight'"),
        (_unknown, "class StableDiffusionPipeline"),
        (_own_code, "would run code"),
        (_nonsense, "cannot read it"),
        (_shard, "shard"),
        (_elsewhere, "lies elsewhere"),
        (_headless, "cannot be read"),
        (_mute, "lack 'encoder"),
        (_absent, "component 'transformer' is missing"),
        (_configured("transformer/config.json", num_layers=1), "no place for"),
        (_configured("transformer/config.json", patch_size=[1, 0, 0]), "patch size of 0"),
        (_configured("scheduler/scheduler_config.json", prediction_type="no"), "cannot be called"),
        (_configured("scheduler/scheduler_config.json", flow_shift="3"), "sampler cannot be used"),
        (_configured("scheduler/scheduler_config.json", flow_shift=0.0), "levels are no numbers"),
        (_configured("transformer/config.json", num_layers=10**6), "num_layers is 1000000"),
        (_configured("vae/config.json", scale_factor_temporal=0), "a latent of 0 frames"),
        (_configured("vae/config.json", scale_factor_spatial="8"), "a latent of 8 pixels"),
        (_configured("vae/config.json", latents_mean=[0.0]), "latents_mean is not 16 numbers"),
        (_configured("vae/config.json", latents_std=[0.0] * 16), "no spread"),
        (_whole_numbers, "holds whole numbers"),
        (_piped(WEIGHTS), "is no file"),
        (_piped("vae/config.json"), "is no file"),
        (_looped, "is no file"),
        (_piped("tokenizer/tokenizer.json"), "is no file"),
        (_outside, "no component's name"),
    ],
)
def test_a_folder_that_is_wrong_is_one_line(
    spoilt: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(spoilt)
    out = tmp_path / "film.mp4"
    result = run("generate", "a", "--model", str(spoilt), *ASKED, "--out", str(out))
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("longtake: error: "), result.stderr
    assert re.search(said, lines[0]), lines[0]
    assert not out.exists() and not result.stdout


def test_a_network_that_does_not_say_its_levels_is_one_line(tmp_path: Path) -> None:
    folder = parts.saved("svd", tmp_path)
    (folder / "unet/config.json").write_text("{}")
    result = run("plan", "a", "--model", str(folder), "--frames", "9", "--size", "64x64")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "block_out_channels does not say" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "clip=10"), "clip=9 or clip=13"),
        (("--noise", "loud"), "unknown noise"),
        (("--set", "length=long"), "unknown length"),
        (("--set", "dtype=int8"), "unknown dtype"),
        (("--set", "call=latents=1"), "longtake says itself"),
        (("--set", "call=much"), "NAME=VALUE"),
    ],
)
def test_a_knob_turned_wrong_is_one_line(folder: Path, words: tuple[str, str], said: str) -> None:
    result = run("plan", "a", "--model", str(folder), "--frames", "9", "--size", "32x16", *words)
    assert result.exit_code == 2 and said in result.stderr


def test_parts_that_diffusers_keeps_beside_a_pipeline_are_its_own(tmp_path: Path) -> None:
    """Of LTX-2: connectors and vocoder are its classes and safetensors, and nothing else."""
    import longtake
    from longtake.errors import InputError
    from longtake.recipes.pretrained import pretrained

    folder = parts.saved("ltx2-text", tmp_path)
    (folder / "connectors/ltx2.py").write_text("raise SystemExit('code of a folder')")
    system = pretrained(folder=str(folder), noise="diffusers", clip=9, steps=1)
    take = longtake.generate("a calm sea", model=system, frames=9, size=(32, 32), seed=3)
    made = parts.made("ltx2-text")(
        prompt="a calm sea",
        height=32,
        width=32,
        num_frames=9,
        num_inference_steps=1,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
    ).frames[0]
    assert torch.equal(torch.stack(list(take)), made.mul(255).round().to(torch.uint8))
    weights = folder / "connectors/diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({key: tensors[key] for key in list(tensors)[1:]}, weights)
    with pytest.raises(InputError, match="the weights lack"):
        pretrained(folder=str(folder)).stages[0].models["clip"].made
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match="pickle"):
        pretrained(folder=str(folder))


# --- hub ids


class Hub:
    """A hub with one pipeline of 3 GB, as huggingface_hub shows it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cached, self.asked = folder, False, 0

    def snapshot_download(self, hub_id: str, **how: Any) -> str:
        if not self.cached and how.get("local_files_only"):
            raise FileNotFoundError(hub_id)
        assert self.cached or "*.bin" not in how["allow_patterns"]
        self.cached = True
        return str(self.folder)

    def model_info(self, hub_id: str, **how: Any) -> Any:
        self.asked += 1
        sizes = {"vae/a.safetensors": 3_000_000_000, "vae/a.bin": 9_000_000_000}
        files = [SimpleNamespace(rfilename=name, size=size) for name, size in sizes.items()]
        return SimpleNamespace(siblings=files)


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    import huggingface_hub

    fake = Hub(folder)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fake.model_info)
    return fake


def test_a_hub_id_is_fetched_only_when_told_and_its_size_is_told_before(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimpleNamespace(free=10_000_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda place: disk)
    plan = ("plan", "a", "--model", "owner/name", "--frames", "9", "--size", "32x16")
    said = run(*plan)
    assert said.exit_code == 2 and "download=ask" in said.stderr and not hub.asked
    said = run(*plan, "--set", "download=ask")
    assert said.exit_code == 2 and "3.0 GB of disk" in said.stderr and not hub.cached
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = run(*plan, "--set", "download=yes")
    assert said.exit_code == 2 and "HF_HUB_OFFLINE" in said.stderr and not hub.cached
    monkeypatch.delenv("HF_HUB_OFFLINE")
    disk.free = 2_000_000_000
    said = run(*plan, "--set", "download=yes")
    assert said.exit_code == 2 and "does not fit" in said.stderr and not hub.cached
    disk.free = 10_000_000_000
    assert run(*plan, "--set", "download=yes").exit_code == 0 and hub.cached
    assert run(*plan).exit_code == 0, "what is on this machine needs no leave"
