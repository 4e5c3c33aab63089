"""Seeds of shots: what they touch, and what they leave as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engine_parts import made, toy_job

import longtake
from longtake.brief import job_of
from longtake.brief.notes import asked_of, asking
from longtake.clip import Noise
from longtake.controls import Cue, Shot, Storyboard
from longtake.engine import Memory, plan_lines
from longtake.engine.chance import ByShot, seeds_of, seeds_told
from longtake.errors import InputError
from longtake.prompts.storyboard import parse_storyboard, storyboard_text


def cues(*seeds: int | None, cut: bool = True) -> tuple[Cue, ...]:
    """Shots of five seconds."""
    return tuple(Cue(5.0 * n, 5.0 * n + 5, "calm sea", cut, s) for n, s in enumerate(seeds))


def test_another_seed_makes_its_own_take_again_and_no_other() -> None:
    store = Memory()
    old, _ = made(toy_job(150, cues=cues(None, 3, None), cuts=(50, 100)), store)
    after = toy_job(150, cues=cues(None, 4, None), cuts=(50, 100))
    whys = {line["step"]: line["why"] for line in list(plan_lines(after, store))[:-1]}
    new, events = made(after, store)
    take = after.takes[1]
    middle = range(take.start, take.start + (take.length or 0))
    ran = {e["step"] for e in events if e["event"] == "started"}
    assert ran == {c.number for c in after.calls if c.step.targets[0] in middle}
    assert whys[min(ran)] == "seed"
    assert torch.equal(old[:50], new[:50]) and torch.equal(old[100:], new[100:])
    assert not torch.equal(old[50:100], new[50:100])


def test_where_shots_flow_what_follows_hears_of_it() -> None:
    store = Memory()
    old, _ = made(toy_job(100, cues=cues(None, None, cut=False)), store)
    after = toy_job(100, cues=cues(None, 9, cut=False))
    new, events = made(after, store)
    first = next(c.number for c in after.calls if any(i >= 13 for i in c.step.targets))
    ran = {e["step"] for e in events if e["event"] == "started"}
    assert ran == set(after.plan.descendants([first]))
    assert torch.equal(old[:40], new[:40]) and not torch.equal(old[60:], new[60:])


def test_shots_with_seeds_do_not_ask_for_the_films() -> None:
    own = {"cues": cues(5, 6), "cuts": (50,)}
    one, other = (made(toy_job(100, seed=seed, **own), Memory())[0] for seed in (1, 2))
    assert torch.equal(one, other)
    same = toy_job(100, seed=5, cues=cues(5, 5), cuts=(50,))
    plain = toy_job(100, seed=5, cues=cues(None, None), cuts=(50,))
    assert torch.equal(made(same, Memory())[0], made(plain, Memory())[0])
    assert seeds_told(same, range(4)) == "5"


def test_noise_of_two_shots_is_each_ones_own() -> None:
    job = toy_job(100, seed=1, cues=cues(None, 9, cut=False))
    assert seeds_of(job, (0, 11, 12, 20)) == [1, 1, 9, 9]
    assert seeds_told(job, (0, 11, 12, 20)) == "1 x 2, 9 x 2"
    noise = ByShot(1, ((12, 1), (13, 9)))
    clip = noise.clip((0,), (12, 13, -1), (2, 2))[0]
    wanted = [Noise(1).of(0, 12, (2, 2)), Noise(9).of(0, 13, (2, 2)), Noise(1).of(0, -1, (2, 2))]
    assert torch.equal(clip, torch.stack(wanted))


def test_a_storyboard_and_a_manifest_keep_it(tmp_path: Path) -> None:
    board = Storyboard((Shot("dawn", 2.0), Shot("noon", 2.0, seed=11)), seed=7)
    text = storyboard_text(board)
    assert parse_storyboard(text) == board and "seed = 11" in text
    job = job_of(board, {})
    told = asked_of(job, board, {}, tmp_path)
    assert [shot.get("seed") for shot in told["shots"]] == [None, 11]
    manifest = {
        "asked": told,
        "film": {"fps": str(job.fps), "frames": job.frames, "size": list(job.size)},
        "seed": 7,
    }
    again, options = asking(manifest, tmp_path, {}, "film.mp4")
    assert job_of(again, options).cues == job.cues


@pytest.mark.parametrize("seed", ["-1", "1.5", '"a"', "true", "9223372036854775808"])
def test_a_wrong_seed_is_refused(seed: str) -> None:
    text = f'[[shot]]\nprompt = "dawn"\nseconds = 2\nseed = {seed}\n'
    with pytest.raises(InputError, match=r"shot 1.*seed = 7"):
        parse_storyboard(text)


def test_a_clip_model_is_asked_so(tmp_path: Path) -> None:
    shots = (Shot("dawn over the sea", 1.2), Shot("dawn over the sea", 1.2, cut=True, seed=3))
    quick = {"steps": "1", "first": "1"}
    films = [
        torch.stack(list(longtake.generate(Storyboard(shots, seed), settings=quick)))
        for seed in (1, 2)
    ]
    assert torch.equal(films[0][12:], films[1][12:])
    assert not torch.equal(films[0][:12], films[1][:12])
