"""Takes made of a film's frames: what stands, what moves, and what is told of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake.clip import CodecSpec
from longtake.recipes.skies import data
from longtake.recipes.skies.pictures import Shots, drifting, picture_take, pictured, ridge, still
from longtake.worlds.sky import WIDTH, Change, Moment, Sky

SIZE = (96, 64)


class Seer:
    """A codec that keeps what it was shown."""

    spec = CodecSpec(32, 16, 4, (0, 0), "")

    def encode(self, video: Tensor) -> Tensor:
        self.seen = video
        b, t, _, h, w = video.shape
        return torch.zeros(b, t // 4, 32, h // 16, w // 16)


def film(shots: int = 3, frames: int = 100) -> Tensor:
    """(t, 3, 144, 256) uint8: shots of one colour each, in which a lighter square moves."""
    video = torch.zeros(shots * frames, 3, 144, 256, dtype=torch.uint8)
    for n in range(len(video)):
        shot, at = divmod(n, frames)
        video[n, shot % 3] = 120
        video[n, :, 40:72, 40 + at // 4 : 72 + at // 4] = 200
    return video


def test_land_that_is_a_picture_stands_while_the_sky_moves() -> None:
    rng = np.random.default_rng(3)
    picture = torch.rand(3, 64, 96)
    land = pictured(rng, picture)
    sky = Sky((Change(0, Moment(kind="puffy", speed="fast")),), seed=5, size=SIZE, land=land)
    frames = sky.render([0, 40]).float()
    change = (frames[1] - frames[0]).abs().mean(0)
    solid = torch.zeros(64, 96, dtype=torch.bool)
    solid[land.top :] = land.mask[0] > 0.99
    assert change[solid].mean() < 0.1 * change[: land.top].mean()
    shown = frames[0][:, solid].flatten()
    shown_of = torch.zeros(3, 64, 96)
    shown_of[:, land.top :] = land.albedo
    assert torch.corrcoef(torch.stack([shown, shown_of[:, solid].flatten()]))[0, 1] > 0.8


@pytest.mark.parametrize("seed", range(6))
def test_ridges_leave_sky_above_and_land_below(seed: int) -> None:
    mask = ridge(np.random.default_rng(seed), SIZE)[0]
    assert (mask[0] < 0.5).any()
    assert (mask[-1] == 1).all()
    assert (mask.diff(dim=0) >= 0).all()


@pytest.mark.parametrize(("wind", "sign"), [("right", 1), ("left", -1)])
def test_a_backdrop_drifts_with_the_wind_that_is_told(wind: str, sign: int) -> None:
    back = torch.zeros(3, 64, 96)
    back[:, :, 46:50] = 1
    rng = np.random.default_rng(1)
    seconds = torch.tensor([0.0, 1.0, 2.0])
    video = drifting(rng, back, torch.zeros(3, 64, 96), Moment(wind=wind), seconds)
    columns = [int(frame[0, 2].argmax()) for frame in video]
    assert sign * (columns[1] - columns[0]) > 0
    assert sign * (columns[2] - columns[1]) > 0


def test_takes_have_the_shape_of_the_worlds() -> None:
    codec = Seer()
    kinds = set()
    for seed in range(10):
        take = picture_take(codec, film(), seed, SIZE)  # type: ignore[arg-type]
        n = len(take["at"])
        assert n == sum(data.RUNS) + data.SPREAD
        assert take["controls"].shape == (n, WIDTH)
        assert take["latents"].shape == (n, 32, 4, 6)
        assert codec.seen.min() >= 0
        assert codec.seen.max() <= 1
        kinds.add(bool((codec.seen[0, 0] == codec.seen[0, -1]).all()))
    assert kinds == {True, False}


def test_stills_are_parts_of_frames() -> None:
    picture = still(np.random.default_rng(0), film(), SIZE)
    assert picture.shape == (3, 64, 96)
    assert picture.std() > 0


def test_shots_never_hold_a_cut() -> None:
    codec = Seer()
    shots = Shots(film())
    assert shots.cuts() == [0, 100, 200, 300]
    takes = 0
    for _ in shots.takes(codec, (96, 64)):  # type: ignore[arg-type]
        takes += 1
        colours = codec.seen[0].mean((2, 3)).argmax(1)
        assert len(colours.unique()) == 1
    assert takes == 2 * 3


@pytest.mark.parametrize("t", [data.GAP, data.GAP + 1])
def test_gaps_are_filled_between_observed_ends_a_gap_apart(t: int) -> None:
    rng = np.random.default_rng(4)
    at = sorted({*range(40, 64), 3, 90, 130, 200})
    for _ in range(30):
        rows, observed = data.fill(rng, at, t)
        places = [at[row] for row in rows]
        assert places == sorted(set(places))
        assert (~observed).sum() == data.GAP - 2
        inner = [place for place, seen in zip(places, observed, strict=True) if not seen]
        step = inner[1] - inner[0]
        assert {inner[0] - step, inner[-1] + step} <= set(places)
        assert inner == [inner[0] + step * n for n in range(3)]
