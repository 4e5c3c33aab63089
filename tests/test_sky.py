"""The sky world keeps its laws: same frame, same bytes; and pixels that agree with the truth."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.worlds import WORLDS, World, find
from longtake.worlds.sky import (
    ATTRIBUTES,
    COVERS,
    HOURS,
    SPEEDS,
    WIDTH,
    Change,
    Moment,
    Sky,
    draw_script,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small pictures: a second thread waits more than it works."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def still(seed: int = 3, size: tuple[int, int] = (64, 64), **classes: str) -> Sky:
    return Sky((Change(0.0, Moment(**classes)),), seed=seed, size=size)


def drawn(seed: int, seconds: float = 10, changes: int = 3) -> Sky:
    script = draw_script(np.random.default_rng(seed), seconds=seconds, changes=changes)
    return Sky(script, seed=seed, size=(64, 64))


def drift(frames: Tensor, rows: int) -> float:
    """Pixels to the right a frame, by phase correlation of the sky's rows (t 3 h w)."""
    picture = frames.float().mean(1)[:, :rows]
    picture = picture - picture.mean(0)
    line = torch.fft.rfft(picture * torch.hann_window(picture.shape[-1]), dim=-1)
    cross = (line[1:] * line[:-1].conj()).sum((0, 1))
    peak = torch.fft.irfft(cross, n=picture.shape[-1])
    half = picture.shape[-1] // 2
    place = int(torch.roll(peak, half).argmax()) - half
    around = [float(peak[(place + k) % len(peak)]) for k in (-1, 0, 1)]
    return place + (around[2] - around[0]) / 2 / (2 * around[1] - around[0] - around[2] + 1e-9)


def test_the_registry_finds_the_sky_and_names_the_nearest() -> None:
    assert find("sky") is Sky
    assert isinstance(still(), World)
    with pytest.raises(InputError, match="sky"):
        find("sly")
    assert "sky" in WORLDS


@pytest.mark.parametrize("seed", range(6))
def test_a_frame_alone_has_the_bytes_it_has_in_a_run(seed: int) -> None:
    run = drawn(seed).render(range(100))
    assert run.dtype == torch.uint8 and run.shape == (100, 3, 64, 64)
    fresh = drawn(seed)
    for index in (0, 7, 41, 99):
        assert torch.equal(fresh.render([index])[0], run[index])
    assert torch.equal(fresh.render([60, 2, 60]), run[[60, 2, 60]])


def test_the_number_of_threads_changes_nothing() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = drawn(11).render(range(0, 100, 9))
        torch.set_num_threads(2)
        two = drawn(11).render(range(0, 100, 9))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, two)


def test_seeds_differ() -> None:
    one, two = still(1).render([0])[0].float(), still(2).render([0])[0].float()
    assert (one - two).abs().mean() > 5


def test_any_index_renders() -> None:
    far = drawn(4).render([10**6, 10**6 + 1]).float()
    assert far.std() > 5
    assert 0 < (far[1] - far[0]).abs().mean() < 8


def test_another_size_shows_the_same_scene() -> None:
    small = still(size=(64, 64), land="mountains").render([20])[0].float()
    large = still(size=(192, 192), land="mountains").render([20])[0].float()
    shrunk = torch.nn.functional.avg_pool2d(large, 3)
    assert (shrunk - small).abs().mean() < 6
    wide = still(size=(128, 64), land="mountains").render([20])[0].float()
    assert wide.shape == (3, 64, 128)
    assert (wide[:, :, 32:96] - small).abs().mean() < 4


def test_another_rate_shows_the_same_moments() -> None:
    script = draw_script(np.random.default_rng(0), seconds=8, changes=2)
    ten, five = Sky(script, seed=0, size=(48, 48)), Sky(script, seed=0, size=(48, 48), fps=5)
    assert torch.equal(ten.render([0, 20, 62]), five.render([0, 10, 31]))


def test_scripts_draw_every_class_about_evenly() -> None:
    moments = [
        change.moment
        for seed in range(400)
        for change in draw_script(np.random.default_rng(seed), seconds=20, changes=3)
    ]
    for name, classes in ATTRIBUTES.items():
        for value in classes:
            share = sum(getattr(moment, name) == value for moment in moments) / len(moments)
            assert 0.6 / len(classes) < share < 1.6 / len(classes), (name, value, share)


