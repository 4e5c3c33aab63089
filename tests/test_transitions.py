"""Shots that flow on become borders of the per-shot scheme: transitions that see both of their ends."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from toy import toy

from longtake.brief import job_of
from longtake.cli import cli
from longtake.controls import Shot, Storyboard
from longtake.engine.job import Job
from longtake.schemes import PerShot
from longtake.video import VideoWriter

TOY = f"{Path(__file__).parent / 'toy.py'}:toy"
THREE = (Shot("a", 6.0), Shot("m", 6.0, cut=False), Shot("z", 6.0))


def job(shots: tuple[Shot, ...] = THREE, scheme: str = "per-shot:step=4", **options: Any) -> Job:
    return job_of(Storyboard(shots), {"model": toy(), "scheme": scheme, **options})


def borders(made: Job) -> tuple[int, ...]:
    scheme = made.system.stages[0].scheme
    assert isinstance(scheme, PerShot)
    return scheme.borders


def test_a_shot_that_flows_on_is_joined_by_a_call_that_sees_both_shots() -> None:
    made = job()
    assert (borders(made), made.timeline.cuts) == ((15,), (30,))
    joins = [step for step in made.plan.steps if step.role == "join"]
    assert [(step.targets, step.observed) for step in joins] == [
        ((13, 14, 15, 16), (11, 12, 17, 18)),
    ]
    for step in made.plan.steps:
        if step.role != "join":
            shots = {index // 15 for index in (*step.targets, *step.observed)}
            assert len(shots) == 1, "shots are made apart"


def test_a_border_lies_where_the_prompt_changes() -> None:
    """At 4 frames an index, frame 61 is the second of index 15, whose middle is in the new shot."""
    for seconds, border in ((6.0, 15), (6.1, 15), (6.2, 15), (6.3, 16), (6.4, 16)):
        made = job((Shot("a", seconds), Shot("z", 4.0, cut=False)))
        assert borders(made) == (border,)
        plain = dataclasses.replace(made.controls, passage=0.0)
        heard = [plain.mix(index)[0][0] for index in range(made.timeline.length or 0)]
        assert heard.index(1) == border


def test_frames_skipped_before_a_given_clip_move_the_border(tmp_path: Path) -> None:
    """A clip of 6 frames ends where an index ends if 2 are skipped: 62 frames then fill 16 indices."""
    clip = str(tmp_path / "clip.mp4")
    with VideoWriter(clip, size=(64, 48), fps=10) as writer:
        writer.write(torch.zeros(6, 3, 48, 64, dtype=torch.uint8))
    shots = (Shot("a", 6.2), Shot("z", 4.0, cut=False))
    assert borders(job(shots)) == (15,)
    made = job(shots, videos=(clip,))
    assert (made.takes[0].skip, borders(made)) == (2, (16,))


def test_cuts_are_not_joined_and_what_is_stated_stays() -> None:
    cut = tuple(dataclasses.replace(shot, cut=True) for shot in THREE)
    assert borders(job(cut)) == ()
    assert borders(job(scheme="per-shot:step=4,borders=9")) == (9,)
    assert borders(job(scheme="per-shot:step=4,shot=10")) == ()
    assert (
        job(scheme="autoregressive").system.stages[0].scheme
        == job(cut, "autoregressive").system.stages[0].scheme
    )


def test_shots_past_the_film_s_end_leave_no_border() -> None:
    assert borders(job(frames=50)) == ()


@pytest.mark.parametrize("verb", ["plan", "generate"])
def test_the_command_line_joins_shots(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shots = '[[shot]]\nprompt="a"\nseconds=1\n[[shot]]\nprompt="z"\nseconds=1\ncut=false\n'
    Path("film.toml").write_text(shots)
    words = ("film.toml", "--model", TOY, "--scheme", "per-shot:window=3,step=2", "--json")
    result = CliRunner().invoke(cli, [verb, *words])
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    if verb == "plan":
        assert [(s["targets"], s["observed"]) for s in lines if s.get("role") == "join"] == [
            ([2], [1, 3])
        ]
    else:
        assert lines[-1]["event"] == "done" and lines[-1]["frames"] == 20
