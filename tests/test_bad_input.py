"""Bad input through the command line: exit code 2, one helpful line, nothing written, no weights read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bad_files import make_files, make_odd_pictures, make_weights
from click.testing import CliRunner

from longtake.brief import job_of
from longtake.cli import cli
from longtake.recipes.skies import BUILT_IN

PROMPT = ("a calm sea", "--frames", "8")
LONGER = ("a calm sea", "--frames", "40")
LONG_NAME = "x" * 5000
DIGITS = "9" * 5000


def rows(option: str, *pairs: tuple[str, str], start: tuple[str, ...] = PROMPT) -> list[Any]:
    """One row for each value of an option and what its line says."""
    return [((*start, option, value), line) for value, line in pairs]


PICTURES = [
    *rows(
        "--image",
        ("nowhere.png", "no such file (nowhere.png)"),
        ("text.png", "is not a picture (text.png); try a PNG"),
        ("empty.png", "the file is empty (empty.png)"),
        ("cut.jpg", "cannot be read: image file is truncated"),
        ("cut.png", "cannot be read: image file is truncated"),
        ("bomb.png", "claims too many pixels (bomb.png); try a smaller copy"),
        ("good.mp4", "is not a picture (good.mp4); try it as a video (--video)"),
        ("full", "is a folder, not a file (full)"),
        ("ring.png", "no such file (ring.png)"),
        ("/dev/zero", "is not a regular file"),
        (f"{LONG_NAME}.png", "File name too long"),
        ("", "no file in '' (--image)"),
        ("9=good.png", "9 s is past the end at 0.8 s"),
        ("0.8=good.png", "0.8 s is past the end"),
        ("-1=good.png", "image at -1 s (--image); try 0=good.png"),
        ("nan=good.png", "image at nan s"),
        ("1e300=good.png", "1e+300 s is past the end"),
    ),
    ((*PROMPT, "--image", "good.png", "--image", "good.jpg"), "frame 0 is pinned twice"),
    ((*PROMPT, "--image", "end=good.png", "--image", "end=good.jpg"), "try one of the two"),
    ((*PROMPT, "--image", "good.png", "--image", "0.1=good.jpg"), "try 4 frames apart"),
]
VIDEOS = [
    *rows(
        "--video",
        ("nowhere.mp4", "no such file (nowhere.mp4)"),
        ("text.mp4", "cannot be read"),
        ("empty.mp4", "the file is empty"),
        ("cut.mp4", "cut short"),
        ("text.png", "try it as a picture (--image)"),
        ("full", "a folder without numbered pictures"),
        ("good.toml", "cannot be read"),
        ("3=good.mp4", "pass frame 40"),
        start=LONGER,
    ),
    ((*PROMPT, "--video", "good.mp4"), "about 20 frames at 10 fps where 8 fit"),
    ((*LONGER, "--video", "good.mp4", "--image", "1=good.png"), "frame 10 is pinned twice"),
    *rows(
        "--strength",
        ("2", "2 out of range (--strength); try 1"),
        ("nan", "nan out of range"),
        ("x", "'x' is not a number"),
        start=("a", "--video", "good.mp4"),
    ),
    (("a", "--strength", "0.5"), "exactly one whole video"),
    (("a", "--strength", "0.5", "--video", "good.mp4", "--frames", "99"), "try --frames 20"),
]
NUMBERS = [
    *rows(
        "--seconds",
        ("0", "0 out of range (--seconds); try 0.05"),
        ("-1", "-1 out of range (--seconds); try 0.05"),
        ("nan", "nan out of range"),
        ("-inf", "-inf out of range (--seconds); try 0.05"),
        ("1e18", "1e+18 out of range (--seconds); try 1000000"),
        ("x", "'x' is not a number"),
        (DIGITS, "out of range"),
        start=("a",),
    ),
    *rows(
        "--frames",
        ("0", "0 out of range (--frames); try 1"),
        ("1.5", "'1.5' is not a whole number"),
        ("100000001", "1e+08 out of range (--frames); try 10000000"),
        (DIGITS, "is not a whole number (--frames); try 600"),
        start=("a",),
    ),
    ((*PROMPT, "--seconds", "1"), "both seconds and frames"),
    *rows(
        "--size",
        ("13x-2", "'13x-2' is not a size (--size); try WIDTHxHEIGHT"),
        ("0x0", "size 0x0 out of range (--size); try 16x16"),
        ("99999x99999", "try 4096x4096"),
        ("128", "'128' is not a size"),
    ),
    *rows(
        "--fps",
        ("0", "0 frames a second (--fps); try 0.1"),
        ("nan", "'nan' is not a frame rate"),
        ("1/0", "'1/0' is not a frame rate"),
        ("1e9", "1e9 frames a second (--fps); try 240"),
        ("1e999999999", "is not a frame rate"),
        ("9" * 400, "frames a second (--fps); try 240"),
        (DIGITS, "is not a frame rate"),
    ),
    *rows("--seed", ("x", "'x' is not a whole number"), ("-1", "seed -1 out of range")),
]
STORYBOARDS = [
    (("nowhere.toml",), "no such storyboard (nowhere.toml)"),
    (("folder.toml",), "is a folder, not a storyboard"),
    (("binary.toml",), "not UTF-8"),
    (("empty.toml",), "empty or larger"),
    (("misspelt.toml",), "unknown key 'secnds' (misspelt.toml, shot 1); try seconds"),
    (("misspelt-film.toml",), "unknown key 'sede' (misspelt-film.toml); try seed"),
    (("prompt-number.toml",), "prompt is a number"),
    (("seconds-text.toml",), "a text instead of a number"),
    (("seconds-zero.toml",), "0 out of range"),
    (("seconds-negative.toml",), "-1 out of range"),
    (("seconds-nan.toml",), "nan out of range"),
    (("seconds-huge.toml",), "out of range (seconds-huge.toml, shot 1, seconds); try 10000000"),
    (("seconds-digits.toml",), "not TOML"),
    (("cut-text.toml",), "cut is a text (cut-text.toml, shot 1); try true or false"),
    (("images-text.toml",), "images is not a list of texts"),
    (("fps-text.toml",), "a text instead of a number"),
    (("fps-digits.toml",), "out of range (fps-digits.toml, fps); try 240"),
    (("size-number.toml",), "'3' is not a size"),
    (("seed-fraction.toml",), "seed 1.5 is not a whole number"),
    (("shot-list.toml",), "no shots"),
    (("no-shots.toml",), "no shots"),
    (("empty-shots.toml",), "no shots"),
    (("empty-shot.toml",), "no prompt (empty-shot.toml, shot 1)"),
    (("invalid.toml",), "not TOML"),
    (("twice.toml",), "not TOML"),
    (("deep.toml",), "not TOML"),
    (("up.toml",), "'../x.jpg' leaves the storyboard's folder"),
    (("absolute.toml",), "'/etc/hostname' leaves the storyboard's folder"),
    (("link-out.toml",), "'out.png' leaves the storyboard's folder"),
    (("missing.toml",), "no such file"),
    (("late.toml",), "image at 5 s of a shot of 1 s"),
    (("folder-pin.toml",), "is a folder, not a file"),
    (("",), "an empty brief"),
]
PLACES = [
    *rows(
        "--out",
        ("full", "the folder holds other files (full); try full/frames/"),
        ("good.png/film.mp4", "is a file, not a folder"),
        ("ring.png/film.mp4", "is a file, not a folder"),
        ("film.mp5", "cannot write films as .mp5 (film.mp5); try film.mp4"),
        ("folder.toml", "cannot write films as .toml"),
        (".mp4", "not a name for a film ('.mp4'); try film.mp4"),
        ("./-", "not a name for a film ('./-'); try film.mp4"),
        ("good.png.m3u8/", "ends as a file does"),
        (".", "not a name for a film ('.'); try film.mp4"),
        ("/", "not a name for a film ('/'); try film.mp4"),
        ("/dev/null", "is a file, not a folder"),
        ("x" * 250 + ".mp4", "a name too long for a file"),
        ("", "an empty value (--out); try film.mp4"),
    ),
    ((*LONGER, "--video", "good.mp4", "--out", "good.mp4"), "would replace what it is made of"),
    ((*LONGER, "--video", "good.mp4", "--out", "full/../good.mp4"), "would replace"),
    ((*PROMPT, "--image", "good.png", "--sheet", "good.png"), "would replace"),
    *rows("--sheet", ("nowhere/s.png", "cannot write into the folder"), ("s.jpg", "is a PNG")),
    *rows("--audio", ("nowhere.wav", "no such file"), ("text.png", "cannot be read")),
    *rows(
        "--run",
        ("good.png", "not a folder (good.png)"),
        ("good.png/run", "no place for a run folder"),
        ("full", "not a run folder (full)"),
        ("film.mp4", "finished steps would lie where the film goes"),
        ("", "an empty value (--run)"),
    ),
    ((*PROMPT, "--out", "film", "--run", "film/run"), "would lie where the film goes"),
]
SYSTEMS = [
    *rows(
        "--scheme",
        ("hierachy", "unknown scheme 'hierachy' (--scheme); try hierarchy"),
        ("hierarchy:lvls=3", "unknown knob 'lvls' of hierarchy (--scheme); try levels"),
        ("hierarchy:levels=9999999999", "levels=9999999999 (hierarchy); try levels=64 or fewer"),
        ("autoregressive:window=17", "puts 17 frames in a call (role clip); try window=16"),
        ("adaptive", "an adaptive scheme in a stage that cannot select"),
        ("", "an empty value (--scheme)"),
        start=("a", "--seconds", "20"),
    ),
    *rows(
        "--set",
        ("stepz=3", "unknown knob 'stepz' (--set); try steps"),
        ("steps=x", "steps=x is not a whole number (--set); try steps=8"),
        ("hold=nan", "hold=nan is not a finite number (--set); try hold=0.05"),
        ("guidance=inf", "guidance=inf is not a finite number (--set)"),
        ("rule=eulr", "unknown sampler 'eulr' (sampler); try euler"),
        ("steps=1000000000", "steps=1000000000 (sampling); try steps=8"),
        ("first=0", "first=0 (--set); try first=24"),
        ("shift=0", "shift=0.0 (sampling); try above 0"),
        ("guidance=1e308", "guidance=1e+308 (sampling); try"),
        ("device=cuda", "the device is no knob (--set device); try --device cuda"),
        ("steps", "'steps' turns no knob"),
        ("weights=nowhere", "weights are missing (nowhere/skies_codec.safetensors)"),
        ("weights=w-cut", "weights cannot be read"),
        ("weights=w-cut-header", "weights cannot be read"),
        ("weights=w-empty", "weights cannot be read"),
        ("weights=w-long-header", "weights cannot be read"),
        ("weights=w-huge-tensor", "weights cannot be read"),
        ("weights=w-foreign", "they state no sizes (w-foreign/skies.safetensors)"),
        ("weights=w-no-sizes", "they state no sizes"),
        ("weights=w-other-sizes", "no size 'text'"),
        ("weights=w-small", "weights claim 5 blocks 224 wide, and do not hold them"),
        ("weights=w-wide", "weights claim 5 blocks 400000 wide"),
        ("weights=w-deep", "weights claim 1000000000 blocks"),
        ("weights=w-texts", "weights with channels=x"),
        ("weights=w-stride", "weights with stride=0"),
        ("weights=w-negative", "weights with channels=-1"),
        ("weights=w-missing", "weights are missing"),
    ),
    *rows(
        "--executor",
        ("serail", "unknown executor 'serail' (--executor); try serial"),
        ("processes:0", "'0' is not a number of processes"),
        (f"processes:{DIGITS}", "is not a number of processes"),
    ),
    *rows(
        "--model",
        ("skys", "unknown model 'skys' (--model); try skies"),
        ("full", "a folder without config.json"),
        ("good.png", "unknown model 'good.png'"),
    ),
    *rows(
        "--device",
        ("cdua", "unknown device 'cdua' (--device); try cuda"),
        (f"cuda:{DIGITS}", "unknown"),
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bad")
    make_files(made)
    make_weights(made, BUILT_IN)
    return made


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the folder of bad files, which must be as it was afterwards."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LONGTAKE_TRACE", raising=False)
    before = standing(folder)
    yield
    assert standing(folder) == before, "nothing is written"


def standing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path under a folder, with its length and its time."""
    paths = {path.relative_to(folder).as_posix(): path.lstat() for path in folder.rglob("*")}
    return {name: (info.st_size, info.st_mtime_ns) for name, info in paths.items()}


