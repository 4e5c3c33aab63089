"""Cut-outs over the sky: what is told of a frame is what its pixels show; bad folders are one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from longtake.errors import InputError
from longtake.worlds import World, make

pytestmark = pytest.mark.usefixtures("one_thread")
COLOURS = {"a red square": (255, 0, 0), "a green square": (0, 255, 0), "a blue square": (0, 0, 255)}


def picture(path: Path, colour: tuple[int, int, int], side: int = 40) -> None:
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[8:-8, 8:-8] = (*colour, 255)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cutouts")
    for n, (name, colour) in enumerate(COLOURS.items()):
        picture(place / f"{n}.png", colour)
        (place / f"{n}.txt").write_text(f"{name.capitalize()}.\nfr=un carré\n", encoding="utf-8")
    return place


def world(folder: Path, **settings: Any) -> Any:
    return make("cutouts", folder=str(folder), **{"size": (80, 64), **settings})


def test_a_frame_alone_has_the_bytes_it_has_in_a_run(folder: Path) -> None:
    one = world(folder, seed=5)
    assert isinstance(one, World)
    run = one.render(range(0, 60, 3))
    for index in (57, 9, 0):
        assert torch.equal(world(folder, seed=5).render([index])[0], run[index // 3])
    assert not torch.equal(world(folder, seed=6).render([9])[0], run[3])
    with pytest.raises(InputError, match="frame -1"):
        one.render([-1])


def test_what_is_told_is_what_the_pixels_show(folder: Path) -> None:
    here = world(folder, seed=3, things=3)
    indices = range(0, 400, 7)
    frames, truth = here.render(indices), here.truth(indices)
    tints = torch.tensor(list(COLOURS.values()))
    told = 0
    for n, index in enumerate(indices):
        for slot in range(3):
            mine = truth["front"][n] == slot + 1
            if mine.sum() < 60:
                continue
            left, top, right, bottom = (truth["box"][n, slot] * 64).tolist()
            rows, columns = mine.nonzero(as_tuple=True)
            assert columns.min() + 1 >= left and columns.max() <= right
            assert rows.min() + 1 >= top and rows.max() <= bottom
            # Colours of a thing, dimmed by the light, are in one channel.
            inner = frames[n][:, mine].float().median(1).values
            assert inner.argmax() == tints[truth["which"][n, slot]].argmax()
            if truth["seen"][n, slot] > 0.2:
                told += 1
                assert here.bank[truth["which"][n, slot]].name in here.caption(index)
    assert told > 30


def test_things_come_from_outside_and_go_there(folder: Path) -> None:
    here = world(folder, seed=1, fps=20.0)
    truth = here.truth(range(800))
    moved = (truth["box"][1:] - truth["box"][:-1]).abs().amax(-1)
    seconds = torch.arange(800, dtype=torch.float64) / 20
    for slot in range(2):  # where another begins, neither is seen
        acts = (seconds / 9 + slot / 2).floor()
        new = acts[1:] != acts[:-1]
        assert new.sum() >= 4 and moved[~new, slot].max() < 0.03
        seen = truth["seen"][:, slot]
        assert seen[:-1][new].max() < 0.1 and seen[1:][new].max() < 0.1
        assert seen.max() > 0.9


def test_words_choose_and_are_checked(folder: Path) -> None:
    assert {one.name for one in world(folder, words="Red, blue").bank} == {
        "a red square",
        "a blue square",
    }
    with pytest.raises(InputError, match=r"no cut-out of 'rad' .*try red"):
        world(folder, words="rad")
    with pytest.raises(InputError, match="1 to 4"):
        world(folder, things=5)


def test_folders_that_hold_nothing_fit_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cut-outs"):
        make("cutouts", folder=str(tmp_path / "none"))
    with pytest.raises(InputError, match="no cut-outs"):
        make("cutouts", folder=str(tmp_path))
    (tmp_path / "broken-thing.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    here = make("cutouts", folder=str(tmp_path))
    with pytest.raises(InputError, match=r"broken-thing\.png"):
        here.render([20])
    solid = tmp_path / "solid"
    solid.mkdir()
    Image.new("RGBA", (30, 30), (9, 9, 9, 255)).save(solid / "wall.png")
    with pytest.raises(InputError, match="no outline"):
        make("cutouts", folder=str(solid)).render([20])
