"""Films that come back to themselves."""

from __future__ import annotations

import pytest
import torch
from test_metrics import rolling

from longtake import metrics
from longtake.worlds.sky import Change, Moment, Sky


def test_a_loop_is_caught_with_its_period() -> None:
    film = rolling(450)
    plain = metrics.repetition(film)
    assert plain.value < 0.5 and plain.verdict == "does not repeat"
    looped = metrics.repetition(film[:90].repeat(5, 1, 1, 1))
    assert looped.value == pytest.approx(4 / 5, abs=0.01)
    assert looped.detail["dip"] > 0.95 and looped.detail["lag"] == pytest.approx(9)
    assert looped.verdict == "repeats after 9.0 s"


def test_a_short_film_tells_how_much_of_it_repeats() -> None:
    film = rolling(60)
    assert metrics.repetition(film).value == 0
    for share in (0.25, 0.5):
        begin = 60 - round(share * 60)
        looped = torch.cat([film[:begin], film[[begin - 20 + n % 20 for n in range(60 - begin)]]])
        found = metrics.repetition(looped)
        assert found.value == pytest.approx(share, abs=0.03)
        assert found.verdict == "repeats after 2.0 s"


def test_a_noisy_loop_and_a_late_loop_are_caught() -> None:
    film = rolling(450)
    noise = torch.randn(450, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 10
    loop = (film[:90].repeat(5, 1, 1, 1) + noise).clamp(0, 255).byte()
    noisy = metrics.repetition(loop)
    assert noisy.value > 0.7 and noisy.detail["lag"] == pytest.approx(9)
    late = torch.cat([film[:250], *[film[150:250]] * 3])
    assert metrics.repetition(late).verdict == "repeats after 10.0 s"


def test_a_still_film_and_a_steady_fade_are_no_loops() -> None:
    still = rolling(1).expand(300, -1, -1, -1)
    assert metrics.repetition(still).value < 0.1
    fade = rolling(300).float() * torch.linspace(1, 0.3, 300)[:, None, None, None]
    assert metrics.repetition(fade).value < 0.5


def test_the_world_does_not_repeat_until_it_is_looped() -> None:
    sky = Sky((Change(0.0, Moment(cover="partly", speed="fast")),), seed=4, size=(32, 32))
    film = sky.render(range(400))
    assert metrics.repetition(film).value < 0.5
    assert metrics.repetition(film[:130].repeat(3, 1, 1, 1)).verdict == "repeats after 13.0 s"
