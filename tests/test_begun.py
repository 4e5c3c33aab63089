"""Films that a picture begins: near it at first, and then as usual."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

import longtake
from longtake.api import order_of
from longtake.controls import Shot, Storyboard
from longtake.schemes import Begun, find_scheme
from longtake.steps import Plan, Timeline
from longtake.video import write_image

USUAL = find_scheme("unified:window=16,step=8,spacing=16,overlap=5,joins=none")
NEAR = find_scheme("unified:window=16,step=2,spacing=4,overlap=5,joins=none")
SCHEME = Begun(USUAL, NEAR, 40)


def steps(scheme: object, timeline: Timeline) -> list[object]:
    return list(Plan.of(scheme, timeline).steps)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [2, 5, 39, 40, 41, 90, 1000])
def test_every_place_is_written_once(length: int) -> None:
    plan = Plan.of(SCHEME, Timeline(length, (0,)))
    written = [i for step in plan.steps for i in step.targets]
    assert sorted(written) == list(range(1, length))


def test_far_frames_wait_until_near_ones_are_there() -> None:
    first, rest = [], []
    for step in Plan.of(SCHEME, Timeline(200, (0,))).steps:
        (first if max(step.targets) < 40 else rest).append(step)
    near = steps(NEAR, Timeline(40, (0,)))
    assert [(s.targets, s.observed) for s in first] == [(s.targets, s.observed) for s in near]  # type: ignore[attr-defined]
    assert {step.role for step in first} == {"near", "fill"}
    assert rest == steps(USUAL, Timeline(200, tuple(range(40))))


@pytest.mark.parametrize("given", [(), (0, 1, 2), (5,), (0, 60), (0, 79), (30, 199)])
def test_other_takes_are_as_usual(given: tuple[int, ...]) -> None:
    film = Timeline(200, given)
    assert steps(SCHEME, film) == steps(USUAL, film)


def test_only_the_take_that_a_picture_begins() -> None:
    film = Timeline(180, (60,), (60, 120))
    mine, usual = steps(SCHEME, film), steps(USUAL, film)
    assert mine != usual
    taken = {i: [s for s in mine if s.targets[0] // 60 == i] for i in range(3)}  # type: ignore[attr-defined]
    for take in (0, 2):
        assert taken[take] == [s for s in usual if s.targets[0] // 60 == take]  # type: ignore[attr-defined]
    arrives = Timeline(200, (0, 90))
    assert steps(SCHEME, arrives) != steps(USUAL, arrives)


def test_without_an_end() -> None:
    some = list(itertools.islice(SCHEME.steps(Timeline(None, (0,))), 60))
    written = [i for step in some for i in step.targets]
    assert len(written) == len(set(written)) and set(range(1, 60)) <= set(written)
    assert SCHEME.reach == max(USUAL.reach, NEAR.reach)  # type: ignore[attr-defined]


def test_the_built_in_model_begins_so_unless_told_otherwise() -> None:
    (stage,) = longtake.load("skies").stages
    assert isinstance(stage.scheme, Begun) and stage.scheme.window == 16
    (stage,) = longtake.load("skies", scheme="long-range:window=16").stages
    assert not isinstance(stage.scheme, Begun)


def test_words_do_not_fight_what_a_picture_shows(tmp_path: Path) -> None:
    path = tmp_path / "hills.png"
    write_image(torch.zeros(3, 128, 128, dtype=torch.uint8), path)
    shots = (Shot("dusk over the sea", 4.0), Shot("night over the sea", 4.0, cut=False))
    job = order_of(Storyboard(shots), {"images": (str(path),)}, run=None, executor="serial").job
    plain = order_of(Storyboard(shots), {}, run=None, executor="serial").job
    assert [cue.pictured for cue in job.cues] == [True, False]
    assert not any(cue.pictured for cue in plain.cues)
    words = job.system.encoder
    heard, told = (film.controls.at([0])["text"][0] for film in (job, plain))
    assert torch.equal(heard, words.beside([shots[0].prompt])[0])  # type: ignore[union-attr]
    assert torch.equal(told, words.encode([shots[0].prompt])[0])  # type: ignore[union-attr]
    assert not torch.equal(heard, told)
    last = 19  # of the second shot: 80 frames by fours
    assert torch.equal(job.controls.at([last])["text"], plain.controls.at([last])["text"])
    assert job.controls.digest((0,)) != plain.controls.digest((0,))
    assert job.controls.digest((last,)) == plain.controls.digest((last,))
