"""Metrics of long films against films whose right answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from test_clips import Means
from torch import Tensor

from longtake import metrics
from longtake.errors import InputError
from longtake.metrics import (
    Blocks,
    Consistency,
    Dynamic,
    Film,
    LoopClosure,
    PromptAgreement,
    PromptFit,
    ShotChanges,
    StillFlicker,
    Told,
    Windows,
    examine,
    frechet,
    measure,
)
from longtake.worlds import make
from longtake.worlds.sky import Change, Moment, Sky

pytestmark = pytest.mark.usefixtures("one_thread")
DICE = torch.Generator


def pattern(height: int, width: int, seed: int = 0) -> Tensor:
    """A smooth texture (h, w) in 60..195."""
    noise = torch.randn(1, 1, height // 6 + 2, width // 6 + 2, generator=DICE().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")[0, 0]
    return (smooth * 40 + 128).clamp(60, 195)


def coloured(luma: Tensor) -> Tensor:
    """(t, 3, h, w) of brightness (t, h, w)."""
    return luma[:, None].expand(-1, 3, -1, -1).contiguous()


# --- motion and stillness --------------------------------------------------------------------------


@pytest.mark.parametrize(("speed", "size"), [(1.0, 64), (3.0, 64), (6.0, 64), (4.0, 128)])
def test_dynamic_degree_is_the_speed_of_a_panning_picture(speed: float, size: int) -> None:
    wide = pattern(size, 4 * size)
    film = torch.stack([wide[:, int(speed * t) : int(speed * t) + size] for t in range(24)])
    (found,) = measure(coloured(film), 10, [Dynamic()])
    assert found.value == pytest.approx(speed / size * 10, rel=0.1)
    assert found.detail["moving"] > 0.9


def test_a_still_picture_does_not_move() -> None:
    still = coloured(pattern(48, 80)[None].expand(20, -1, -1))
    (found,) = measure(still, 10, [Dynamic()])
    assert found.value < 1e-4 and found.detail["moving"] == 0
    noise = torch.randn(20, 1, 48, 80, generator=DICE().manual_seed(1))
    assert measure(still + noise, 10, [Dynamic()])[0].value < 0.05
    assert measure(torch.full((5, 3, 9, 7), 128.0), 10, [Dynamic()])[0].value == 0
    with pytest.raises(InputError, match="does not move"):
        measure(still[:1], 10, [Dynamic()])


@pytest.mark.parametrize("deviation", [1.0, 4.0])
def test_flicker_is_told_of_what_stands_still_alone(deviation: float) -> None:
    """The upper half moves fast; the lower stands still and trembles by a known deviation."""
    noise = torch.randn(300, 1, 2, generator=DICE().manual_seed(2)) * deviation
    still = pattern(32, 64, 3) + noise.repeat_interleave(32, 2)
    wide = pattern(32, 64 + 900, 4)
    moving = torch.stack([wide[:, 3 * t : 3 * t + 64] for t in range(300)])
    film = coloured(torch.cat([moving, still], 1))
    (found,) = measure(film, 10, [StillFlicker()])
    assert found.value == pytest.approx(deviation, rel=0.12)
    assert 0.4 < found.detail["still"] < 0.53, "a line that moves along itself seems to stand"
    with pytest.raises(InputError, match="nothing stands still"):
        measure(torch.rand(9, 3, 32, 32) * 255, 10, [StillFlicker()])


# --- shots -----------------------------------------------------------------------------------------


def shown(firsts: list[int], frames: int) -> Tensor:
    """A film that cuts at `firsts`, and moves a little between."""
    course = torch.zeros(frames)
    for first in firsts:
        course[first:] += 1
    wide = [
        torch.nn.functional.interpolate(
            pattern(32, 32 + frames // 4, n)[None], scale_factor=4.0, mode="linear"
        )[0]
        for n in range(len(firsts) + 1)
    ]
    return coloured(torch.stack([wide[int(n)][:, t : t + 32] for t, n in enumerate(course)]))


def test_shot_changes_against_a_storyboard() -> None:
    film = shown([40, 83, 150], 200)
    asked = [Told(0, "a"), Told(40, "b"), Told(80, "c"), Told(120, "d"), Told(180, "e", cut=False)]
    (found,) = measure(film, 10, [ShotChanges(asked)])
    assert found.value == pytest.approx(2 * 2 / 6)
    assert found.detail["seconds_off"] == pytest.approx((0 + 0.3) / 2)
    assert found.detail["missed"] == [12.0] and found.detail["extra"] == [15.0]
    (still,) = measure(shown([], 60), 10, [ShotChanges([Told(0, "one")])])
    assert still.value == 1 and still.detail["found"] == 0
    (none,) = measure(shown([], 60), 10, [ShotChanges([Told(0, "a"), Told(30, "b")])])
    assert none.value == 0
    with pytest.raises(InputError, match="8 frames"):
        measure(film[:8], 10, [ShotChanges([])])


def test_two_cuts_do_not_share_a_change() -> None:
    asked = [Told(0, "a"), Told(38, "b"), Told(41, "c")]
    (found,) = measure(shown([40], 90), 10, [ShotChanges(asked)])
    assert (found.detail["found"], found.detail["missed"]) == (1, [3.8])


def test_consistency_is_of_looks_within_shots() -> None:
    """Through means of levels: shots of one level each agree, shots that alternate do not."""
    one = torch.tensor([50.0, 200.0]).repeat_interleave(40)
    mixed = torch.tensor([50.0, 200.0]).repeat_interleave(10).repeat(4)
    asked = [Told(0, "a"), Told(40, "b")]

    def of(levels: Tensor) -> metrics.Score:
        film = levels[:, None, None, None].expand(-1, 3, 8, 8)
        return measure(film, 10, [Consistency(asked, Means())])[0]

    assert of(one).value == pytest.approx(1) and of(one).detail["across"] == pytest.approx(-1)
    # Of four clips a shot, two of each level: pairs agree in 4 of 12 cases and are opposed in 8.
    assert of(mixed).value == pytest.approx(-1 / 3)
    with pytest.raises(InputError, match="1 shots"):
        measure(torch.rand(60, 3, 8, 8), 10, [Consistency([Told(0, "a")], Means())])


def test_prompt_fit_is_the_mean_of_cosines() -> None:
    def fit(frames: Tensor, words: str) -> Tensor:
        return frames.mean((1, 2, 3)) / 100 + len(words)

    film = torch.arange(40.0)[:, None, None, None].expand(-1, 3, 4, 4)
    shots = [Told(0, "a"), Told(20, "bcd")]
    (found,) = measure(film, 10, [PromptFit(shots, fit, "clipsim-test")])
    assert found.detail["shots"] == pytest.approx([1 + 0.05, 3 + 0.25])
    assert found.value == pytest.approx(2.15)
    with pytest.raises(InputError, match="storyboard"):
        PromptFit([], fit, "x")


def test_agreement_of_a_sky_with_its_storyboard() -> None:
    changes = (
        Change(0.0, Moment(time="noon", cover="clear")),
        Change(8.0, Moment(time="night", cover="overcast")),
    )
    film = Sky(changes, seed=3, size=(64, 64)).render(range(160))

    def words(prompt: str) -> dict[str, str]:
        return dict(pair.split("=") for pair in prompt.split())  # type: ignore[misc]

    right = [Told(0, "time=noon"), Told(80, "time=night")]
    wrong = [Told(0, "time=night"), Told(80, "time=noon")]
    scores = [measure(film, 10, [PromptAgreement(s, words)])[0] for s in (right, wrong)]
    assert scores[0].value > 0.8 and scores[1].value < 0.1
    assert scores[0].detail["judged"] == scores[1].detail["judged"] >= 6
    with pytest.raises(InputError, match="noon"):
        PromptAgreement([Told(0, "time=noom")], words)
    with pytest.raises(InputError, match="could judge"):
        measure(film, 10, [PromptAgreement([Told(0, "colour=red")], words)])


def test_prompts_are_read_for_the_probe() -> None:
    film = Sky((Change(0.0, Moment(time="night")),), seed=4, size=(64, 64)).render(range(60))
    asked = Film(film, 10, shots=(Told(0, "a night sky"),))
    assert examine(asked, metrics=["agreement"]).scores["agreement"].value > 0.5


# --- a camera that comes back ----------------------------------------------------------------------


def test_loop_closure_in_the_maze() -> None:
    maze = make("maze", seed=2, fps=4.0, size=(48, 48), cells=3)
    frames, poses = maze.render(range(200)), maze.truth(range(200))["pose"]
    (whole,) = measure(frames, 4, [LoopClosure(poses)])
    # A maze that is rebuilt half-way: places look other when the camera comes back.
    other = make("maze", seed=3, fps=4.0, size=(48, 48), cells=3)
    rebuilt = other.paint({"pose": poses[100:]})
    (broken,) = measure(torch.cat([frames[:100], rebuilt]), 4, [LoopClosure(poses)])
    assert whole.value > broken.value + 3
    assert whole.value > whole.detail["chance"] + 3 and whole.detail["visits"] > 10


def test_loop_closure_closed_form() -> None:
    """On a circle of 30 frames walked twice, the second round ten levels brighter."""
    angle = torch.arange(60) * 2 * math.pi / 30
    poses = torch.stack([angle.cos(), angle.sin(), angle], 1)
    film = pattern(16, 16)[None] + torch.arange(60)[:, None, None] % 30
    film[30:] += 10
    (found,) = measure(coloured(film), 10, [LoopClosure(poses)])
    assert found.value == pytest.approx(20 * math.log10(255 / 10), abs=0.1)
    assert found.detail["visits"] == 30
    for bad, what in (
        (poses[:59], "59 poses"),
        (poses[:, 0], "poses of shape"),
        (poses * math.nan, "not finite"),
    ):
        with pytest.raises(InputError, match=what):
            measure(coloured(film), 10, [LoopClosure(bad)])
    with pytest.raises(InputError, match="never comes back"):
        measure(coloured(film[:25]), 10, [LoopClosure(poses[:25])])
    with pytest.raises(InputError, match="no poses"):
        metrics.score(Film(coloured(film), 10), metrics=["loop-closure"])


# --- windows of clips ------------------------------------------------------------------------------


def test_windows_tell_how_fast_a_film_grows_worse() -> None:
    dice = DICE().manual_seed(5)
    steady = (torch.randn(2000, 1, 1, 1, generator=dice) * 4 + 100).expand(-1, 3, 8, 8)
    rows = torch.stack([steady[n : n + 4, 0, 0, 0] for n in range(0, 1900, 8)])
    reference = torch.stack([rows.mean(1), rows[:, 3] - rows[:, 0]], 1)
    ramp = torch.arange(2000.0)[:, None, None, None] / 100
    slopes = []
    for away in (0.0, 1.0, 2.0):
        scores = measure(
            steady + away * ramp, 10, [Windows(reference, Means()), Blocks(reference, Means())]
        )
        slopes.append(scores[0].value)
        if not away:
            assert abs(scores[0].value) < 1 and scores[1].value < 3
    # The mean is `away` higher every 10 s: its square grows by about 36 * away^2 * seconds / 30 a minute.
    assert slopes[0] < slopes[1] < slopes[2]
    assert slopes[2] == pytest.approx(4 * slopes[1], rel=0.2)
    detail = scores[1].detail
    assert detail["worst_at"] > 150 and len(detail["distances"]) == 7
    assert "fvd-blocks" not in scores[0].protocol and "means-fd-slope[" in scores[0].protocol
    with pytest.raises(InputError, match="60 frames or more"):
        measure(steady[:59], 10, [Windows(reference, Means())])


def test_a_block_is_the_plain_distance_of_its_clips() -> None:
    film = torch.randint(0, 255, (68, 3, 8, 8), generator=DICE().manual_seed(6)).float()
    reference = torch.randn(50, 2, generator=DICE().manual_seed(7)) + 120
    blocks = Blocks(reference, Means())
    detail = measure(film, 10, [blocks])[0].detail
    _, rows = blocks.clips.course()
    wanted = [frechet(rows[n : n + 2], reference) for n in range(0, 8, 2)]
    assert detail["distances"] == pytest.approx(wanted, rel=1e-5)


def test_drift_leaves_out_the_first_minute_of_films_that_have_three() -> None:
    for seconds, seen in ((179, True), (181, False)):
        light = torch.where(torch.arange(10 * seconds) < 10 * seconds // 3, 92.0, 192.0)
        film = light[:, None, None, None].expand(-1, 3, 8, 8)
        assert (metrics.drift(film).value > 0.5) is seen, seconds
