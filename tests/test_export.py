"""Films taken apart, and films that go on from a stretch of any video."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from manifest_parts import TOY, run
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from longtake.brief.media import given_of, moving, span_of, stretch_of
from longtake.brief.systems import load_system
from longtake.controls import Pin
from longtake.engine.manifest import read_manifest
from longtake.errors import InputError
from longtake.prompts.storyboard import read_storyboard
from longtake.video import VideoWriter, probe, read_video

BOARD = """seed = 7
fps = 10
[[shot]]
prompt = "one"
seconds = 2.3
images = ["0.5=a.png"]
[[shot]]
prompt = "two"
seconds = 2
cut = false
seed = 9
[[shot]]
prompt = "three"
seconds = 1.5
"""
SPANS = [[0, 23], [23, 43], [43, 58]]


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    Path("board.toml").write_text(BOARD)
    made = run("generate", "board.toml", "--model", TOY, "--out", "film.mp4", "--quiet")
    assert made.exit_code == 0, made.stderr
    return tmp_path / "film.mp4"


def painted(latents: Tensor, note: dict[str, Any]) -> Tensor:
    """A shot's frames of grey levels, as the toy decodes them."""
    first, end = (frame - note["begins"] for frame in note["frames"])
    frames = load_system(TOY).stages[0].codec.made.decode(latents[None])[0]
    return (frames[first:end] * 255).clamp(0, 255)


def test_shots_latents_and_a_storyboard_that_makes_the_film_again(film: Path) -> None:
    said = run("export", "film.mp4", "--to", "parts", "--model", TOY, "--json")
    assert said.exit_code == 0, said.stderr
    *shots, done = map(json.loads, said.stdout.splitlines())
    assert [shot["frames"] for shot in shots] == SPANS and done["shots"] == 3
    whole = read_video(film).float()
    for shot, (first, end) in zip(shots, SPANS, strict=True):
        alone = read_video(Path("parts") / shot["film"]).float()
        assert len(alone) == end - first
        assert (alone - whole[first:end]).abs().mean() < 6, "coded anew, of the same frames"
        with safe_open(Path("parts") / shot["latents"], "pt") as file:
            note = json.loads(file.metadata()["longtake"])
            latents = file.get_tensor("latents")
        assert note["frames"] == [first, end] and note["indices"] == shot["indices"]
        assert len(latents) == shot["indices"][1] - shot["indices"][0]
        assert (painted(latents, note) - whole[first:end]).abs().mean() < 3
    board = read_storyboard("parts/storyboard.toml")
    assert board.shots[1].seed == 9 and not board.shots[1].cut
    pinned = Path(board.shots[0].pins[0].path)
    assert pinned.is_relative_to(film.parent / "parts") and pinned.name == "a.png"
    again = run("generate", "parts/storyboard.toml", "--model", TOY, "--out", "2.mp4", "--quiet")
    assert again.exit_code == 0, again.stderr
    assert read_manifest(Path("2.mp4"))["stretches"] == read_manifest(film)["stretches"]


def test_what_was_made_again_is_what_is_exported(film: Path) -> None:
    words = ("generate", "board.toml", "--model", TOY, "--out", "film.mp4", "--quiet")
    made = run(*words, "--redo", "3-4")
    assert made.exit_code == 0, made.stderr
    said = run("export", "film.mp4", "--model", TOY)
    assert said.exit_code == 0, said.stderr
    with safe_open("film.parts/shot-002.safetensors", "pt") as file:
        note, latents = json.loads(file.metadata()["longtake"]), file.get_tensor("latents")
    whole = read_video(film).float()[23:43]
    assert (painted(latents, note) - whole).abs().mean() < 3


