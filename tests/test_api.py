"""The library's face: briefs become jobs, films are iterated, saved and streamed."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import toy

import longtake
from longtake.brief import job_of, lay_shots
from longtake.controls import Shot, Storyboard
from longtake.errors import InputError
from longtake.video import VideoWriter, probe, read_video, write_image

TOY = f"{Path(__file__).parent / 'toy.py'}:toy"


pytestmark = pytest.mark.usefixtures("here")


def options(**changes: Any) -> Any:
    return {"model": TOY, **changes}


def video(path: str, frames: int, level: int = 128, fps: int = 10) -> str:
    pixels = torch.full((frames, 3, 48, 64), level, dtype=torch.uint8)
    with VideoWriter(path, size=(64, 48), fps=Fraction(fps)) as writer:
        writer.write(pixels)
    return path


def picture(path: str, level: int) -> str:
    write_image(torch.full((3, 48, 64), level, dtype=torch.uint8), path)
    return path


# --- briefs become jobs


def test_a_prompt_is_one_shot_of_sixty_seconds() -> None:
    job = job_of("calm sea", options())
    assert (job.frames, job.fps, job.size, job.seed) == (600, 10, (64, 48), 0)
    assert [(cue.prompt, cue.start, cue.stop) for cue in job.cues] == [("calm sea", 0.0, 60.0)]


@pytest.mark.parametrize(
    ("asked", "frames"),
    [
        ({"seconds": 2}, 20),
        ({"seconds": "2.04"}, 20),
        ({"seconds": "2.05"}, 21),
        ({"seconds": 0.05}, 1),
        ({"frames": 7}, 7),
        ({"seconds": 1, "fps": "30000/1001"}, 30),
        ({"seconds": 1001, "fps": "30000/1001"}, 30000),
        ({"seconds": 100, "fps": "29.97"}, 2997),
    ],
)
def test_lengths_are_exact(asked: dict[str, Any], frames: int) -> None:
    assert job_of("x", options(**asked)).frames == frames


def test_the_command_line_overrides_the_storyboard() -> None:
    text = 'seed = 7\nfps = 5\nsize = "80x48"\n[[shot]]\nprompt = "a"\nseconds = 4\n'
    Path("film.toml").write_text(text)
    job = job_of("film.toml", options())
    assert (job.seed, job.fps, job.size, job.frames) == (7, 5, (80, 48), 20)
    job = job_of("film.toml", options(seed=8, fps=10, size="64x64", seconds=3))
    assert (job.seed, job.fps, job.size, job.frames) == (8, 10, (64, 64), 30)


def test_shots_lie_on_whole_frames_and_cuts_begin_takes() -> None:
    shots = (Shot("a", 1.26), Shot("b", 1.0, cut=False), Shot("c", 2.0))
    job = job_of(Storyboard(shots), options())
    assert [(cue.prompt, cue.start) for cue in job.cues] == [("a", 0.0), ("b", 1.3), ("c", 2.3)]
    assert (job.cuts, job.frames) == ((23,), 43)
    assert job_of(Storyboard(shots), options(frames=20)).cuts == ()
    assert job_of(Storyboard(shots), options(frames=90)).cues[-1].stop == 9.0


def test_a_shot_without_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match="shot 2"):
        lay_shots((Shot("a", 1.0), Shot("b", 0.04)), Fraction(10), None)


def test_the_planner_splits_a_prompt() -> None:
    job = job_of("a sea. z storm", options(seconds=4, settings={"plans": "yes"}))
    assert [(cue.prompt, cue.start, cue.cut) for cue in job.cues] == [
        ("a sea", 0.0, False),
        ("z storm", 2.0, False),
    ]


@pytest.mark.parametrize(
    "asked",
    [
        {"seconds": "-inf"},
        {"seconds": "inf", "scheme": "hierarchy"},
        {"seconds": "inf", "frames": 10},
        {"seconds": "inf", "strength": 0.5, "videos": ("short.mp4",)},
        {"seconds": "inf", "videos": ("end=short.mp4",)},
        {"seconds": "nan"},
        {"seconds": "0"},
        {"seconds": "1e12"},
        {"seconds": 1, "frames": 10},
        {"frames": "ten"},
        {"frames": 0},
        {"fps": "0"},
        {"fps": "1/0"},
        {"fps": "1e9"},
        {"size": "8x8"},
        {"seed": "-1"},
        {"seed": "seven"},
        {"model": "no-such-model"},
        {"model": "a/hub-id"},
        {"model": "toy.py"},
        {"model": TOY + "s"},
        {"model": TOY.replace(":toy", ":wrong")},
        {"scheme": "autoregresive"},
        {"scheme": "autoregressive:window=99"},
        {"settings": {"windw": "8"}},
        {"settings": {"window": "eight"}},
        {"device": "abacus"},
        {"device": "cuda"},
        {"images": ("no.jpg",)},
        {"videos": ("no.mp4",)},
        {"images": ("99=still.png",), "seconds": 5},
        {"images": ("0=still.png", "0=still.png")},
        {"images": ("0=still.png", "0.1=still.png")},
        {"videos": ("short.mp4",), "frames": 11},
        {"videos": ("short.mp4", "1=short.mp4")},
        {"videos": ("still.png",)},
        {"strength": 0.5},
        {"strength": 2, "videos": ("short.mp4",)},
        {"strength": 0.5, "videos": ("short.mp4",), "frames": 13},
        {"colour": "red"},
    ],
)
def test_wrong_options_are_input_errors_of_one_line(asked: dict[str, Any]) -> None:
    picture("still.png", 10)
    video("short.mp4", 12)
    before = sorted(Path().iterdir())
    with pytest.raises(InputError) as caught:
        longtake.generate("x", **options(**asked))
    assert "\n" not in str(caught.value)
    assert caught.value.hint, str(caught.value)
    assert sorted(Path().iterdir()) == before


def test_empty_brief_needs_a_picture() -> None:
    with pytest.raises(InputError, match="empty brief"):
        job_of("  ", options())
    assert job_of("", options(images=(picture("a.png", 9),), seconds=2)).given[0].still


# --- pins


def test_pins_land_where_they_are_told() -> None:
    picture("a.png", 30)
    video("v.mp4", 12)
    asked = options(images=("end=a.png",), videos=("1=v.mp4",), seconds=5)
    job = job_of("x", asked)
    assert [(g.frame, g.frames, g.still) for g in job.given] == [(10, 12, False), (49, 1, True)]
    pixels = job.given[0].load()
    assert pixels.shape == (12, 3, 48, 64)
    assert abs(float(pixels.mean()) - 128 / 255) < 0.01
    backward = job_of("x", options(videos=("end=v.mp4",), seconds=5))
    assert [(g.frame, g.end) for g in backward.given] == [(38, 50)]


def test_pins_of_a_shot_count_from_its_start(here: Path) -> None:
    picture("a.png", 30)
    text = '[[shot]]\nprompt="a"\nseconds=2\n[[shot]]\nprompt="b"\nseconds=2\ncut=%s\n'
    for cut in ("true", "false"):
        lines = 'images=["0=a.png","end=a.png"]'
        Path("film.toml").write_text(text % cut + lines)
        assert [g.frame for g in job_of("film.toml", options()).given] == [20, 39]


def test_a_video_may_not_cross_a_cut() -> None:
    video("v.mp4", 12)
    shots = (Shot("a", 1.0), Shot("b", 3.0))
    with pytest.raises(InputError, match="crosses the cut"):
        job_of(Storyboard(shots), options(videos=("v.mp4",)))
    flowing = (Shot("a", 1.0), Shot("b", 3.0, cut=False))
    assert job_of(Storyboard(flowing), options(videos=("v.mp4",))).given[0].frames == 12


def test_a_file_s_digest_follows_its_bytes_and_how_it_is_fitted() -> None:
    picture("a.png", 30)
    first = job_of("x", options(images=("a.png",), seconds=2)).given[0].digest
    assert job_of("x", options(images=("1=a.png",), seconds=2)).given[0].digest == first
    other = job_of("x", options(images=("a.png",), seconds=2, size="64x64")).given[0].digest
    picture("a.png", 31)
    again = job_of("x", options(images=("a.png",), seconds=2)).given[0].digest
    assert len({first, other, again}) == 3


def test_pinned_frames_are_in_the_film() -> None:
    video("v.mp4", 8, level=200)
    take = longtake.generate("a", **options(videos=("v.mp4",), images=(), seconds=2))
    frames = torch.stack(list(take)).float()
    assert frames[:8].mean() == pytest.approx(200, abs=2)


def test_strength_re_renders_a_whole_video() -> None:
    video("v.mp4", 13, level=250)
    near = longtake.generate("a", **options(videos=("v.mp4",), strength=0.05))
    far = longtake.generate("a", **options(videos=("v.mp4",), strength=1))
    assert near.frames == far.frames == 13
    bright = [torch.stack(list(take)).float().mean() for take in (near, far)]
    assert bright[0] > 220 > bright[1] + 50


# --- films


def test_a_take_is_iterated_again_with_the_same_frames() -> None:
    take = longtake.generate("m", **options(frames=50))
    first, second = torch.stack(list(take)), torch.stack(list(take))
    assert first.shape == (50, 3, 48, 64)
    assert first.dtype == torch.uint8
    assert torch.equal(first, second)
    done = take.events[-1].line()
    assert (done["event"], done["ran"], len(take)) == ("done", 0, 50)
    other = torch.stack(list(longtake.generate("m", **options(frames=50, seed=1))))
    assert not torch.equal(first, other)


def test_the_prompt_is_heard() -> None:
    levels = [
        torch.stack(list(longtake.generate(word, **options(frames=16)))).float().mean()
        for word in ("a", "z")
    ]
    assert levels[1] > levels[0] + 20


def test_a_film_has_exactly_its_frames_and_size() -> None:
    take = longtake.generate("m", **options(frames=37, size="51x35", fps="12.5"))
    take.save("film.mp4", sheet="sheet.png")
    told, frames = probe("film.mp4"), read_video("film.mp4")
    assert frames.shape == (37, 3, 35, 51)
    assert told.fps == Fraction(25, 2)
    assert Path("sheet.png").stat().st_size > 500
    assert not list(Path().glob("*.run"))


def test_streams_tell_the_same_events_and_reuse_steps() -> None:
    lines = [e.line() for e in longtake.stream("m", out="a.mp4", **options(frames=40))]
    names = [line["event"] for line in lines]
    assert (names[0], names[-1]) == ("planned", "done")
    assert lines[-1] | {"seconds": 0} == {
        "event": "done",
        "out": "a.mp4",
        "frames": 40,
        "seconds": 0,
        "ran": names.count("started"),
        "reused": 0,
    }
    decoded = [line["frames"] for line in lines if line["event"] == "decoded"]
    assert decoded[0][0] == 0
    assert decoded[-1][1] == 40
    assert [b for _, b in decoded[:-1]] == [a for a, _ in decoded[1:]]
    before = Path("a.mp4").read_bytes()
    again = [e.line() for e in longtake.stream("m", out="a.mp4", **options(frames=40))]
    assert (again[-1]["ran"], again[-1]["reused"]) == (0, names.count("started"))
    assert Path("a.mp4").read_bytes() == before
    assert json.loads(Path("a.run/store.json").read_text())["format"]


def test_processes_make_the_same_film() -> None:
    serial = longtake.generate("m", **options(frames=24))
    several = longtake.generate("m", executor="processes:1", **options(frames=24))
    assert torch.equal(torch.stack(list(serial)), torch.stack(list(several)))


def test_plan_runs_nothing_and_knows_what_is_cached() -> None:
    asked = options(frames=40)
    *steps, total = longtake.plan("m", **asked)
    assert total["event"] == "planned"
    assert total["calls"] == len(steps) > 1
    assert not any(step["cached"] for step in steps)
    list(longtake.stream("m", run="a.run", **asked))
    *steps, _ = longtake.plan("m", run="a.run", **asked)
    assert all(step["cached"] for step in steps)
    *steps, _ = longtake.plan("m", run="a.run", **options(frames=40, seed=1))
    assert all("seed" in step["why"] for step in steps)


def test_systems_load_by_file_function_and_in_hand() -> None:
    assert longtake.load(TOY, window="6").stages[0].scheme.window == 6
    take = longtake.generate("m", model=toy(window=6), frames=8, size=(16, 16))
    assert len(list(take)) == 8
    with pytest.raises(InputError, match="other processes"):
        longtake.generate("m", model=toy(), executor="processes:2", frames=8)


def test_a_recipe_without_a_scheme_knob_takes_one_all_the_same() -> None:
    system = job_of("m", options(model=TOY.replace(":toy", ":fixed"), scheme="one-shot")).system
    assert type(system.stages[0].scheme).__name__ == "OneShot"
    assert system.stages[0].scheme.window == 8


def test_damaged_weights_are_found_before_anything_is_written() -> None:
    with pytest.raises(InputError, match="weights cannot be read"):
        longtake.stream("m", out="a.mp4", **options(frames=8, settings={"weights": "damaged"}))
    assert not list(Path().iterdir())


def test_a_scheme_that_chooses_needs_a_stage_that_can(here: Path) -> None:
    asked = options(scheme="adaptive:window=4,pool=4")
    with pytest.raises(InputError, match="a stage that cannot select"):
        longtake.stream("a", out="film.mp4", frames=200, **asked)
    assert not list(here.iterdir())
    longtake.generate("a", frames=16, **asked)  # nothing to choose


def test_a_role_without_a_model_is_found_before_anything_is_written(here: Path) -> None:
    system = toy(scheme="keys-then-fill")
    (part,) = system.stages[0].models.values()
    stage = dataclasses.replace(system.stages[0], models={"keys": part, "links": part})
    system = dataclasses.replace(system, stages=(stage,))
    with pytest.raises(InputError, match="no model for role 'fill'"):
        longtake.stream("a", out="film.mp4", model=system, frames=200)
    assert not list(here.iterdir())


def test_a_folder_brings_settings_but_no_code(here: Path) -> None:
    (here / "saved").mkdir()
    for text in ("{", "[]", '{"recipe": "toy.py:toy"}', '{"recipe": "../toy"}'):
        (here / "saved" / "config.json").write_text(text)
        with pytest.raises(InputError):
            longtake.load("saved")


@pytest.mark.parametrize("code", ["1 / 0", "def toy(", "import no_such_module", "toy = 3"])
def test_recipe_files_that_fail_say_where(here: Path, code: str) -> None:
    (here / "mine.py").write_text(f'"""Mine."""\n{code}\n')
    with pytest.raises(InputError, match=r"mine\.py"):
        longtake.load("mine.py:toy")


def test_the_film_may_not_replace_its_sources() -> None:
    video("v.mp4", 8)
    with pytest.raises(InputError, match="replace"):
        longtake.stream("m", out="./v.mp4", **options(videos=("v.mp4",), seconds=2))
