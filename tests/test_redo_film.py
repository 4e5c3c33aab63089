"""Redone films as a user meets them: on the command line, in manifests, in run folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_parts import toy_system
from manifest_parts import BESIDE, FILM, TOY, edited, make, run, verify

import longtake
from longtake.engine.manifest import STRETCH, read_manifest
from longtake.errors import InputError
from longtake.schemes import find_scheme
from longtake.video import read_video

pytestmark = pytest.mark.usefixtures("here", "one_thread")

LONG = ("a", "--model", TOY, "--frames", "600")  # a minute


def redo(*words: str, out: str = "film.mp4", start: tuple[str, ...] = LONG) -> list[dict[str, Any]]:
    """The JSON lines of a redo."""
    result = run("generate", *start, "--out", out, *words, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def film(out: str = "film.mp4", *words: str, start: tuple[str, ...] = LONG) -> None:
    result = run("generate", *start, "--out", out, "--quiet", *words)
    assert result.exit_code == 0, result.output


def tree() -> dict[str, str]:
    """Every file there is, by its bytes."""
    files = (path for path in sorted(Path().rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def events(lines: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == name]


# --- nothing else changes


def test_three_seconds_in_the_middle_of_a_minute() -> None:
    film("frames")
    before = tree()
    lines = redo("--redo", "28-31", "--takes", "3", out="frames")
    after = tree()
    pictures = [name for name in before if name.startswith("frames/")]
    assert len(pictures) == 600
    found = [n for n, name in enumerate(sorted(pictures)) if before[name] != after[name]]
    # four frames an index: 280 to 308 are its own, and this codec sees no neighbours
    assert found == list(range(280, 308))
    clips = {name for name in before if name.startswith("frames.run/clips")}
    assert all(before[name] == after[name] for name in clips)
    (chosen,) = events(lines, "chosen")
    assert chosen["frames"] == [280, 310] and set(chosen["scores"]) == {"1", "2", "3"}
    assert chosen["scores"][str(chosen["take"])] == min(chosen["scores"].values())
    assert lines[-1]["ran"] == 3 * (lines[-1]["ran"] // 3) > 0
    assert lines[-1]["frames"] == 600


def test_joins_are_no_rougher_than_the_film() -> None:
    asked: dict[str, Any] = {"model": TOY, "frames": 600, "run": "film.run"}
    old = torch.stack(list(longtake.generate("a", **asked))).float()
    new = torch.stack(list(longtake.generate("a", redo="28-31", takes=3, **asked))).float()
    steps = [(film[1:] - film[:-1]).abs().mean((1, 2, 3)) for film in (old, new)]
    own = steps[0][3::4]  # in between an index holds still
    assert not torch.equal(new[280:308], old[280:308])
    for join in (279, 307):
        assert steps[1][join] <= 1.15 * own.mean()


def test_a_video_is_coded_alike_but_between_keyframes_about_the_stretch() -> None:
    film()
    old = read_video("film.mp4")
    redo("--redo", "28-31")
    new = read_video("film.mp4")
    found = (old != new).flatten(1).any(1).nonzero().flatten().tolist()
    assert 260 <= found[0] <= 280 and 307 <= found[-1] < 328  # two seconds, 20 frames


def test_the_manifest_tells_and_its_stretches_stay() -> None:
    film()
    before = read_manifest(FILM)
    lines = redo("--redo", "28-31", "--takes", "2")
    after = read_manifest(FILM)
    take = events(lines, "chosen")[0]["take"]
    told = [{"frames": [280, 310], "take": take, "takes": 2, "upon": 0}]
    assert "redone" not in before["asked"] and after["asked"]["redone"] == told
    pairs = zip(before["stretches"], after["stretches"], strict=True)
    changed = [n for n, (a, b) in enumerate(pairs) if a != b]
    assert changed == list(range(280 // STRETCH, 1 + 307 // STRETCH))
    count = len(before["steps"])
    assert after["steps"][:count] == before["steps"] and len(after["steps"]) > count
    (told_of,) = verify("film.mp4")
    assert told_of["holds"] and not told_of["differs"] and not told_of["unknown"]
    for span in ("25-33", "0-2", "27-29"):
        assert verify("film.mp4", "--replay", span)[1]["verdict"] == "equal"


def test_a_manifest_with_a_nonsense_of_redos_is_no_traceback() -> None:
    film()
    redo("--redo", "28-31")
    good = BESIDE.read_text()
    line = {"frames": [280, 310], "take": 1, "takes": 1, "upon": 0}
    for wrong in (
        {"frames": [310, 280]},
        {"frames": [280, 6000]},
        {"frames": [280]},
        {"take": -1},
        {"take": 10**9},
        {"upon": 1},
        {"takes": "many"},
    ):
        edited(lambda told, wrong=wrong: told["asked"].update(redone=[{**line, **wrong}]))
        (told,) = verify("film.mp4")
        assert "redone is wrong" in told["unknown"] and told["holds"]
        result = run("generate", *LONG, "--redo", "28-31", "--takes", "2")
        assert result.exit_code == 2 and result.stderr.count("\n") == 1
    for wrong in ("all of it", [line] * 200, [7], {"a": 1}, None):
        edited(lambda told, wrong=wrong: told["asked"].update(redone=wrong))
        assert verify("film.mp4")[0]["unknown"]
    BESIDE.write_text(good)
    assert not verify("film.mp4")[0]["unknown"]


# --- takes


def test_every_take_can_be_chosen_later_and_the_film_be_had_back() -> None:
    film()
    original = tree()["film.mp4"]
    chosen = events(redo("--redo", "28-31", "--takes", "3"), "chosen")[0]["take"]
    films = {0: original, chosen: tree()["film.mp4"]}
    manifest = BESIDE.read_bytes()
    for take in (1, 2, 3, 0):
        lines = redo("--redo", "28-31", "--take", str(take))
        assert lines[-1]["ran"] == 0 and events(lines, "chosen")[0]["take"] == take
        assert films.setdefault(take, tree()["film.mp4"]) == tree()["film.mp4"]
        assert verify("film.mp4", "--replay", "28-31")[1]["verdict"] == "equal"
    assert len(set(films.values())) == 4
    redo("--redo", "28-31", "--takes", "3")
    assert BESIDE.read_bytes() == manifest and tree()["film.mp4"] == films[chosen]
    lines = redo("--redo", "28-31", "--takes", "5")
    assert lines[-1]["ran"] == 2 * (lines[-1]["ran"] // 2) > 0, "two more takes"
    film()  # the film as it was first asked for
    assert tree()["film.mp4"] == original


def test_takes_are_found_where_steps_choose_what_they_observe() -> None:
    system = toy_system(scheme=find_scheme("adaptive:window=8,pool=12"))
    asked: dict[str, Any] = {"model": system, "frames": 240, "run": "run", "size": "16x16"}
    old = torch.stack(list(longtake.generate("a", **asked)))
    several = longtake.generate("a", redo="10-16", takes=3, **asked)
    new = torch.stack(list(several))
    assert torch.equal(new[:100], old[:100]) and torch.equal(new[160:], old[160:])
    for take in (1, 2, 3):
        one = longtake.generate("a", redo="10-16", take=take, **asked)
        list(one)
        assert one.events[-1].line()["ran"] == 0
    with pytest.raises(InputError, match="take 4 of 10-16 is not there"):
        longtake.generate("a", redo="10-16", take=4, **asked)


def test_a_second_stretch_leaves_the_first_as_it_is() -> None:
    film("frames")
    redo("--redo", "28-31", out="frames")
    once = tree()
    redo("--redo", "40.4-44", "--takes", "2", out="frames")
    twice = tree()
    names = sorted(name for name in once if name.startswith("frames/"))
    assert {n for n, name in enumerate(names) if once[name] != twice[name]} == set(range(404, 440))
    redone = read_manifest(Path("frames"))["asked"]["redone"]
    assert [(line["frames"], line["upon"]) for line in redone] == [([280, 310], 0), ([404, 440], 1)]
    # the first stretch again: its takes are those it had, and the second stays
    redo("--redo", "28-31", "--take", "0", out="frames")
    third = tree()
    assert {n for n, name in enumerate(names) if twice[name] != third[name]} == set(range(280, 308))
    # a stretch that laps over another is made upon it
    redo("--redo", "43-46", out="frames")
    assert read_manifest(Path("frames"))["asked"]["redone"][-1]["upon"] == 3
    redo("--redo", "40.4-44", out="frames")
    assert read_manifest(Path("frames"))["asked"]["redone"][-1]["upon"] == 4


def test_an_interrupted_redo_goes_on() -> None:
    film()
    film("other.mp4")
    before = tree()["film.mp4"]
    asked: dict[str, Any] = {"model": TOY, "frames": 600, "redo": "10-40", "takes": 3}
    made = longtake.stream("a", out="film.mp4", **asked)
    count = 0
    for event in made:
        count += event.line()["event"] == "finished"
        if count == 7:
            break
    made.close()  # type: ignore[attr-defined]
    assert tree()["film.mp4"] == before, "the old film stands until the new one is whole"
    words = ("--redo", "10-40", "--takes", "3")
    whole, rest = redo(*words, out="other.mp4"), redo(*words)
    assert rest[-1]["ran"] == whole[-1]["ran"] - 7
    assert tree()["film.mp4"] == tree()["other.mp4"]
    assert BESIDE.read_bytes() == Path("other.mp4.manifest.json").read_bytes()


# --- plan, explain, gc


def test_plan_explain_and_gc_know_of_takes() -> None:
    film()
    words = ("--out", "film.mp4", "--redo", "28-31", "--takes", "2", "--json")
    before = tree()
    *steps, _ = map(json.loads, run("plan", *LONG, *words).stdout.splitlines())
    assert tree() == before
    assert [line["cached"] for line in steps] == ["take" not in line for line in steps]
    redo("--redo", "28-31", "--takes", "2")
    *steps, _ = map(json.loads, run("plan", *LONG, *words).stdout.splitlines())
    assert all(line["cached"] for line in steps)
    late = next(line for line in steps if line.get("take") == 2)
    told = json.loads(run("explain", "film.run", str(late["step"]), "--json").stdout)
    assert told["take"] == 2 and told["targets"] == late["targets"] and told["stored"]
    assert "take" in run("explain", "film.run", str(late["step"])).stdout
    redo("--redo", "28-31", "--take", "1")
    assert json.loads(run("gc", "film.run", "--json").stdout)["dropped"] == 0
    redo("--redo", "50-53")
    assert json.loads(run("gc", "film.run", "--json").stdout)["dropped"] == 0
    film()  # made without redos, it needs no takes
    swept = json.loads(run("gc", "film.run", "--json").stdout)
    assert swept["dropped"] > 0
    film()


def test_takes_follow_the_words_that_were_changed_since() -> None:
    """Another prompt is another film: it has to be finished first, and has no redos."""
    film()
    redo("--redo", "28-31")
    other = ("z", *LONG[1:])
    result = run("generate", *other, "--redo", "28-31")
    assert result.exit_code == 2 and "not finished" in result.stderr
    film(start=other)
    redo("--redo", "10-13", start=other)
    assert [line["frames"] for line in read_manifest(FILM)["asked"]["redone"]] == [[100, 130]]


# --- what is refused


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--redo", "31-28"), "31-28 does not go forward (--redo); try --redo 28-31"),
        (("--redo", "3-3"), "3-3 does not go forward (--redo); try --redo 0-3"),
        (("--redo", "58-61"), "58-61 is not within the film's 60 s (--redo); try --redo 0-3"),
        (("--redo", "99-120"), "not within the film's 60 s (--redo)"),
        (("--redo", "ten"), "'ten' is not a stretch of seconds (--redo); try --redo 0-3"),
        (("--redo", ""), "'' is not a stretch of seconds (--redo); try --redo 0-3"),
        (("--redo", "-1-2"), "is not a stretch of seconds"),
        (("--redo", "1-inf"), "is not a stretch of seconds"),
        (("--redo", "28.1-28.2"), "no latent frame that can be made again"),
        (("--redo", "28-31", "--takes", "0"), "--takes 0 out of range (--takes); try --takes 1"),
        (("--redo", "28-31", "--takes", "-3"), "--takes -3 out of range (--takes); try --takes 1"),
        (("--redo", "28-31", "--takes", "100"), "out of range (--takes); try --takes 99"),
        (("--redo", "28-31", "--takes", "two"), "'two' is not a whole number (--takes)"),
        (
            ("--redo", "28-31", "--take", "4"),
            "take 4 of 28-31 is not there (--take); try --takes 4",
        ),
        (("--redo", "28-31", "--takes", "2", "--take", "3"), "(--take); try --take 2"),
        (("--takes", "2"), "--takes without a stretch (--takes); try --redo A-B as well"),
        (("--take", "1"), "--take without a stretch (--take); try --redo A-B as well"),
        (("--redo", "28-31", "--run", "elsewhere"), "not finished"),
        (("--redo", "28-31", "--out", "new.mp4"), "(new.run); try the same command without --redo"),
        (("--redo", "28-31", "--seed", "5"), "this film is not finished"),
    ],
)
def test_wrong_redos_are_one_line_and_write_nothing(words: tuple[str, ...], line: str) -> None:
    film()
    before = tree()
    result = run("generate", *LONG, *words)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("longtake: error: ") and result.stderr.count("\n") == 1
    assert line in result.stderr
    assert tree() == before and result.stdout == ""


def test_the_stretch_that_is_proposed_is_taken() -> None:
    film()
    said = run("generate", *LONG, "--redo", "28.1-28.2").stderr
    redo("--redo", said.strip().rpartition("--redo ")[2])


def test_what_cannot_be_redone_at_all() -> None:
    result = run("generate", "m", "--model", TOY, "--seconds", "inf", "--redo", "1-4", "--out", "-")
    assert result.exit_code == 2 and b"without end cannot be redone" in result.stderr_bytes
    with pytest.raises(InputError, match="this film is not finished"):
        longtake.generate("m", model=TOY, frames=80, redo="1-4")
    assert not list(Path().iterdir())
    make("film.mp4")
    result = run("generate", "m", "--model", TOY, "--frames", "70", "--redo", "0-7", "--takes", "2")
    assert result.exit_code == 0, "all of a film may be redone"
    assert verify("film.mp4", "--replay", "0-7")[1]["verdict"] == "equal"