def test_scripts_make_sense() -> None:
    for seed in range(200):
        script = draw_script(np.random.default_rng(seed), seconds=30, changes=6)
        assert len(script) == 7 and script[0].at == 0
        for before, after in itertools.pairwise(script):
            assert after.at - before.at >= 1.9
            changed = [
                n for n in ATTRIBUTES if getattr(before.moment, n) != getattr(after.moment, n)
            ]
            assert changed
        for change in script:
            if change.moment.weather in ("rain", "storm"):
                assert change.moment.cover != "clear"
            if change.moment.weather == "storm":
                assert change.moment.kind == "stormy"


@pytest.mark.parametrize("time", ATTRIBUTES["time"])
def test_the_hour_wanders_inside_its_class(time: str) -> None:
    hours = still(time=time).truth(range(0, 6000, 7))["hour"].double()
    low, high = HOURS[time]
    if high > 24:
        hours = torch.where(hours < 12, hours + 24, hours)
    assert low <= hours.min() and hours.max() <= high
    assert hours.max() - hours.min() > (high - low) * 0.3  # it does wander
    assert hours.diff().abs().max() < (high - low) * 0.1  # and slowly


def test_numbers_stay_inside_their_class() -> None:
    for cover, speed in itertools.product(COVERS, SPEEDS):
        truth = still(cover=cover, speed=speed, wind="left").truth([0, 900])
        assert COVERS[cover][0] <= truth["covered"][0] <= COVERS[cover][1]
        assert SPEEDS[speed][0] <= -truth["flow"][1] <= SPEEDS[speed][1]


def test_truth_is_complete() -> None:
    world = drawn(9)
    truth = world.truth(range(100))
    assert truth["controls"].shape == (100, WIDTH)
    assert torch.allclose(truth["controls"].sum(1), torch.tensor(float(len(ATTRIBUTES))))
    for index in (0, 99):
        for name, classes in ATTRIBUTES.items():
            assert classes[int(truth[name][index])] == getattr(world.moment(index), name)
    assert all(len(value) == 100 for value in truth.values())
    noon = still(time="noon").truth([0])
    assert noon["sun_elevation"] > 55 and abs(float(noon["sun_azimuth"]) - 180) < 20


def test_wind_is_the_slope_of_travel() -> None:
    track = drawn(5, seconds=20, changes=5)._track
    seconds = torch.arange(0, 20, 0.001, dtype=torch.float64)
    now = track.now(seconds)
    slope = (now.travel[2:] - now.travel[:-2]) / 0.002
    assert (slope - now.wind[1:-1]).abs().max() < 1e-5


def test_a_turning_wind_passes_through_stillness() -> None:
    left, right = Moment(wind="left"), Moment(wind="right")
    world = Sky((Change(0.0, right), Change(3.0, left)), seed=1)
    flow = world.truth(range(60))["flow"]
    assert flow[0] > 0 > flow[-1]
    assert flow.abs().min() < 0.2 * flow[0]
    assert flow.diff().abs().max() < 0.25 * flow[0]


def test_the_day_goes_forward_from_dusk_through_night_to_dawn() -> None:
    world = Sky((Change(0.0, Moment(time="dusk")), Change(3.0, Moment(time="dawn"))), seed=1)
    hours = world.truth(range(20, 41))["hour"]
    assert ((hours > 21) | (hours < 4)).any()
    assert not ((hours > 8) & (hours < 16)).any()


def test_days_are_brighter_than_twilights_and_these_than_nights() -> None:
    for land in ATTRIBUTES["land"]:
        level = {
            time: float(still(time=time, land=land).render([0]).float().mean())
            for time in ("noon", "dusk", "night")
        }
        assert level["noon"] > level["dusk"] + 15 > level["night"] + 30


def test_dawn_is_cool_and_dusk_is_warm() -> None:
    for seed in range(4):
        dawn = still(seed, time="dawn").render([0])[0].float()[:, :36].mean((1, 2))
        dusk = still(seed, time="dusk").render([0])[0].float()[:, :36].mean((1, 2))
        assert dawn[2] > 0.85 * dawn[0]
        assert dusk[2] < 0.75 * dusk[0]


@pytest.mark.parametrize("time", ["noon", "night"])
def test_cover_shows_in_the_sky(time: str) -> None:
    """The bluest share of the sky shrinks with cover."""
    tint = {}
    for cover in ATTRIBUTES["cover"]:
        sky = torch.stack(
            [still(s, time=time, cover=cover).render([0])[0] for s in range(4)]
        ).float()[:, :, :32]
        tint[cover] = float(((sky[:, 2] - sky[:, 0]) / (sky.sum(1) + 1)).mean())
    assert tint["clear"] > 1.15 * tint["partly"] > 1.3 * tint["overcast"]