def test_nothing_is_left_of_an_export_that_cannot_be(film: Path) -> None:
    Path("there").mkdir()
    before = sorted(path.name for path in film.parent.iterdir())
    for words, what in (
        (("film.mp4", "--to", "there", "--model", TOY), "is there already"),
        (("film.mp4", "--to", "no/such", "--model", TOY), "cannot write into"),
        (("none.mp4", "--model", TOY), "none.mp4"),
        (("film.mp4",), "--model"),
    ):
        said = run("export", *words)
        assert said.exit_code == 2 and what in said.stderr, said.stderr
        assert said.stderr.count("\n") == 1
    assert sorted(path.name for path in film.parent.iterdir()) == before


# --- a stretch of any video


def counted(place: Path, fps: float, frames: int = 37) -> Path:
    """A video whose frames are flat greys, each 5 levels above the one before."""
    shades = 20 + 5 * torch.arange(frames, dtype=torch.uint8)
    with VideoWriter(place, size=(32, 32), fps=fps) as writer:
        writer.write(shades.view(-1, 1, 1, 1).expand(-1, 3, 32, 32))
    return place


def shades(path: Path, stretch: str, fps: Fraction) -> list[int]:
    """Which frames of `counted` a stretch holds."""
    start, count = span_of(path, stretch, fps, 1000)
    frames = moving(path, (32, 32), (32, 32), fps, count, start) * 255
    assert len(frames) == count
    return [round((float(frame.mean()) - 20) / 5) for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("fps", [10.0, 12.5, 30.0])
def test_the_last_state_of_a_video_is_its_last_frames(
    tmp_path: Path, suffix: str, fps: float
) -> None:
    place, rate = counted(tmp_path / f"old{suffix}", fps), Fraction(fps)
    for seconds in (0.1, 0.5, 1.0):
        held = shades(place, f"#t=-{seconds}", rate)
        assert held == list(range(37))[-len(held) :]
        assert len(held) == -(-Fraction(str(seconds)) * rate // 1)
    assert shades(place, "#t=-99", rate) == list(range(37))
    assert shades(place, "", rate) == list(range(37))
    assert shades(place, "#t=1,2", rate)[:3] == [int(fps) + n for n in range(3)]


def test_a_file_named_like_a_stretch_is_that_file(tmp_path: Path) -> None:
    plain = counted(tmp_path / "old.mp4", 10)
    assert stretch_of(f"{plain}#t=-2") == (plain, "#t=-2")
    named = Path(f"{plain}#t=-2")
    named.write_bytes(plain.read_bytes())
    assert stretch_of(str(named)) == (named, "")


def test_a_film_goes_on_from_a_videos_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    counted(Path("old.mp4"), 10)
    words = ("generate", "m", "--model", TOY, "--fps", "10", "--size", "32x32", "--quiet")
    made = run(*words, "--video", "old.mp4#t=-1", "--frames", "25", "--out", "next.mp4")
    assert made.exit_code == 0, made.stderr
    assert probe(Path("next.mp4")).frames == 25
    levels = (read_video(Path("next.mp4"))[:10].float().mean(dim=(1, 2, 3)) - 20) / 5
    assert (levels - torch.arange(27, 37)).abs().max() < 2, "the toy has four frames in a latent"
    own = given_of(Pin(0.0, "old.mp4#t=-1", "video"), 0, (32, 32), (32, 32), Fraction(10), limit=25)
    all_ = given_of(Pin(0.0, "old.mp4", "video"), 0, (32, 32), (32, 32), Fraction(10), limit=50)
    assert own.digest != all_.digest and own.frames == 10
    for video, what in (
        ("old.mp4#t=3,1", "#t=1,3"),
        ("old.mp4#t=-3", "frames"),
        ("gone.mp4#t=-1", "gone.mp4"),
        ("old.mp4#t=9,10", "holds no frames"),
    ):
        said = run(*words, "--video", video, "--frames", "25", "--out", "other.mp4")
        assert said.exit_code == 2 and what in said.stderr, said.stderr
        assert said.stderr.count("\n") == 1 and not Path("other.mp4").exists()
    with pytest.raises(InputError, match="of a picture"):
        given_of(Pin(0.0, "old.mp4#t=-1", "image"), 0, (32, 32), (32, 32), Fraction(10), limit=50)
