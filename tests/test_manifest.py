"""Manifests: the same for the same film; whatever else lies in their place is refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_parts import Chain, toy_system
from manifest_parts import BESIDE, FILM, TOY, edited, make, refused, run

import longtake
from longtake.engine import Frames
from longtake.engine.manifest import (
    STRETCH,
    Witness,
    manifest_path,
    misfit,
    pixel_digest,
    read_manifest,
    write_manifest,
)
from longtake.errors import MachineError
from longtake.steps import spans

pytestmark = pytest.mark.usefixtures("here")


# --- what a manifest says


def test_it_says_what_was_made_of_what() -> None:
    make()
    told = read_manifest(FILM)
    assert told["film"] == {
        "sha256": hashlib.sha256(FILM.read_bytes()).hexdigest(),
        "bytes": FILM.stat().st_size,
        "frames": 70,
        "fps": "10",
        "size": [64, 48],
    }
    made = told["made"]
    assert (made["system"], made["models"], made["codecs"]) == (
        "toy",
        [{"clip": "drift 8"}],
        ["blocks"],
    )
    assert made["versions"]["torch"] in made["machine"]
    assert told["asked"]["shots"][0]["frames"] == [0, 70]
    *steps, _ = longtake.plan("m", model=TOY, frames=70)
    rows = [(" ".join(spans(step["targets"])), " ".join(spans(step["observed"]))) for step in steps]
    assert [(row["targets"], row["observed"]) for row in told["steps"]] == rows
    assert len(told["stretches"]) == 3


def test_stretches_are_of_pixels_as_made() -> None:
    take = longtake.generate("m", model=TOY, frames=70)
    take.save("film.mp4")
    pixels = torch.stack(list(take))
    parts = [pixels[n : n + STRETCH] for n in range(0, 70, STRETCH)]
    assert read_manifest(FILM)["stretches"] == [pixel_digest(part) for part in parts]
    assert pixel_digest(pixels) == hashlib.sha256(bytes(pixels.flatten().tolist())).hexdigest()


@pytest.mark.parametrize("size", [1, 7, 32, 33, 70])
def test_digests_do_not_depend_on_how_frames_arrive(size: int) -> None:
    pixels = torch.randint(0, 256, (70, 3, 4, 6), dtype=torch.uint8)
    job = longtake.generate("m", model=TOY, frames=70).job
    witness, whole = Witness(job), Witness(job)
    whole.see(Frames(0, pixels))
    strided = pixels.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for first in range(0, 70, size):
        witness.see(Frames(first, strided[first : first + size]))
    FILM.write_bytes(b"film")
    assert witness.manifest(FILM, {}, "1") == whole.manifest(FILM, {}, "1")


def test_the_same_film_has_the_same_manifest() -> None:
    first = make()
    assert make() == first, "every step found"
    assert make("other.mp4", "--run", "elsewhere") == first, "and a film of another name"
    os.makedirs("deep")
    assert make("deep/film.mp4") != first, "files lie elsewhere from there"
    asked = {"model": os.path.relpath(TOY), "seed": 0}
    longtake.generate("m", seconds=7, **asked).save("third.mp4")  # type: ignore[arg-type]
    assert manifest_path("third.mp4").read_bytes() == first, "however it was asked"
    assert b'"/' not in first, "no path from the root"


def test_a_resumed_film_has_the_same_manifest() -> None:
    asked: dict[str, Any] = {"model": toy_system(scheme=Chain(choose=2)), "frames": 70}
    asked["size"] = "64x48"
    events = longtake.stream("m", out="film.mp4", **asked)
    while next(events).line()["event"] != "finished":
        pass
    events.close()  # type: ignore[attr-defined]
    assert not BESIDE.exists()
    told = [event.line() for event in longtake.stream("m", out="film.mp4", **asked)]
    assert told[-1]["reused"] > 0
    take = longtake.generate("m", **asked)
    take.save("other.mp4")
    assert manifest_path("other.mp4").read_bytes() == BESIDE.read_bytes()
    candidates = " ".join(spans(take.job.calls[-1].step.observed))
    assert read_manifest(FILM)["steps"][-1]["observed"] != candidates, "but what was chosen"


def test_an_interrupted_write_leaves_no_half(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MachineError, match="the film stands, but its manifest"):
        write_manifest(FILM, {"a": 1})
    assert BESIDE.read_bytes() == before
    assert not list(Path().glob("*.part"))


def test_it_needs_a_place_before_any_work() -> None:
    BESIDE.mkdir()
    words = ("generate", "m", "--model", TOY, "--frames", "9", "--out")
    assert "a folder where the film's manifest goes" in run(*words, "film.mp4").stderr
    long = f"{'x' * 240}.mp4"
    assert "a name too long for a film and its manifest" in run(*words, long).stderr
    result = run(*words, "other.mp4", "--run", "other.mp4.manifest.json")
    assert (result.exit_code, list(Path().iterdir())) == (2, [BESIDE])


# --- bad input


def test_what_is_no_film_is_refused() -> None:
    make()
    assert "no such file" in refused("no.mp4")
    assert "not a film (film.mp4.manifest.json); try film.mp4" in refused(str(BESIDE))
    Path("empty").mkdir()
    assert "a folder without frames" in refused("empty")
    os.mkfifo("pipe.mp4")
    assert "is not a regular file" in refused("pipe.mp4")
    BESIDE.unlink()
    assert "no manifest beside the film (film.mp4.manifest.json); try the same" in refused(
        "film.mp4"
    )
    os.mkfifo(BESIDE)
    assert "no manifest beside the film" in refused("film.mp4")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "the manifest is not JSON"),
        ("\0\0\0", "the manifest is not JSON"),
        ("{" * 100_000, "the manifest is not JSON"),
        ("[" * 100_000, "the manifest is not JSON"),
        ('{"a": 1' + "0" * 9999 + "}", "the manifest is not JSON"),
        ('{"scores": NaN}', "the manifest is not JSON"),
        ("[]", "not the manifest of a film"),
        ('{"format": "other"}', "not the manifest of a film"),
        ('{"format": "longtake-film", "version": 2}', "a manifest of version 2 (film.mp4.m"),
        ('{"format": "longtake-film", "version": 1' + "0" * 400 + "}", "a manifest of version 1"),
        ('{"format": "longtake-film", "version": true}', "'version' is missing or wrong"),
        ('{"format": "longtake-film", "version": 1}', "'film' is missing or wrong"),
    ],
    ids=lambda value: value[:20],
)
def test_hostile_texts_are_refused(text: str, line: str) -> None:
    make()
    BESIDE.write_text(text)
    assert line in refused("film.mp4")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("film.frames", -1),
        ("film.frames", 10**9),
        ("film.frames", 69.5),
        ("film.frames", True),
        ("film.frames", 700),
        ("film.fps", "1/0"),
        ("film.fps", 10),
        ("film.fps", "0"),
        ("film.size", [64]),
        ("film.sha256", "../../etc/passwd"),
        ("seed", -1),
        ("stretch", 1),
        ("stretches", ["0" * 64]),
        ("stretches", None),
        ("steps", [{"stage": 0}]),
        ("steps", {}),
        ("asked.shots", [{"frames": [0, 70], "prompt": 3}]),
        ("asked.model", 3),
        ("made", []),
        ("digest", ""),
    ],
)
def test_hostile_values_are_refused(path: str, value: Any) -> None:
    make()

    def change(told: dict[str, Any]) -> None:
        *folders, name = path.split(".")
        for folder in folders:
            told = told[folder]
        told[name] = value

    edited(change, signed=path != "digest")
    assert "is missing or wrong (film.mp4.manifest.json); try" in refused("film.mp4")


def test_a_large_manifest_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    monkeypatch.setattr("longtake.engine.manifest.LARGEST", 1000)
    assert "a manifest of more than" in refused("film.mp4")


def test_a_manifest_names_no_file_to_run_or_to_read(here: Path) -> None:
    make()
    evil = here / "evil.py"
    evil.write_text("from pathlib import Path\nPath('ran').touch()\n")
    shots = json.loads(BESIDE.read_text())["asked"]["shots"]
    for asked in (
        {"model": "evil.py:evil"},
        {"model": str(here)},
        {"model": None},
        {"model": "skies", "settings": {"weights": str(here)}},
        {"model": "skies", "settings": {"weights": "evil.py"}},
        {"model": "skies", "settings": {"steps": [8]}},
        {"model": "skies", "images": ["0=/dev/zero"]},
        {"model": "skies", "shots": [{**shots[0], "videos": ["0=/etc/passwd"]}]},
    ):
        edited(lambda told, asked=asked: told["asked"].update(asked))  # type: ignore[misc]
        told = run("verify", "film.mp4", "--json")
        assert told.exit_code == 0 and json.loads(told.stdout)["unknown"]
        refused("film.mp4", "--replay", "0-1")
        make()
    assert not Path("ran").exists()


def test_misfits_are_named() -> None:
    shape = {"a": {"b": [range(3)]}}
    assert misfit({"a": {"b": [0, 1, 2]}}, shape) == ""
    assert misfit({"a": {"b": [0, 3]}}, shape) == "a.b"
    assert misfit({"a": []}, shape) == "a"
    assert misfit({}, shape) == "a"
