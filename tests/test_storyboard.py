"""Storyboards: read strictly, written so that they read back equal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.controls import Pin, Shot, Storyboard
from longtake.errors import InputError
from longtake.prompts.storyboard import (
    parse_storyboard,
    read_pin,
    read_size,
    read_storyboard,
    save_storyboard,
    storyboard_text,
)

HARBOUR = """
seed = 7
fps = 10
size = "128x96"

[[shot]]
prompt = "calm sea at dawn"
seconds = 20
images = ["0=harbour.jpg", "end=sub/a=b.png"]
videos = ["2.5=waves.mp4"]

[[shot]]
prompt = "storm clouds roll in"
seconds = 7.5
cut = false
"""


def test_reads_what_the_contract_shows(tmp_path: Path) -> None:
    (tmp_path / "harbour.toml").write_text("\ufeff" + HARBOUR, encoding="utf-8")
    board = read_storyboard(tmp_path / "harbour.toml")
    assert (board.seed, board.fps, board.size) == (7, 10, (128, 96))
    first, second = board.shots
    assert (first.prompt, first.seconds, first.cut) == ("calm sea at dawn", 20, True)
    assert [(pin.at, Path(pin.path).name, pin.kind) for pin in first.pins] == [
        (0.0, "harbour.jpg", "image"),
        ("end", "a=b.png", "image"),
        (2.5, "waves.mp4", "video"),
    ]
    assert all(Path(pin.path).is_absolute() for pin in first.pins)
    assert (second.seconds, second.cut, second.pins) == (7.5, False, ())


@pytest.mark.parametrize(
    ("change", "what", "hint"),
    [
        (("seconds = 20", "second = 20"), "unknown key 'second'", "seconds"),
        (("seed = 7", "sed = 7"), "unknown key 'sed'", "seed"),
        (("fps = 10", 'fps = "10"'), "a text instead of a number", "10"),
        (("fps = 10", "fps = nan"), "out of range", "0.1"),
        (("fps = 10", "fps = 0"), "out of range", "0.1"),
        (("seed = 7", "seed = true"), "not a whole number", "seed = 7"),
        (("seed = 7", "seed = -7"), "not a whole number", "seed = 7"),
        (("128x96", "8x96"), "out of range", "16x96"),
        (("128x96", "128by96"), "not a size", "WIDTHxHEIGHT"),
        (("cut = false", "cut = 0"), "cut is a number", "true or false"),
        (("seconds = 7.5", "seconds = -1"), "out of range", "0.001"),
        (("seconds = 7.5", "seconds = -inf"), "out of range", "0.001"),
        (("seconds = 20", "seconds = inf"), "without end before the last", "the last shot only"),
        (("seconds = 7.5", ""), "no seconds", "seconds = 20"),
        (('prompt = "storm clouds roll in"', "prompt = 3"), "prompt is a number", "prompt ="),
        (('["0=harbour.jpg"', '["0=../harbour.jpg"'), "leaves the storyboard's folder", "--image"),
        (('["0=harbour.jpg"', '["0=/etc/passwd"'), "leaves the storyboard's folder", "--image"),
        (('["0=harbour.jpg"', '["20=harbour.jpg"'), "image at 20 s of a shot", "end=harbour.jpg"),
        (('["0=harbour.jpg"', '["-1=harbour.jpg"'), "image at -1 s", "0=harbour.jpg"),
        (('.png"]', '.png"'), "not TOML", "prompt"),
        (('videos = ["2.5=waves.mp4"]', 'videos = "waves.mp4"'), "not a list of texts", "videos"),
    ],
)
def test_wrong_storyboards(change: tuple[str, str], what: str, hint: str) -> None:
    assert change[0] in HARBOUR
    with pytest.raises(InputError) as caught:
        parse_storyboard(HARBOUR.replace(*change))
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "seed = 1", "shot = 3", "[shot]\nprompt='x'", "\x00", "= ="])
def test_no_shots(text: str) -> None:
    with pytest.raises(InputError):
        parse_storyboard(text)


def test_files_that_are_no_storyboards(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes('[[shot]]\nprompt = "é"'.encode("latin-1"))
    (tmp_path / "empty.toml").touch()
    for name, what in (("latin", "UTF-8"), ("empty", "empty"), ("latn", "no such storyboard")):
        with pytest.raises(InputError, match=what):
            read_storyboard(tmp_path / f"{name}.toml")
    with pytest.raises(InputError) as caught:
        read_storyboard(tmp_path / "latn.toml")
    assert caught.value.hint == "latin.toml"


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.png").touch()
    inside = tmp_path / "film"
    inside.mkdir()
    (inside / "sky.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="leaves"):
        parse_storyboard('[[shot]]\nprompt="x"\nseconds=1\nimages=["sky.png"]', folder=inside)


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        ("a.jpg", (0.0, "a.jpg")),
        ("3=a.jpg", (3.0, "a.jpg")),
        ("1e1=a.jpg", (10.0, "a.jpg")),
        ("end=a.jpg", ("end", "a.jpg")),
        ("a=b.jpg", (0.0, "a=b.jpg")),
        ("./3=a.jpg", (0.0, "./3=a.jpg")),
        ("2=k=v.png", (2.0, "k=v.png")),
    ],
)
def test_pins(text: str, pin: tuple[float | str, str]) -> None:
    found = read_pin(text, "image", "--image")
    assert (found.at, found.path) == pin


@pytest.mark.parametrize("text", ["", "3=", "end= ", "nan=a.jpg", "inf=a.jpg", "-2=a.jpg"])
def test_wrong_pins(text: str) -> None:
    with pytest.raises(InputError):
        read_pin(text, "image", "--image")


def test_sizes() -> None:
    assert read_size("224x128") == read_size((224, 128)) == read_size(" 224 X 128 ") == (224, 128)
    for wrong in ("224", "224x", "x", "1e2x100", "15x16", "16x4097", (16,), (16.0, 16.0), None):
        with pytest.raises(InputError):
            read_size(wrong)


prompts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
names = st.text(st.characters(categories=["L", "N"], include_characters="= -_"), min_size=1)
pins = st.builds(
    Pin,
    st.one_of(st.just("end"), st.floats(0, 0.9)),
    names.map(lambda name: f"{name}.png"),
    st.sampled_from(["image", "video"]),
)
shots = st.builds(
    Shot,
    prompts,
    st.floats(1, 1e6),
    st.lists(pins, max_size=3).map(lambda p: tuple(sorted(p, key=lambda pin: pin.kind))),
    st.booleans(),
    seed=st.none() | st.integers(0, 2**63 - 1),
)
boards = st.builds(
    Storyboard,
    st.lists(shots, min_size=1, max_size=4).map(tuple),
    st.none() | st.integers(0, 2**63 - 1),
    st.none() | st.floats(0.1, 240),
    st.none() | st.tuples(st.integers(16, 4096), st.integers(16, 4096)),
)


@given(boards)
def test_what_is_written_reads_back_equal(board: Storyboard) -> None:
    here = Path().resolve()
    found = parse_storyboard(storyboard_text(board, here), folder=here)
    assert (found.seed, found.fps, found.size) == (board.seed, board.fps, board.size)
    for mine, other in zip(board.shots, found.shots, strict=True):
        for name in ("prompt", "seconds", "cut", "seed"):
            assert getattr(mine, name) == getattr(other, name)
        told = [(pin.at, str((here / pin.path).resolve()), pin.kind) for pin in mine.pins]
        assert told == [(pin.at, pin.path, pin.kind) for pin in other.pins]


def test_saving_is_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.toml"
    save_storyboard(Storyboard((Shot("x", 1.0, (Pin(0.0, "a.png", "image"),)),), seed=3), path)
    assert read_storyboard(path).seed == 3
    before = path.read_bytes()
    with pytest.raises(InputError, match="outside"):
        save_storyboard(Storyboard((Shot("x", 1.0, (Pin(0.0, "../a.png", "image"),)),)), path)
    with pytest.raises(InputError):
        save_storyboard(Storyboard(()), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["film.toml"]
