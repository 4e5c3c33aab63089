"""The probe reads the world's truth from films of seeds it has never seen."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from longtake import metrics
from longtake.errors import InputError
from longtake.metrics import Film, Probe, measure
from longtake.metrics.film import Stretch
from longtake.metrics.net import GAPS, SHIFTS, motion, shrink
from longtake.metrics.probe import SPAN, WEIGHTS, Cutter, Reading
from longtake.worlds.sky import ATTRIBUTES, Change, Moment, Sky, draw_script

SURE = ("phase", "cover", "wind", "land")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small pictures: a second thread waits more than it works."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def probe() -> Probe:
    return Probe()


def still_script(seed: int) -> tuple[Change, ...]:
    return draw_script(np.random.default_rng([seed, 77]), seconds=10, changes=0)


@pytest.fixture(scope="module")
def films() -> list[tuple[Moment, Tensor]]:
    """Two seconds each of 48 unseen takes, at 64x64."""
    found = []
    for seed in range(9_000_000, 9_000_048):
        script = still_script(seed)
        sky = Sky(script, seed=seed, size=(64, 64))
        found.append((script[0].moment, sky.render(range(30, 45))))
    return found


def test_the_weights_are_small_and_know_their_classes(probe: Probe) -> None:
    assert WEIGHTS.stat().st_size <= 1.2e6
    assert probe.attributes == dict(ATTRIBUTES)
    assert probe.classes["phase"] == ("dawn", "day", "dusk", "night")


def test_unseen_takes_are_read_rightly(probe: Probe, films: list[tuple[Moment, Tensor]]) -> None:
    right = dict.fromkeys(("phase", *ATTRIBUTES), 0)
    for moment, frames in films:
        for name, readings in probe.read(frames, 10).items():
            assert len(readings) == 1 and 0 < readings[0][1] <= 1
            right[name] += readings[0][0] == getattr(moment, name)
    shares = {name: count / len(films) for name, count in right.items()}
    assert all(shares[name] >= 0.9 for name in SURE), shares  # 48 films: 97 % less chance
    assert all(share >= 0.75 for share in shares.values()), shares


def test_recorded_accuracy_meets_the_bar() -> None:
    with safe_open(WEIGHTS, "pt") as file:
        found = json.loads(file.metadata()["held_out"])
    assert all(found["clean"][name] >= 0.97 for name in SURE), found
    assert all(found["worn"][name] >= 0.95 for name in SURE), found


def test_a_mirrored_film_has_the_wind_turned(
    probe: Probe, films: list[tuple[Moment, Tensor]]
) -> None:
    turned = 0
    for moment, frames in films[:16]:
        (wind, _), *_ = probe.read(frames.flip(-1), 10)["wind"]
        turned += wind != moment.wind
    assert turned >= 14


def test_a_film_backwards_has_the_wind_turned(
    probe: Probe, films: list[tuple[Moment, Tensor]]
) -> None:
    turned = sum(probe.read(f.flip(0), 10)["wind"][0][0] != m.wind for m, f in films[:16])
    assert turned >= 13


def test_agreement_with_a_script(probe: Probe) -> None:
    first = Moment(time="noon", cover="partly", wind="left", land="sea")
    then = Moment(time="night", cover="overcast", wind="right", land="sea", weather="rain")
    script = (Change(0.0, first), Change(6.0, then))
    sky = Sky(script, seed=123, size=(96, 96))
    frames = sky.render(range(120))
    kept = probe.agreement(frames, 10, script)
    assert {kept[name] for name in SURE} == {1.0}
    controls = sky.truth(range(120))["controls"]
    assert probe.agreement(frames, 10, controls)["wind"] == 1
    assert probe.agreement(frames, 10, (script[1],)[0].moment)["cover"] < 0.7
    assert set(probe.agreement(frames, 10, {"land": "sea"})) == {"land"}
    with pytest.raises(InputError, match=r"unknown land 'sand'.*; try sea"):
        probe.agreement(frames, 10, {"land": "sand"})
    with pytest.raises(InputError, match=r"\(frames, 27\)"):
        probe.agreement(frames, 10, torch.zeros(120, 5))


def test_a_change_is_seen_when_it_happens(probe: Probe) -> None:
    script = (Change(0.0, Moment(time="noon")), Change(5.0, Moment(time="night")))
    frames = Sky(script, seed=5, size=(64, 64)).render(range(100))
    looks = list(probe.looks(frames, 10, hop=0.2))
    night = [float(look.shares["phase"][3]) > 0.5 for look in looks]
    seen = looks[night.index(True)].at
    assert abs(seen - 5.0) <= 1.0 and all(night[night.index(True) :])


def test_windows_are_where_they_say(films: list[tuple[Moment, Tensor]]) -> None:
    frames = torch.arange(60).byte()[:, None, None, None].expand(-1, 3, 64, 64)
    cutter = Cutter(hop=0.5)
    windows = [w for begin in range(0, 60, 7) for w in cutter.see(piece(frames, begin, 7))]
    assert cutter.rest() == []
    assert [at for at, _ in windows] == pytest.approx([0.7 + 0.5 * n for n in range(10)])
    values = [(255 * w[:, 0, 0, 0]).round().int().tolist() for _, w in windows]
    assert values[1] == list(range(5, 20, 2))
    thirty = Cutter(hop=SPAN)
    (at, window), *_ = thirty.see(Stretch(frames, 0, 30.0, None))
    assert at == pytest.approx(SPAN / 2)
    assert (255 * window[:, 0, 0, 0]).round().int().tolist() == list(range(0, 43, 6))


def piece(frames: Tensor, begin: int, count: int) -> Stretch:
    return Stretch(frames[begin : begin + count], begin, 10.0, None)


def test_short_films(probe: Probe, films: list[tuple[Moment, Tensor]]) -> None:
    moment, frames = films[0]
    (look,) = probe.looks(frames[:9], 10)
    assert look.at == pytest.approx(0.4)
    with pytest.raises(InputError, match="3 frames or more"):
        probe.read(frames[:2], 10)
    with pytest.raises(InputError, match="5 frames/s or more"):
        probe.read(frames, 4)


def test_wide_and_large_pictures_are_cut_not_squeezed() -> None:
    wide = torch.zeros(1, 3, 64, 128, dtype=torch.uint8)
    wide[..., 32:96] = 255
    assert torch.equal(shrink(wide), torch.ones(1, 3, 64, 64))
    high = torch.zeros(1, 3, 96, 64, dtype=torch.uint8)
    high[..., 32:, :] = 255
    assert torch.equal(shrink(high), torch.ones(1, 3, 64, 64))
    assert shrink(torch.full((2, 3, 200, 300), 51.0)).mean() == pytest.approx(0.2)


@pytest.mark.parametrize("speed", [-2, 0, 3])
def test_the_cost_volume_knows_the_shift(speed: int) -> None:
    rough = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    luma = torch.stack([rough.roll(speed * n, 1) for n in range(8)])[None]
    planes = motion(luma)[0].unflatten(0, (len(GAPS), len(SHIFTS)))
    for row, gap in enumerate(GAPS):
        if abs(speed * gap) <= max(SHIFTS):
            agree = planes[row, :, :, 4:-4].mean((1, 2))
            assert SHIFTS[int(agree.argmax())] == speed * gap
            assert float(agree.max()) > 0.9


def test_frechet_tells_the_world_from_what_is_not(
    probe: Probe, films: list[tuple[Moment, Tensor]]
) -> None:
    def seen(harm: float) -> metrics.Moments:
        moments = metrics.Moments(64)
        for n, (_, frames) in enumerate(films):
            noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(n))
            harmed = frames if not harm else (frames + harm * noise).clamp(0, 255).byte()
            moments.merge(probe.moments(harmed, 10))
        return moments

    plain, noisy = (metrics.frechet(seen(harm), probe.world) for harm in (0.0, 60.0))
    assert plain < noisy / 2


def test_probe_and_distance_as_metrics(probe: Probe, films: list[tuple[Moment, Tensor]]) -> None:
    moment, frames = films[1]
    long = frames.repeat(2, 1, 1, 1)
    found = metrics.score(long, metrics=["probe", "frechet", "fvd"], reference="sky")
    assert found["probe"].protocol == "sky-probe-v1"
    assert found["probe"].detail["read"]["land"] == moment.land
    assert found["frechet"].protocol == "frechet-probe-v1"
    with pytest.raises(InputError, match="do not compare"):  # other features, other numbers
        _ = found["frechet"] == found["fvd"]
    many = torch.cat([frames for _, frames in films[:4]])
    own = metrics.score(Film(many, 10), metrics=["frechet"], reference=Film(many, 10))
    assert own["frechet"].value == pytest.approx(0, abs=1e-6)
    (reading,) = measure(list(long), 10, [Reading(probe)])
    assert reading == found["probe"]


def test_missing_or_foreign_weights(tmp_path: object) -> None:
    with pytest.raises(InputError, match="no weights"):
        Probe(f"{tmp_path}/none.safetensors")
    with open(f"{tmp_path}/bad.safetensors", "wb") as file:
        file.write(b"not a tensor in sight")
    with pytest.raises(InputError, match="cannot read it"):
        Probe(f"{tmp_path}/bad.safetensors")
