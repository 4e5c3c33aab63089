"""A LoRA that teaches a pipeline to observe any frames: it learns, the pipeline's own weights stay, and it loads again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

pytest.importorskip("diffusers")
pytest.importorskip("peft")

import diffusers
import pipeline_parts as parts
from safetensors import safe_open

import longtake
from longtake.cli import cli
from longtake.clip import Clip, ClipRequest
from longtake.errors import FitError, InputError
from longtake.models.pretrained.families import FAMILIES
from longtake.models.pretrained.instead import instead
from longtake.models.pretrained.observing import FILE, Heard, Observing, masks
from longtake.recipes.pretrained import pretrained, train
from longtake.video import VideoWriter

PROMPT = "a calm sea"


def saved(name: str, place: Path) -> tuple[Path, int, tuple[int, int]]:
    return parts.saved(name, place), *parts.PIPELINES[name][1:]


def videos(place: Path, size: tuple[int, int], fps: float) -> Path:
    """Four still pictures, each held for 40 frames."""
    place.mkdir()
    chance = torch.Generator().manual_seed(0)
    for n in range(4):
        small = torch.rand(1, 3, size[1] // 4, size[0] // 4, generator=chance)
        still = torch.nn.functional.interpolate(small, scale_factor=4, mode="bilinear")
        with VideoWriter(place / f"{n}.mp4", size=size, fps=fps) as writer:
            writer.write(still.mul(255).byte().expand(40, -1, -1, -1))
    return place


def film(folder: Path, frames: int, clip: int, size: tuple[int, int], **knobs: Any) -> Tensor:
    system = pretrained(folder=str(folder), clip=clip, steps=2, **knobs)
    take = longtake.generate(PROMPT, model=system, frames=frames, size=size, seed=3)
    return torch.stack(list(take))


@pytest.mark.parametrize("name", ["wan-text", "ltx-text", "skyreels-text"])
def test_what_was_trained_loads_again_and_observes_any_frames(name: str, tmp_path: Path) -> None:
    folder, clip, size = saved(name, tmp_path)
    fps = pretrained(folder=str(folder)).fps
    data = f"folder:{videos(tmp_path / 'videos', size, fps)}"
    told = {"clip": clip, "size": f"{size[0]}x{size[1]}", "batch": 8, "rate": 1e-2, "rank": "8"}
    curve = list(train(data, tmp_path / "run", str(folder), steps=40, **told))
    losses = [logged.losses["flow"] for logged in curve]
    assert losses[-1] < 0.95 * losses[0]
    lora = tmp_path / "run" / FILE
    with safe_open(lora, "pt") as file:
        assert json.loads(file.metadata()["longtake"])["observes"] == "any"
        assert all("lora" in key for key in file.keys())
    schemes = ("keys-then-fill", "hierarchy", "coarse-to-fine", "unified", "long-range")
    for scheme in schemes if name == "wan-text" else schemes[:2]:
        assert len(film(folder, 33, clip, size, lora=str(lora), scheme=scheme)) == 33
        with pytest.raises(FitError, match="observes"):
            film(folder, 33, clip, size, lora=f"{lora}=0", scheme=scheme)
    # with no weight it is as if it were not there: what was trained is the LoRA alone
    how = {"noise": "diffusers"}
    plain = film(folder, clip, clip, size, **how)
    assert torch.equal(film(folder, clip, clip, size, lora=f"{lora}=0", **how), plain)
    assert not torch.equal(film(folder, clip, clip, size, lora=str(lora), **how), plain)
    known = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {Path(one).suffix for one in known} == {".safetensors", ".json", ".jsonl"}


def test_training_changes_no_weight_of_the_pipeline() -> None:
    pipe = parts.made("wan-text")
    before = {name: p.clone() for name, p in pipe.transformer.state_dict().items()}
    learner = Observing(pipe, FAMILIES["WanPipeline"], 4)
    trained = sum(p.numel() for p in learner.parameters())
    assert 0 < trained < sum(p.numel() for p in before.values())
    said = Heard(torch.randn(1, 8, 16))
    latents, observed = torch.randn(2, 16, 5, 2, 4), masks(2, 5)
    tool = torch.optim.AdamW(learner.parameters(), lr=1e-2)
    for _ in range(3):
        loss = learner.losses(latents, observed, [said, said])["flow"]
        assert loss.shape == (2,)
        loss.sum().backward()
        tool.step()
    after = {
        name.replace(".base_layer", ""): p
        for name, p in pipe.transformer.state_dict().items()
        if "lora" not in name
    }
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.abs().max() > 0 for p in learner.parameters()), "every layer has learned"


def test_what_is_lost_on_observed_frames_does_not_count() -> None:
    pipe = parts.made("wan-text")
    learner = Observing(pipe, FAMILIES["WanPipeline"], 4)
    observed = torch.tensor([[True, False, False, True, False]])
    latents, noise = torch.randn(1, 16, 5, 2, 4), torch.Generator()
    seen: list[tuple[Tensor, Tensor]] = []

    def watched(x: Tensor, times: Tensor, heard: Any) -> Tensor:
        seen.append((x, times))
        torch.manual_seed(5)
        torch.rand(1, 1)
        made = torch.randn(latents.shape) - latents
        made[:, :, [0, 3]] = 1e6
        return made

    del noise
    with instead(learner, "predicted", watched):
        torch.manual_seed(5)
        loss = learner.losses(latents, observed, [])["flow"]
    (x, times), *_ = seen
    assert float(loss) == 0.0
    assert torch.equal(x[:, :, [0, 3]], latents[:, :, [0, 3]])
    assert (times[0, [0, 3]] == 0).all() and (times[0, [1, 2, 4]] > 0).all()


def test_masks_show_some_frames_and_never_all() -> None:
    torch.manual_seed(0)
    drawn = masks(2000, 5)
    assert not drawn.all(1).any()
    assert 0.1 < float((~drawn.any(1)).float().mean()) < 0.25
    alike = {tuple(row) for row in drawn.tolist()}
    assert len(alike) == 2**5 - 1, "every other set of frames is met"


def test_observed_frames_reach_the_network_clean_and_at_level_zero(tmp_path: Path) -> None:
    folder, clip, size = saved("wan-text", tmp_path)
    pipe = diffusers.WanPipeline.from_pretrained(str(folder))
    learner = Observing(pipe, FAMILIES["WanPipeline"], 2)
    lora = learner.save(tmp_path)
    system = pretrained(folder=str(folder), lora=str(lora), clip=clip, steps=2)
    model: Any = system.stages[0].models["clip"].made
    net, calls = model.pipe.transformer, list[tuple[Tensor, Tensor]]()
    own = net.forward

    def watched(hidden_states: Tensor, timestep: Tensor, **told: Any) -> Any:
        calls.append((hidden_states.clone(), timestep.clone()))
        return own(hidden_states=hidden_states, timestep=timestep, **told)

    written, answer = set[bytes](), model.sample

    def sampled(request: ClipRequest) -> Clip:
        clip = answer(request)
        written.update(frame.numpy().tobytes() for frame in clip.frames[0])
        return clip

    asked = {"frames": 41, "size": size, "seed": 3, "scheme": "keys-then-fill"}
    with instead(net, "forward", watched), instead(model, "sample", sampled):
        list(longtake.generate(PROMPT, model=system, **asked))
    between = [(x, time) for x, time in calls if time.ndim == 2]
    assert between, "frames between keyframes observe them"
    for x, time in between:
        known = (time.unflatten(1, (x.shape[2], -1)) == 0).all(2)[0]
        assert int(known.sum()) == 2
        assert all(frame.numpy().tobytes() in written for frame in x[0].transpose(0, 1)[known])


def test_a_longer_film_begins_as_a_shorter_one(tmp_path: Path) -> None:
    folder, clip, size = saved("wan-text", tmp_path)
    pipe = diffusers.WanPipeline.from_pretrained(str(folder))
    lora = Observing(pipe, FAMILIES["WanPipeline"], 2).save(tmp_path)
    short, long = (film(folder, frames, clip, size, lora=str(lora)) for frames in (26, 41))
    assert torch.equal(short, long[:26])


def test_what_cannot_be_taught_is_one_line(tmp_path: Path) -> None:
    folder, _, size = saved("cog-text", tmp_path)
    data = videos(tmp_path / "videos", size, 8.0)
    words = ("train", str(folder), "--data", f"folder:{data}", "--run", str(tmp_path / "run"))
    said = CliRunner().invoke(cli, [*words, "--set", "clip=9"])
    assert said.exit_code == 2 and "takes no level of each" in said.stderr
    wan, clip, size = saved("wan-text", tmp_path)
    lora = Observing(diffusers.WanPipeline.from_pretrained(str(wan)), FAMILIES["WanPipeline"], 2)
    with pytest.raises(InputError, match="WanPipeline, SkyReelsV2Pipeline, LTXPipeline"):
        pretrained(folder=str(folder), lora=str(lora.save(tmp_path)))
    words = ("train", str(wan), "--data", f"folder:{data}", "--run", str(tmp_path / "run"))
    for more, what in (
        (("clip=81",), "no video has 81 frames"),
        (("clip=17", "size=30x16"), "32x16"),
        (("clip=17", "ranks=2"), "rank"),
    ):
        told = [word for pair in more for word in ("--set", pair)]
        said = CliRunner().invoke(cli, [*words, *told])
        assert said.exit_code == 2 and what in said.stderr, said.stderr


def test_a_folder_is_trained_from_the_command_line(tmp_path: Path) -> None:
    folder, clip, size = saved("wan-text", tmp_path)
    data, run = videos(tmp_path / "videos", size, 16.0), tmp_path / "run"
    words = ["train", str(folder), "--data", f"folder:{data}", "--run", str(run), "--steps", "10"]
    words += ["--set", f"clip={clip}", "--set", f"size={size[0]}x{size[1]}", "--set", "rank=2"]
    said = CliRunner().invoke(cli, [*words, "--json"])
    assert said.exit_code == 0, said.stderr
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert lines[-1]["step"] == 10 and (run / FILE).is_file()
