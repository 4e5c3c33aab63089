"""What holds for every world: same frame, same bytes; the truth is complete; pixels agree with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from longtake.errors import InputError
from longtake.worlds import WORLDS, World, knobs, make
from longtake.worlds.chance import draw
from longtake.worlds.laws import Lawful, Verdict, Violation, check

PAINTED = sorted(set(WORLDS) - {"sky"})


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("size", [(64, 64), (96, 64), (48, 80)])
def test_a_frame_alone_has_the_bytes_it_has_in_a_run(name: str, size: tuple[int, int]) -> None:
    run = make(name, seed=5, size=size).render(range(150))
    assert run.dtype == torch.uint8 and run.shape == (150, 3, size[1], size[0])
    fresh = make(name, seed=5, size=size)
    for index in (149, 0, 7, 41):
        assert torch.equal(fresh.render([index])[0], run[index])
    assert torch.equal(fresh.render([60, 2, 60]), run[[60, 2, 60]])


@pytest.mark.parametrize("name", WORLDS)
def test_the_truth_is_as_long_as_asked_and_open_at_any_place(name: str) -> None:
    world = make(name, seed=2, size=(64, 64))
    assert isinstance(world, World)
    run = world.truth(range(40))
    assert all(len(value) == 40 for value in run.values())
    some = make(name, seed=2, size=(64, 64)).truth([33, 4])
    for key, value in some.items():
        assert torch.equal(value, run[key][[33, 4]]), key


@pytest.mark.parametrize("name", PAINTED)
def test_another_rate_shows_the_same_moments(name: str) -> None:
    ten, five = make(name, seed=3, size=(64, 64)), make(name, seed=3, size=(64, 64), fps=5)
    assert torch.equal(ten.render([0, 20, 62, 400]), five.render([0, 10, 31, 200]))


@pytest.mark.parametrize("name", WORLDS)
def test_seeds_differ_and_things_move(name: str) -> None:
    one, two = (make(name, seed=seed, size=(64, 64)).render(range(60)).float() for seed in (1, 2))
    assert (one - two).abs().mean() > 1
    assert (one[1:] - one[:-1]).abs().amax((1, 2, 3)).gt(20).float().mean() > 0.3 or name == "sky"


@pytest.mark.parametrize("name", PAINTED)
def test_another_size_shows_the_same_scene_finer(name: str) -> None:
    small = make(name, seed=4, size=(64, 64)).render([10, 90]).float()
    large = make(name, seed=4, size=(192, 192)).render([10, 90]).float()
    assert (torch.nn.functional.avg_pool2d(large, 3) - small).abs().mean() < 4


@pytest.mark.parametrize("name", PAINTED)
def test_what_is_painted_is_the_truth_alone(name: str) -> None:
    world: Any = make(name, seed=8, size=(64, 64))
    assert torch.equal(world.paint(world.truth([3, 50])), world.render([3, 50]))


@pytest.mark.parametrize("name", PAINTED)
def test_bad_input_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="size 16x16"):
        make(name, size=(16, 16))
    with pytest.raises(InputError, match="try 384x64"):
        make(name, size=(640, 64))
    with pytest.raises(InputError, match="fps"):
        make(name, fps=0)
    with pytest.raises(InputError, match="seed"):
        make(name, seed=-1)
    with pytest.raises(InputError, match="frame -3"):
        make(name).render([0, -3])
    with pytest.raises(InputError, match="knows no 'colour'"):
        make(name, colour="red")


def test_knobs_given_as_text_are_read() -> None:
    assert make("digits", count="3").truth([0])["digit"].shape == (1, 3)
    assert knobs("digits") == {"count": 2}
    for wrong in ("4", "two", 0):
        with pytest.raises(InputError, match=r"digits|count"):
            make("digits", count=wrong)
    with pytest.raises(InputError, match="try digits"):
        make("digit")


def test_drawn_numbers_are_even_and_independent() -> None:
    values = draw(7, "test", np.arange(20_000))
    assert abs(values.mean() - 0.5) < 0.01 and abs(values.std() - 12**-0.5) < 0.005
    for other in (draw(8, "test", np.arange(20_000)), draw(7, "tests", np.arange(20_000))):
        assert abs(np.corrcoef(values, other)[0, 1]) < 0.03
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.03
    table = draw(7, "test", np.arange(4)[:, None], np.arange(5)[None])
    assert table.shape == (4, 5) and table[2, 3] == draw(7, "test", 2, 3)
    assert len(np.unique(table)) == 20


def test_a_verdict_counts_frames_not_findings() -> None:
    found = (Violation(3, "a", ""), Violation(3, "a", ""), Violation(3, "b", ""))
    assert Verdict(500, found).per_thousand() == {"a": 2.0, "b": 2.0, "all": 2.0}


def test_a_check_refuses_what_is_no_film_of_the_world() -> None:
    world = make("digits", size=(64, 64))
    assert isinstance(world, Lawful)
    with pytest.raises(InputError, match="no frames"):
        check(world, [])
    with pytest.raises(InputError, match="not a frame"):
        check(world, torch.zeros(3, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("name", PAINTED)
def test_a_film_of_nothing_breaks_a_law(name: str) -> None:
    world: Any = make(name, size=(64, 64))
    for level in (0, 128):
        assert check(world, torch.full((6, 3, 64, 64), level, dtype=torch.uint8)).violations
