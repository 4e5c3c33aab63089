"""Metrics against closed forms and films whose fault is known."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longtake import metrics
from longtake.errors import InputError
from longtake.metrics import Film, Moments, Score, measure
from longtake.metrics.distances import slope
from longtake.metrics.film import Curve, stretches
from longtake.metrics.overlength import SEAM
from longtake.schemes import find_scheme
from longtake.steps import Plan, Timeline, lay_takes
from longtake.video import VideoWriter


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small pictures: a second thread waits more than it works."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rolling(frames: int, speed: float = 1.0, seed: int = 0, side: int = 32) -> Tensor:
    """A rough picture moving right by `speed` pixels a frame and slowly changing, never the same."""
    rng = np.random.default_rng(seed)
    columns = np.arange(side)[None] - speed * np.arange(frames)[:, None]
    rows = np.arange(side)[:, None]
    picture = np.zeros((frames, side, side))
    for _ in range(40):
        fx, fy, phase = rng.normal(0, 0.5), rng.normal(0, 0.5), rng.uniform(0, 6.3)
        turn = rng.normal(0, 0.05) * np.arange(frames)[:, None, None]
        picture += np.sin(fx * columns[:, None, :] + fy * rows + phase + turn)
    film = torch.from_numpy(128 + 6 * picture).clamp(0, 255).byte()
    return film[:, None].expand(-1, 3, -1, -1).contiguous()


def grey(levels: list[float] | Tensor, side: int = 16) -> Tensor:
    """Even frames of the given brightness, as floats."""
    return torch.as_tensor(levels).float()[:, None, None, None].expand(-1, 3, side, side)


# --- scores ----------------------------------------------------------------------------------------


def test_scores_of_one_protocol_compare() -> None:
    low, high = Score(1.0, "psnr-rgb-v1", "high"), Score(2.0, "psnr-rgb-v1", "high")
    assert low < high and high >= low and low == Score(1.0, "psnr-rgb-v1") and low != high
    assert high - low == 1 and high / low == 2 and high.beats(low) and not low.beats(high)
    assert max(low, high) is high and float(high) == 2


@pytest.mark.parametrize(
    "act",
    [
        lambda a, b: a < b,
        lambda a, b: a >= b,
        lambda a, b: a == b,
        lambda a, b: a - b,
        lambda a, b: a / b,
        lambda a, b: a.beats(b),
    ],
)
def test_scores_refuse_other_protocols(act: object) -> None:
    a, b = Score(1.0, "frechet-probe-v1", "low"), Score(2.0, "frechet-i3d-v1", "low")
    with pytest.raises(InputError, match=r"'frechet-probe-v1' and 'frechet-i3d-v1' do not compare"):
        act(a, b)  # type: ignore[operator]


def test_a_score_is_no_bare_number() -> None:
    with pytest.raises(TypeError):
        assert Score(1.0, "a") < 2.0  # type: ignore[operator]
    with pytest.raises(InputError, match="neither"):
        Score(1.0, "motion-ratio-v1").beats(Score(2.0, "motion-ratio-v1"))
    line = Score(0.5, "drift-v1", verdict="mostly colour", detail={"colour": 0.5}).line()
    assert line == {
        "value": 0.5,
        "protocol": "drift-v1",
        "verdict": "mostly colour",
        "colour": 0.5,
    }


# --- Frechet ---------------------------------------------------------------------------------------


def spd(rng: np.random.Generator, d: int, rank: int) -> Tensor:
    root = torch.from_numpy(rng.normal(size=(d, rank)))
    return root @ root.T / rank


@pytest.mark.parametrize("rank", [12, 5])
def test_frechet_matches_the_matrix_root(rank: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(rank)
    a, b = spd(rng, 12, rank), spd(rng, 12, rank)
    means = torch.from_numpy(rng.normal(size=(2, 12)))
    nudge = 1e-9 * np.eye(12)  # sqrtm itself needs it where covariances are singular
    root = np.real(linalg.sqrtm((a.numpy() + nudge) @ (b.numpy() + nudge)))
    wanted = float((means[0] - means[1]).square().sum()) + np.trace(a + b) - 2 * np.trace(root)
    found = metrics.gaussian_frechet(means[0], a, means[1], b)
    assert found == pytest.approx(wanted, rel=1e-5 if rank == 12 else 1e-3)


def test_frechet_closed_forms() -> None:
    zero, one = torch.zeros(3), torch.tensor([1.0, 2.0, 2.0])
    eye = torch.eye(3, dtype=torch.float64)
    assert metrics.gaussian_frechet(zero, eye, one, eye) == pytest.approx(9, abs=1e-12)
    assert metrics.gaussian_frechet(zero, 4 * eye, zero, 9 * eye) == pytest.approx(3, abs=1e-12)
    assert metrics.gaussian_frechet(zero, 0 * eye, zero, 9 * eye) == pytest.approx(27, abs=1e-12)
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    assert metrics.frechet(rows, rows) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet(rows, rows + 2) == pytest.approx(24, abs=1e-6)


def test_moments_are_the_plain_ones() -> None:
    rows = torch.randn(300, 5, generator=torch.Generator().manual_seed(1)).double() * 3 + 20
    moments = Moments(5).add(rows)
    assert torch.allclose(moments.mean, rows.mean(0), atol=1e-4)
    assert torch.allclose(moments.covariance, torch.cov(rows.T), atol=5e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 59), st.integers(0, 60))
def test_moments_merge_to_the_bit(seed: int, cut: int, turn: int) -> None:
    rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(seed)) * 10
    whole = Moments(4).add(rows)
    mixed = rows.roll(turn, 0)
    merged = Moments(4).add(mixed[cut:]).merge(Moments(4).add(mixed[:cut]))
    assert merged.count == whole.count
    assert torch.equal(merged.mean, whole.mean)
    assert torch.equal(merged.covariance, whole.covariance)
    again = Moments.of_tensors(whole.tensors())
    assert torch.equal(again.covariance, whole.covariance)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e101])
def test_moments_refuse_what_is_no_feature(bad: float) -> None:
    with pytest.raises(InputError, match="too large or not a number"):
        Moments(2).add(torch.tensor([[0.0, bad]], dtype=torch.float64))
    with pytest.raises(InputError, match=r"try \(n, 2\)"):
        Moments(2).add(torch.zeros(3, 4))
    with pytest.raises(InputError, match="at least 2"):
        metrics.frechet(torch.zeros(1, 2), torch.zeros(5, 2))


def test_windowed_distance_tells_where_a_film_goes_astray() -> None:
    noise = torch.Generator().manual_seed(2)
    reference = Moments(3).add(torch.randn(4000, 3, generator=noise))

    def film(away: float) -> Iterator[tuple[float, Tensor]]:
        for n in range(1500):
            yield n / 5, torch.randn(3, generator=noise) + away * max(0, n / 5 - 120) / 60

    steady = metrics.windowed(film(0), reference, window=60)
    astray = metrics.windowed(film(1.0), reference, window=60)
    assert astray.at == pytest.approx((30, 90, 150, 210, 270), abs=0.2)
    assert max(steady.distances) < 0.15 and abs(steady.slope) < 0.03
    # the mean of the last minute is 2.5 away in each of three directions; its variance grows a little
    assert astray.distances[-1] == pytest.approx(3 * 2.5**2, rel=0.1)
    assert astray.distances[0] < 0.15 and astray.slope > 2


def test_a_short_rest_joins_the_last_window() -> None:
    reference = Moments(1).add(torch.randn(100, 1))
    rows = [(n / 10, torch.randn(1)) for n in range(1300)]
    assert metrics.windowed(rows, reference, window=60).at == (30, pytest.approx(94.95))
    late = [(200 + n / 10, torch.randn(1)) for n in range(1300)]
    assert metrics.windowed(late, reference, window=60).at == (210, pytest.approx(284.95))
    assert len(metrics.windowed(rows[:30], reference).at) == 1
    with pytest.raises(InputError, match="no features"):
        metrics.windowed([], reference)


def test_slope() -> None:
    assert slope([0, 1, 2], [1, 3, 5]) == pytest.approx(2)
    assert slope([1], [4]) == 0


# --- fidelity --------------------------------------------------------------------------------------


def test_psnr_closed_form() -> None:
    a = torch.full((3, 20, 20), 100, dtype=torch.uint8)
    assert metrics.psnr(a, a) == math.inf
    assert metrics.psnr(a, a + 5) == pytest.approx(20 * math.log10(255 / 5))
    with pytest.raises(InputError, match="equal shapes"):
        metrics.psnr(a, a[:, :10])


def test_ssim_closed_form() -> None:
    rough = rolling(1)[0]
    assert metrics.ssim(rough, rough) == pytest.approx(1, abs=1e-12)
    a, b, steady = 60.0, 90.0, (0.01 * 255) ** 2
    wanted = (2 * a * b + steady) / (a * a + b * b + steady)
    even = torch.ones(3, 16, 16)
    assert metrics.ssim(a * even, b * even) == pytest.approx(wanted, abs=1e-9)
    assert metrics.ssim(rough, 255 - rough) < 0
    with pytest.raises(InputError, match="11x11"):
        metrics.ssim(rough[:, :8], rough[:, :8])


def test_fidelity_agrees_with_skimage() -> None:
    skimage = pytest.importorskip("skimage.metrics")
    noise = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 20
    a = rolling(1)[0]
    b = (a + noise).clamp(0, 255).byte()
    options = {"sigma": 1.5, "gaussian_weights": True, "use_sample_covariance": False}
    theirs = skimage.structural_similarity(
        a.numpy(), b.numpy(), channel_axis=0, data_range=255, **options
    )
    assert metrics.ssim(a, b) == pytest.approx(theirs, abs=1e-6)
    psnr = skimage.peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=255)
    assert metrics.psnr(a, b) == pytest.approx(psnr, abs=1e-6)


# --- a film in passing -----------------------------------------------------------------------------


def test_chunks_do_not_change_a_score() -> None:
    film = rolling(75)
    ways = [film, list(film), iter(film.split(7)), (film[n] for n in range(75))]
    makers = (
        lambda: metrics.Joins([20, 40]),
        metrics.Seams,
        metrics.Motion,
        metrics.Flicker,
        metrics.Drift,
        lambda: metrics.Repetition(4.0),
    )
    lines = [
        [score.line() for score in measure(way, 10, [make() for make in makers])] for way in ways
    ]
    for line in lines[1:]:
        for mine, first in zip(line, lines[0], strict=True):
            assert {k: v for k, v in mine.items() if isinstance(v, str)} == {
                k: v for k, v in first.items() if isinstance(v, str)
            }
            for key, value in first.items():
                if not isinstance(value, str):
                    assert mine[key] == pytest.approx(value, rel=1e-6, abs=1e-9)


def test_what_is_no_film_is_refused() -> None:
    with pytest.raises(InputError, match="without frames"):
        measure(iter(()), 10, [])
    with pytest.raises(InputError, match="frames of one size"):
        list(stretches([torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)], 10))
    with pytest.raises(InputError, match=r"\(t, 3, h, w\)"):
        list(stretches(torch.zeros(4, 1, 8, 8), 10))
    with pytest.raises(InputError, match="fps"):
        list(stretches(torch.zeros(4, 3, 8, 8), 0))


@pytest.mark.parametrize("frames", [5, 16, 17, 1000])
def test_a_curve_keeps_its_room(frames: int) -> None:
    curve = Curve(1, room=16)
    rows = torch.arange(frames, dtype=torch.float64)[:, None]
    for part in rows.split(3):
        curve.add(part)
    middles, means = curve.points()
    assert len(middles) <= 16
    assert torch.allclose(means[:, 0] + 0.5, middles)  # of a straight line, bins hold the line
    assert float(curve.mean(0, frames)) == pytest.approx((frames - 1) / 2, rel=0.1)


# --- over length -----------------------------------------------------------------------------------


def test_joins_find_a_jump_of_known_size() -> None:
    steps = torch.full((60,), 1.0)
    steps[[20, 40]] = 3.0
    film = grey(50 + steps.cumsum(0))
    found = metrics.joins(film, [20, 40])
    assert found.value == pytest.approx(3)
    assert found.detail["borders"] == 2 and found.detail["inside"] == pytest.approx(1)
    assert found.detail["worst"] == pytest.approx(3.1 / 1.1)
    assert metrics.joins(film, [10, 30]).value < 1
    assert metrics.joins(film, [20], cuts=[40]).detail["inside"] == pytest.approx(1)
    with pytest.raises(InputError, match="no border"):
        metrics.joins(film, [900])


def test_a_leap_between_places_is_a_seam_and_a_gesture_is_none() -> None:
    """What is striped changes hardly more pixels where it leaps than where it moves by a stripe."""
    film = torch.zeros(40, 3, 64, 64, dtype=torch.uint8)
    for frame in range(40):
        left = 4 + 2 * (frame % 2) + 32 * (frame >= 20)
        film[frame, :, 20:44, left : left + 20].view(3, 24, 5, 4)[..., :2] = 255
    found = metrics.seams(film)
    assert found.value > SEAM and found.detail["at"] == pytest.approx(2.0)
    course = (torch.arange(40.0) + 6 * (torch.arange(40) - 18).clamp(0, 5)) * 2
    gesture = (60 + course)[:, None, None, None].expand(40, 3, 16, 16).byte()
    assert metrics.seams(gesture).value < 1.2


def test_seams_are_found_without_a_plan() -> None:
    film = rolling(120)
    seamless = metrics.seams(film)
    torn = torch.cat([film[:70], rolling(50, seed=9)])
    found = metrics.seams(torn)
    assert seamless.value < 1.2 < SEAM < found.value
    assert found.detail["at"] == pytest.approx(7.0)
    assert found.detail["over_twice"] == pytest.approx(1 / 119)
    assert measure(torn, 10, [metrics.Seams(cuts=[70])])[0].value < 1.5


@pytest.mark.parametrize("where", [1, 3, 115, 119])
def test_seams_are_found_near_the_ends(where: int) -> None:
    film = rolling(120)
    film[where:] = film[where:].flip(-1)
    assert metrics.seams(film).detail["at"] == pytest.approx(where / 10)


def test_motion_is_a_ratio_of_known_size() -> None:
    swing = torch.tensor([1.0, -1.0]).repeat(1000)
    size = torch.where(torch.arange(2000) < 1334, 8.0, 2.0)
    score = metrics.motion(grey(100 + swing * size, 8))
    assert score.value == pytest.approx(0.25, rel=0.02)
    assert metrics.motion(rolling(90)).value == pytest.approx(1, abs=0.2)


def test_motion_of_a_long_film_compares_the_second_and_the_last_minute() -> None:
    swing = torch.tensor([1.0, -1.0]).repeat(1200)
    size = torch.full((2400,), 1.0)
    size[600:1200], size[1800:] = 6.0, 3.0
    assert metrics.motion(grey(100 + swing * size, 4)).value == pytest.approx(0.5, rel=0.01)


def test_a_freeze_is_caught() -> None:
    film = rolling(100)
    assert metrics.frozen(film).value == 0
    still = torch.cat([film[:60], film[59:60].expand(40, -1, -1, -1)])
    found = metrics.frozen(still)
    assert found.value == pytest.approx(40 / 99)
    assert found.verdict == "still for 4.0 s"
    assert metrics.motion(still).value < 0.1


@pytest.mark.parametrize("deviation", [0.5, 4.0])
def test_flicker_is_the_deviation_of_noise(deviation: float) -> None:
    noise = torch.randn(2000, generator=torch.Generator().manual_seed(0)) * deviation
    found = metrics.flicker(grey(100 + noise))
    assert found.value == pytest.approx(deviation, rel=0.08)
    assert found.detail["whole_picture"] == pytest.approx(found.value, rel=1e-3)


def test_a_smooth_change_is_no_flicker() -> None:
    assert metrics.flicker(grey(50 + 0.7 * torch.arange(200.0))).value < 1e-4
    assert metrics.flicker(grey([100.0] * 50)).value == 0


@pytest.mark.parametrize("name", ["brightness", "colour", "contrast", "sharpness"])
def test_a_drift_is_caught_and_named(name: str) -> None:
    film = rolling(300).float()
    time = torch.linspace(0, 1, 300)[:, None, None, None]
    if name == "brightness":
        harmed = film * (1 - 0.5 * time)
    elif name == "colour":
        harmed = film * (1 + 0.5 * time * torch.tensor([1.0, 0, -1.0])[:, None, None])
    elif name == "contrast":
        harmed = 128 + (film - 128) * (1 - 0.6 * time)
    else:
        soft = torch.nn.functional.avg_pool2d(film, 9, 1, 4, count_include_pad=False)
        harmed = film + (soft - film) * time
        harmed = 128 + (harmed - 128) * film.std((2, 3), keepdim=True) / harmed.std(
            (2, 3), keepdim=True
        )
    before, after = metrics.drift(film), metrics.drift(harmed)
    assert before.value < 0.1
    assert after.value > 0.1 and after.value > 2 * before.value
    assert after.verdict == f"mostly {name}" or (name == "brightness")


def test_drift_closed_form() -> None:
    film = grey(torch.where(torch.arange(600) < 400, 92.0, 192.0), 8)
    found = metrics.drift(film)
    assert found.detail["brightness"] == pytest.approx(math.log(200 / 100), abs=1e-6)
    assert found.verdict == "mostly brightness" and found.detail["colour"] == pytest.approx(0)


# --- the shelf -------------------------------------------------------------------------------------


def test_scores_of_a_file_a_tensor_and_a_take(tmp_path: Path) -> None:
    film = rolling(60, side=32)
    with VideoWriter(tmp_path / "film.mp4", size=(32, 32), fps=Fraction(12)) as writer:
        writer.write(film)
    wanted = ("drift", "seams", "frozen")
    of_file = metrics.score(str(tmp_path / "film.mp4"), metrics=wanted)
    of_tensor = metrics.score(film, metrics=wanted, fps=12)
    take = SimpleNamespaceFilm(film, 12)
    of_take = metrics.score([take], metrics=wanted)
    assert list(of_file) == list(wanted)
    assert of_file["frozen"].value == of_tensor["frozen"].value == 0
    assert of_file["drift"].value == pytest.approx(of_tensor["drift"].value, abs=0.05)
    assert of_take["drift"] == of_tensor["drift"]
    both = metrics.score([film, str(tmp_path / "film.mp4")], metrics=["motion"])
    assert list(both) == ["film:motion", "film.mp4:motion"]
    assert list(metrics.score([film, film], metrics=["motion"])) == ["film:motion", "film#2:motion"]
    equal = metrics.score(film, metrics=["psnr"], reference=film)["psnr"]
    assert json.loads(json.dumps(equal.line(), allow_nan=False))["value"] == "inf"


class SimpleNamespaceFilm:
    """What a Take looks like from here."""

    def __init__(self, film: Tensor, fps: float) -> None:
        self.film, self.fps = film, Fraction(fps)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.film)


def test_a_reference_is_needed_and_used() -> None:
    film = rolling(30)
    with pytest.raises(InputError, match="needs a film"):
        metrics.score(film, metrics=["psnr"])
    found = metrics.score(
        film, metrics=["psnr", "ssim"], reference=(film.int() + 3).clamp(0, 255).byte()
    )
    assert found["psnr"].value == pytest.approx(20 * math.log10(255 / 3), abs=0.3)
    assert found["ssim"].value > 0.95
    with pytest.raises(InputError, match="shorter"):
        metrics.score(film, metrics=["psnr"], reference=film[:20])


def test_an_unknown_metric_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown metric 'repitition'.*try repetition"):
        metrics.score(rolling(20), metrics=["repitition"])
    assert {"drift", "seams", "repetition", "probe", "frechet", "fvd"} <= set(metrics.METRICS)


def job(scheme: str, frames: int, stride: int, cuts: tuple[int, ...] = ()) -> SimpleNamespace:
    takes = lay_takes(frames, stride, cuts)
    last = takes[-1]
    length = last.start + (last.length or 0)
    timeline = Timeline(length, (), tuple(take.start for take in takes[1:]))
    return SimpleNamespace(
        plans=(Plan.of(find_scheme(scheme), timeline),),
        takes=takes,
        cuts=cuts,
        first_frame=lambda take, i: take.first - take.skip + (i - take.start) * stride,
    )


def test_borders_come_from_the_plan() -> None:
    assert metrics.step_borders(job("autoregressive:window=8,step=4", 96, 4)) == (32, 48, 64, 80)
    cut = metrics.step_borders(job("autoregressive:window=8,step=4", 96, 4, (40,)))
    assert 40 not in cut and set(cut) == {32, 72, 88}


def test_a_take_with_a_plan_is_judged_at_its_borders() -> None:
    film = rolling(96).float()
    film[32:] += 20
    found = metrics.score(Film(film, 10, "film", borders=(32, 48, 64, 80)), metrics=["seams"])
    assert found["seams"].protocol == "join-ratio-v1"
    assert found["seams"].value > 1.2 and found["seams"].detail["worst_at"] == pytest.approx(3.2)
