"""Volumes: any stretch is the same whatever is painted with it; filtered noise; styles that change with time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from family_parts import shaken
from torch.nn import functional as F

from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
from longtake.controls import Controls
from longtake.models.gan import GANModel
from longtake.nets.critics import ClipCritic, CriticShape, FrameCritic
from longtake.nets.synthesis import SynthesisShape
from longtake.nets.volumes import LowPassBank, MovingConv, VolumeGenerator, doubled
from longtake.train import Schedule, adversarial, fit

SHAPE = SynthesisShape(style=8, motion=3, widths=(8, 8, 8), spacing=0.8, reach=4)
FRAME, STEP = (3, 8, 12), 0.2  # seconds from frame to frame
CRITIC = CriticShape(widths=(8, 8, 8))


def model(doublings: int = 2) -> GANModel:
    torch.manual_seed(0)
    critics = [FrameCritic(CRITIC), ClipCritic(CRITIC)]
    spec = ClipSpec(8, (3, None, None), "test")
    made = GANModel(VolumeGenerator(SHAPE, doublings, 4), critics, spec)
    shaken(made.nets, 0.1)
    return made


@pytest.mark.parametrize("doublings", [0, 1, 2])
def test_any_stretch_is_the_same_in_any_film(doublings: int) -> None:
    gan, step = model(doublings), SHAPE.spacing / 2**doublings
    whole = gan.render(Noise(1), (0, 5), [n * step for n in range(-3, 21)], FRAME)
    assert whole.shape == (2, 24, *FRAME)
    assert float((whole[:, 1:] - whole[:, :-1]).abs().mean()) > 1e-3, "it moves"
    for begin, end in ((0, 24), (3, 4), (7, 12), (20, 24)):
        part = gan.render(Noise(1), (0, 5), [n * step for n in range(begin - 3, end - 3)], FRAME)
        torch.testing.assert_close(part, whole[:, begin:end], atol=1e-5, rtol=0)
    mixed = gan.render(Noise(1), (5,), [4 * step, -2 * step, 9 * step], FRAME)
    torch.testing.assert_close(mixed, whole[1:, [7, 1, 12]], atol=1e-5, rtol=0)
    late = gan.render(Noise(1), (0,), [86_400.0, 86_400.0 + step], FRAME)
    alone = gan.render(Noise(1), (0,), [86_400.0 + step], FRAME)
    torch.testing.assert_close(alone[:, 0], late[:, 1], atol=1e-5, rtol=0)


def test_far_noise_is_not_heard_and_near_noise_is() -> None:
    generator = model().generator
    times = torch.arange(5).double() * STEP
    span = generator.motion.anchors(times)
    style, noise = torch.randn(1, 8), torch.randn(1, len(span), 3)
    base = generator.requires_grad_(False)(style, noise, times, (8, 8))
    for place in range(len(span)):
        other = noise.clone()
        other[:, place] += 5
        moved = (generator(style, other, times, (8, 8)) - base).abs().amax((0, 2, 3, 4))
        assert float(moved.max()) > 0, "no more noise is asked for than counts"
        if place == 0:
            assert float(moved[-1]) == 0


def test_slow_filters_are_slow_and_all_have_unit_variance() -> None:
    bank, generator = LowPassBank(5, 12), torch.Generator().manual_seed(0)
    noise = torch.randn(64, 424, 2, generator=generator)
    found = bank(noise).unflatten(2, (2, 5))
    assert found.shape == (64, 400, 2, 5)
    spread = found.square().mean((0, 1, 2))
    torch.testing.assert_close(spread, torch.ones(5), atol=0.05, rtol=0)
    next_ones = (found[:, 1:] * found[:, :-1]).mean((0, 1, 2)) / spread
    stated = (bank.taps[:, 1:] * bank.taps[:, :-1]).sum(1)
    torch.testing.assert_close(next_ones, stated, atol=0.03, rtol=0)
    assert stated.sort().values.equal(stated) and abs(float(stated[0])) < 0.05 < 0.9 < stated[-1]


def test_moving_filters_are_those_of_scaled_weights() -> None:
    torch.manual_seed(0)
    mix = shaken(MovingConv(3, 4, 5))
    x, style = torch.randn(2, 3, 6, 5, 5), torch.randn(2, 6, 5)
    y = mix(x, style)
    assert y.shape == (2, 4, 4, 5, 5)
    scale = mix.style(style)
    for b in range(2):
        for t in range(1, 5):
            near = x[b, :, t - 1 : t + 2] * scale[b, t - 1 : t + 2].T[..., None, None]
            weight = mix.weight * mix.gain
            size = (weight * scale[b, t][:, None, None, None]).square().sum((1, 2, 3, 4)).sqrt()
            made = F.conv3d(near[None], weight, padding=(0, 1, 1))[0, :, 0] / size[:, None, None]
            torch.testing.assert_close(
                y[b, :, t - 1], made + mix.bias[:, None, None], atol=1e-4, rtol=1e-4
            )


def test_doubling_is_linear_interpolation() -> None:
    line = torch.arange(5.0)[None]
    found = doubled(line, 1)[0]  # of moments a quarter to either side of the old ones
    torch.testing.assert_close(
        found, torch.tensor([0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75])
    )


def test_it_plays_the_game(tmp_path: Path) -> None:
    gan = model()

    def batch(step: int) -> tuple[ClipRequest, Clip]:
        real = torch.rand(2, 4, *FRAME, generator=torch.Generator().manual_seed(step)) - 0.5
        at = (0, 1, 2, 3)
        asked = ClipRequest(at, None, Controls(), Noise(step), FRAME, (0, 1), interval=STEP)
        return asked, Clip(real, at)

    before = gan.generator.filters[0].weight.detach().clone()
    schedule = Schedule(4, rate=2e-3, warmup=1, log_every=1)
    curve = list(
        fit(gan.nets, lambda p: gan.losses(*p), batch, schedule, tmp_path, gan.parts, adversarial)
    )
    assert all(value == value for line in curve for value in line.losses.values())
    assert not torch.equal(before, gan.generator.filters[0].weight)
    clip = gan.sample(batch(9)[0])
    assert clip.frames.shape == (2, 4, *FRAME) and gan.spec.observes == "none"


def test_what_does_not_fit_is_refused() -> None:
    gan = model()
    with pytest.raises(ValueError, match=r"multiples of 0\.2 s"):
        gan.render(Noise(1), (0,), [0.3], FRAME)
    with pytest.raises(ValueError, match="multiples of 4"):
        gan.render(Noise(1), (0,), [0.0], (3, 6, 8))
    with pytest.raises(ValueError, match="0 to 2"):
        VolumeGenerator(SHAPE, 3)
    with pytest.raises(ValueError, match="1 or more"):
        LowPassBank(0, 3)
