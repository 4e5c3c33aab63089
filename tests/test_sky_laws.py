"""The sky's laws: its own films break none, after lossy coding neither, and what is planted is found."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from longtake.video import VideoWriter, read_video
from longtake.worlds import make
from longtake.worlds.laws import Lawful, Verdict, check
from longtake.worlds.sky import laws

LENGTH = 120


@pytest.fixture(scope="module", params=[1, 3, 6])
def film(request: pytest.FixtureRequest) -> tuple[Lawful, Tensor]:
    world = make("sky", seed=request.param, size=(96, 96))
    assert isinstance(world, Lawful)
    return world, world.render(range(40, 40 + LENGTH))


def places(verdict: Verdict, law: str) -> set[int]:
    return {found.frame for found in verdict.violations if found.law == law}


def test_its_own_films_break_no_law(film: tuple[Lawful, Tensor], tmp_path: Path) -> None:
    world, frames = film
    assert check(world, frames).violations == ()
    out = tmp_path / "sky.mp4"
    with VideoWriter(out, size=(96, 96), fps=Fraction(10)) as writer:
        writer.write(frames)
    assert check(world, read_video(out)).violations == ()


def test_the_moment_of_every_frame_is_read(film: tuple[Lawful, Tensor]) -> None:
    world, frames = film
    state, truth = world.read(frames[:48]), world.truth(range(40, 88))
    assert torch.equal(state["frame"], torch.arange(40, 88))
    assert torch.equal(state["hour"], truth["hour"]) and torch.equal(state["wind"], truth["wind"])


def test_leaps_of_time_are_found(film: tuple[Lawful, Tensor]) -> None:
    world, frames = film
    skipped = torch.cat([frames[:40], frames[100:]])
    assert places(check(world, skipped), "time") == {40}
    alone = frames.clone()
    alone[50] = world.render([400])[0]
    assert places(check(world, alone), "time") == {50, 51}
    back = check(world, torch.cat([frames[:60], frames[:60].flip(0)]))
    assert len(places(back, "time")) > 5 and min(places(back, "time")) >= 60
    held = torch.cat([frames[:30], frames[29:30].expand(60, -1, -1, -1), frames[90:]])
    found = places(check(world, held), "time")
    assert found and all(30 < place <= 90 for place in found), "as soon as it can be seen"


def test_another_land_another_sky_and_another_light_are_told_apart(
    film: tuple[Lawful, Tensor],
) -> None:
    world, frames = film
    other = make("sky", seed=77, size=(96, 96)).render(range(30))
    low = int(96 * 0.88)  # all land, whatever the horizon
    changed = frames.clone()
    changed[60:90, :, low:] = 255 - other[:, :, low:]
    found = check(world, changed)
    assert places(found, "land") == set(range(60, 90)) and not places(found, "clouds")
    changed = frames.clone()
    changed[60:90, :, :24] = 255 - frames[60:90, :, :24]
    assert places(check(world, changed), "clouds") == set(range(60, 90))
    changed = frames.clone()
    changed[60:90] = (frames[60:90].float() * 0.6).byte()
    found = check(world, changed)
    assert places(found, "light") == set(range(60, 90))
    assert {violation.law for violation in found.violations} == {"light"}


def test_frames_past_what_is_searched_are_still_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laws, "_MOST", 100)
    world = make("sky", seed=2, size=(64, 64))
    assert check(world, world.render(range(130))).violations == ()
