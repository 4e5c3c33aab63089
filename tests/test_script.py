"""Script: texts become events, pixels tell who is where, planted breaks are found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from planting import Truth, caught, false_alarms, pick, sign

from longtake.errors import InputError
from longtake.worlds import make
from longtake.worlds.laws import check
from longtake.worlds.script import SHAPES, read_story
from longtake.worlds.script.story import SLOT, STILL, VERBS, Drawn


def world(seed: int = 0, **settings: Any) -> Any:
    return make("script", seed=seed, **settings)


def test_a_text_becomes_events() -> None:
    told = "The red square moves left; then blue circle enters. Red square jumps\nblue circle exits"
    here = world(text=told)
    said = [here.caption(int(SLOT * 10 * n) + 5) for n in range(5)]
    assert said == [
        "the red square moves left",
        "the blue circle enters from the right",
        "the red square jumps",
        "the blue circle leaves to the right",
        STILL,
    ]
    truth = here.truth([5, 30, 55, 99, 10_000])
    assert truth["there"][:, 0].tolist() == [1] * 5
    assert truth["there"][:, 1].tolist() == [0, 1, 1, 0, 0]
    assert truth["actor"].tolist() == [0, 1, 0, -1, -1]
    assert VERBS[int(truth["verb"][2])] == "jumps"
    assert truth["position"][1, 0, 0] < truth["position"][0, 0, 0]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("rad square moves left", "red"),
        ("red sqare moves", "square"),
        ("red square runs", "jumps|spins|moves"),
        ("red square moves up high", "left or right"),
        ("red square", "no event"),
        ("red circle moves; red square jumps", "different colours"),
        ("red circle moves; red circle enters", "already"),
        (" ; ", "no event"),
    ],
)
def test_a_text_that_cannot_be_played_is_refused(text: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        read_story(text)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_drawn_story_hangs_together(count: int) -> None:
    story = Drawn(5, count)
    seen = set()
    for slot in range(300):
        before, event, after = story.states(slot), story.event(slot), story.states(slot + 1)
        assert event is not None
        assert before[event.actor] == event.before and after[event.actor] == event.after
        for n in range(count):
            assert n == event.actor or before[n] == after[n]
        assert (event.verb == "enters") == (not event.before.there)
        assert (event.verb == "leaves") == (not event.after.there)
        assert (event.verb in ("grows", "shrinks")) == (event.before.level != event.after.level)
        seen.add(event.verb)
    assert seen == set(VERBS) - {"waits"}


def test_pixels_tell_the_truth() -> None:
    right = total = 0
    for seed, size in enumerate([(64, 64), (96, 64), (64, 128), (128, 128)]):
        here = world(seed, size=size)
        truth = here.truth(range(0, 600, 8))
        seen = here.read(here.render(range(0, 600, 8)))
        for n, actor in enumerate(here.cast):
            box = truth["box"][:, n]
            whole = (truth["there"][:, n] > 0) & (box[:, 0] > 0) & (box[:, 2] < here.extent[0])
            off = (seen["position"][:, actor.colour] - truth["position"][:, n]).norm(dim=-1)
            hit = (off * here.scale < 0.5) & (seen["shape"][:, actor.colour] == actor.shape)
            right += int((hit & whole).sum())
            total += int(whole.sum())
    assert right / total >= 0.99, (right, total)


def test_boxes_hold_all_of_an_actor() -> None:
    here = world(2, size=(128, 128), text="blue star spins; blue star jumps")
    frames, truth = here.render(range(50)), here.truth(range(50))
    solid = (frames[:, 2].float() - frames[:, 0].float()) > 90
    for n in range(50):
        rows, columns = solid[n].nonzero(as_tuple=True)
        seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 128
        assert (seen - truth["box"][n, 0]).abs().max() < 2.5 / 128  # the rim is darker


def standing(truth: Truth, at: int) -> list[int]:
    """Actors wholly on the stage around a frame."""
    there = (truth["there"][at - 2 : at + 3] > 0).all(0)
    x = truth["position"][at - 2 : at + 3, :, 0]
    return [int(n) for n in (there & (x > 0.15).all(0) & (x < 0.85).all(0)).nonzero()[:, 0]]


def one(truth: Truth, at: int, rng: torch.Generator) -> int:
    """An actor in the open; where there is none, the first one is put there."""
    able = standing(truth, at)
    if able:
        return able[pick(rng, len(able))]
    truth["there"][:, 0] = 1.0
    truth["position"][:, 0] = truth["position"][:, 0] * torch.tensor([0.0, 1.0]) + torch.tensor(
        [0.5, 0.0]
    )
    return 0


def teleport(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    n = one(truth, at, rng)
    truth["position"][:, n] = truth["position"][at - 1, n]
    place = truth["position"][at:, n, 0]
    place += 0.3 if float(place[0]) < 0.5 else -0.3


def leave_line(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    n = one(truth, at, rng)
    truth["position"][:, n, 1] = truth["position"][:, n, 1].amax()
    truth["position"][at : at + 3, n, 1] += 0.06


def identity(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    n = one(truth, at, rng)
    truth["shape"][at : at + 6, n] = (truth["shape"][at, n] + 1 + pick(rng, 4)) % len(SHAPES)


def vanish(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    n = one(truth, at, rng)
    truth["position"][:, n, 0] = 0.5 + 0.05 * sign(rng)
    truth["there"][at : at + 4, n] = 0


BREAKS = {"teleport": teleport, "off-path": leave_line, "identity": identity, "vanishing": vanish}


@pytest.mark.parametrize("size", [(64, 64), (32, 32)])
@pytest.mark.parametrize("law", BREAKS)
def test_planted_breaks_are_found(law: str, size: tuple[int, int]) -> None:
    hits, _ = caught("script", law, BREAKS[law], films=40, frames=40, size=size)
    assert hits == 40


def test_small_shapes_are_not_judged_where_pixels_are_not_exact() -> None:
    """Noise of one level, as a codec leaves: the ground is no longer what was painted."""
    here: Any = make("script", seed=3, size=(32, 32))
    frames = here.render(range(8))
    assert here.read(frames)["exact"].all()
    noise = torch.randint(-1, 2, frames.shape, generator=torch.Generator().manual_seed(0))
    assert not here.read((frames.int() + noise).clamp(0, 255).byte())["exact"].any()


@pytest.mark.parametrize("size", [(64, 64), (128, 96)])
def test_lawful_films_pass(size: tuple[int, int]) -> None:
    assert len(false_alarms("script", films=8, size=size)) == 0  # of 800 frames


def test_who_hardly_ever_stands_is_still_on_its_line() -> None:
    here = world(933821, count=1)
    frames = here.render(range(2931, 2971))
    assert (here.truth(range(2931, 2971))["position"][:, 0, 1] < 0.58).float().mean() > 0.5
    assert not check(here, frames).violations


@pytest.mark.parametrize(("size", "fps"), [((48, 48), 8), ((54, 96), 5), ((128, 72), 12)])
def test_breaks_are_found_at_other_sizes_and_rates(size: tuple[int, int], fps: float) -> None:
    for law in ("off-path", "vanishing"):
        hits, _ = caught("script", law, BREAKS[law], films=3, frames=30, size=size, fps=fps)
        assert hits == 3, law