def refused(*words: str) -> str:
    """The line of a command that must be refused, in both modes alike."""
    plain, told = (CliRunner().invoke(cli, [*words, *more]) for more in ((), ("--json",)))
    assert plain.exit_code == told.exit_code == 2, plain.stderr + told.stderr
    assert plain.stderr == told.stderr
    assert plain.stderr.count("\n") == 1 and plain.stderr.endswith("\n")
    assert plain.stderr.startswith("longtake: error: ")
    head, mark, hint = plain.stderr.strip().rpartition("; try ")
    assert mark and hint and head.endswith(")"), "WHAT (WHERE); try NEAREST"
    assert len(plain.stderr) < 1000
    assert plain.stdout == ""
    (line,) = told.stdout.splitlines()
    assert json.loads(line) == {
        "event": "failed",
        "error": plain.stderr.strip().removeprefix("longtake: error: "),
    }
    return plain.stderr


def name_of(value: Any) -> str:
    text = value if isinstance(value, str) else " ".join(value[-2:])
    return text if len(text) < 40 else text[:37] + "..."


@pytest.mark.parametrize("verb", ["generate", "plan"])
@pytest.mark.parametrize(
    ("words", "line"),
    [*PICTURES, *VIDEOS, *NUMBERS, *STORYBOARDS, *PLACES, *SYSTEMS],
    ids=name_of,
)
def test_bad_input_is_refused_before_weights_are_read(
    verb: str, words: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("longtake.api._check_parts", read)
    assert line in refused(verb, *words)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--device", "cuda:99"), "no device 'cuda:99' here (--device); try --device cpu"),
        (("--set", "weights=w-not-numbers"), "weights that are not finite numbers"),
    ],
    ids=name_of,
)
def test_what_only_making_a_film_can_find_out(words: tuple[str, ...], line: str) -> None:
    assert line in refused("generate", *PROMPT, *words)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("verb", ["generate", "plan"])
def test_a_folder_that_may_not_be_written(verb: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "may not write" in refused(verb, *PROMPT, "--out", f"{tmp_path}/film.mp4")
    assert "no place for a run" in refused(verb, *PROMPT, "--run", f"{tmp_path}/run")


def test_odd_pictures_can_be_pinned(tmp_path: Path) -> None:
    for path in make_odd_pictures(tmp_path):
        made = job_of("a", {"frames": 8, "images": (str(path),)})
        pixels = made.given[0].load()
        assert pixels.shape == (1, 3, 128, 128), path.name
        assert 0.3 < pixels.mean() <= 1, path.name