@pytest.mark.parametrize("kind", ATTRIBUTES["kind"])
def test_the_cover_asked_for_is_the_cover_made(kind: str) -> None:
    for cover in COVERS:
        made, asked = [], []
        for seed in range(4):
            world = still(seed, (48, 48), kind=kind, cover=cover)
            now = world._now([0, 400, 800])
            made.append(float((world._clouds.density(now) > 0).float().mean()))
            asked.append(float(now.cover[0]))
        assert abs(np.mean(made) - np.mean(asked)) < 0.12, (cover, made, asked)


@pytest.mark.parametrize("cover", ATTRIBUTES["cover"])
@pytest.mark.parametrize("time", ["noon", "night"])
def test_the_wind_can_be_seen_in_two_seconds(cover: str, time: str) -> None:
    for seed, wind in itertools.product(range(3), ATTRIBUTES["wind"]):
        world = still(seed, (96, 96), cover=cover, time=time, wind=wind, speed="fast", land="plain")
        moved = drift(world.render(range(0, 20, 2)), 50)
        expected = float(world.truth([0])["flow"]) * 2 / world.fps * 96
        assert moved * expected > 0, (seed, wind, moved, expected)
        assert 0.4 < moved / expected < 1.6, (seed, wind, moved, expected)


def test_passages_have_no_jump() -> None:
    """Between two states every step is small beside the whole way."""
    one = Moment(time="morning", cover="clear", kind="puffy", land="hills", weather="dry")
    two = Moment(
        time="dusk", cover="overcast", kind="stormy", land="city", weather="rain", wind="left"
    )
    world = Sky((Change(0.0, one), Change(3.0, two)), seed=6, size=(64, 64))
    frames = world.render(range(15, 46)).float()
    steps = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))
    whole = (frames[-1] - frames[0]).abs().mean()
    assert whole > 20
    assert steps.max() < 0.35 * whole


@pytest.mark.parametrize("name", ["land", "weather", "kind", "cover", "time"])
def test_every_class_can_be_seen(name: str) -> None:
    """Two classes of an attribute, all else equal, give clearly different pictures."""
    base = Moment(cover="partly", kind="stormy")
    shots = [
        Sky((Change(0.0, dataclasses.replace(base, **{name: value})),), seed=2, size=(64, 64))
        .render([5])[0]
        .float()
        for value in ATTRIBUTES[name]
    ]
    for one, two in itertools.combinations(shots, 2):
        assert (one - two).abs().mean() > 3


def test_storms_flash() -> None:
    calm = still(cover="overcast", kind="stormy", weather="rain", time="night", land="plain")
    storm = still(cover="overcast", kind="stormy", weather="storm", time="night", land="plain")

    def leaps(world: Sky) -> Tensor:
        return world.render(range(150)).float().mean((1, 2, 3)).diff().abs().max()

    assert leaps(storm) > 5 > leaps(calm)


def test_bad_input_is_refused() -> None:
    script = (Change(0.0, Moment()),)
    with pytest.raises(InputError, match="size"):
        Sky(script, seed=0, size=(4, 4))
    with pytest.raises(InputError, match="fps"):
        Sky(script, seed=0, fps=0)
    with pytest.raises(InputError, match="seed"):
        Sky(script, seed=-1)
    with pytest.raises(InputError, match="empty"):
        Sky((), seed=0)
    with pytest.raises(InputError, match="begins"):
        Sky((Change(1.0, Moment()),), seed=0)
    with pytest.raises(InputError, match="follows"):
        Sky((*script, Change(3.0, Moment()), Change(3.0, Moment())), seed=0)
    with pytest.raises(InputError, match="frame -1"):
        Sky(script, seed=0).render([3, -1])
    with pytest.raises(InputError, match="noon"):
        Moment(time="non")
    with pytest.raises(InputError, match="changes"):
        draw_script(np.random.default_rng(0), seconds=4, changes=9)


def test_clouds_do_not_come_back_after_the_fields_have_tiled() -> None:
    steady = Moment(
        time="noon", cover="overcast", kind="layered", wind="right", speed="fast", land="plain"
    )
    sky = Sky((Change(0.0, steady),), seed=3, size=(64, 64), fps=2)
    frames = sky.render(range(160))[:, :, :36].float().flatten(1)
    frames = frames - frames.mean(0)
    frames = frames / frames.norm(dim=1, keepdim=True)
    for lag in range(20, 100):
        assert float((frames[lag:] * frames[:-lag]).sum(1).mean()) < 0.25, lag
