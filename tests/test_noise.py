"""Noise sources: unit variance, the covariance each says it has, and noise that belongs to its frame."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec, Noise, NoiseSource
from longtake.controls import Controls
from longtake.errors import FitError, InputError
from longtake.models.gaussian import GaussianModel, Matern32
from longtake.models.noise import (
    Carried,
    Filtered,
    Mixed,
    NoiseFrom,
    Recycled,
    Shuffled,
    flowing,
    low_pass,
    moved,
    once,
    progressive,
)

BASE = Noise(3)
FRAME = (1, 100, 100)
SOURCES: dict[str, NoiseSource] = {
    "shared": Mixed(BASE, 1.0),
    "mixed": Mixed(BASE, 0.3),
    "base and residual": Mixed(BASE, 0.5, frozenset({4})),
    "filtered": Filtered(BASE, (1.0, -2.0, 0.5)),
    "progressive": progressive(BASE, 1.5),
    "low pass": low_pass(BASE, 4.0, width=6),
    "shuffled": Shuffled(BASE, 4, 2),
    "recycled": Recycled(BASE, 4, 2, alpha=2.0),
}
AT = (0, 2, 3, 4, 5, 6, 9)


@pytest.mark.parametrize("name", SOURCES)
def test_variance_is_one_and_covariance_as_stated(name: str) -> None:
    source = SOURCES[name]
    noise = source.clip((1,), AT, FRAME)[0].flatten(1).double()
    found = noise @ noise.T / noise.shape[1]
    ask = (
        functools.partial(source.covariance, sample=1) if name == "shuffled" else source.covariance
    )
    stated = torch.tensor([[ask(i, j) for j in AT] for i in AT], dtype=torch.float64)
    # 10,000 numbers: five standard errors of a covariance, which is at most sqrt(2) of 0.01.
    assert stated.diagonal().allclose(torch.ones(len(AT), dtype=torch.float64), atol=1e-6)
    assert (found - stated).abs().max() < 0.07
    assert (stated - torch.eye(len(AT))).abs().max() > 0.25, "it is not independent noise"
    assert noise.mean(1).abs().max() < 0.05


@pytest.mark.parametrize("name", SOURCES)
def test_noise_belongs_to_its_frame(name: str) -> None:
    source = SOURCES[name]
    whole = source.clip((0, 7), AT, (2, 3))
    torch.testing.assert_close(source.clip((7,), (5, 2), (2, 3))[0], whole[1, [4, 1]])
    torch.testing.assert_close(source.of(0, 9, (2, 3)), whole[0, -1])
    assert not torch.allclose(whole[0], whole[1], atol=0.1)
    assert not torch.allclose(source.of(0, 9, (2, 3), "other"), whole[0, -1], atol=0.1)
    assert source.seed == 3


def test_published_correlations() -> None:
    """PYoCo's mixed and progressive noise at a = 1 and 2, VideoFusion's middle frame."""
    assert Mixed(BASE, 1 / 2).covariance(0, 9) == pytest.approx(1 / 2)  # a = 1: a^2 / (1 + a^2)
    chain = progressive(BASE, 2.0)
    for gap in range(5):
        assert chain.covariance(3, 3 + gap) == pytest.approx((2 / math.sqrt(5)) ** gap, abs=1e-9)
    assert progressive(BASE, 0.0).taps == (1.0,)
    fusion = Mixed(BASE, 0.5, frozenset({8}))
    assert torch.equal(fusion.of(0, 8, (4,)), BASE.of(0, -1, (4,), "start in common"))
    assert fusion.covariance(0, 8) == pytest.approx(math.sqrt(0.5))
    assert torch.equal(Mixed(BASE, 1.0).of(0, 3, (4,)), Mixed(BASE, 1.0).of(0, 4, (4,)))


def test_low_pass_noise_has_no_fast_part() -> None:
    noise = low_pass(BASE, 16.0).clip((0,), range(256), (40,))[0]
    power = torch.fft.rfft(noise * torch.hann_window(256)[:, None], dim=0).abs().square().mean(1)
    cut = 256 // 16
    assert power[2 * cut :].sum() < 1e-3 * power[:cut].sum()


def test_shuffled_noise_is_the_first_windows_again() -> None:
    source = Shuffled(BASE, 8, 4)
    for lap in (1, 2, 5):
        origins = [source.origin(0, 8 * lap + n) for n in range(8)]
        assert sorted(origins[:4]) == [0, 1, 2, 3] and sorted(origins[4:]) == [4, 5, 6, 7]
    orders = {tuple(source.origin(0, 8 * lap + n) for n in range(4)) for lap in range(1, 20)}
    assert len(orders) > 5
    uneven = Shuffled(BASE, 8, 3)
    assert sorted(uneven.origin(0, 8 + n) for n in range(6, 8)) == [6, 7]


def test_recycled_noise_runs_backwards_through_the_last_clip() -> None:
    """Clips of 4 share 2: 0 1 2 3, 2 3 4 5, 4 5 6 7; read backwards the first is 3 2 1 0."""
    source = Recycled(BASE, 4, 2, alpha=1.0)
    assert source.mirrors(3) == (3,)
    assert source.mirrors(4) == (4, 1)  # third place of the second clip
    assert source.mirrors(5) == (5, 0)
    assert source.mirrors(6) == (6, 3)  # third place of the third, second of 2 3 4 5
    assert source.mirrors(8) == (8, 5, 0)
    assert source.covariance(8, 0) == pytest.approx(0.5)


# ---- noise that goes along with the picture


def drift(index: int) -> Tensor | None:
    """Everything moves a place to the right each frame; frame 0 is all new."""
    return None if index == 0 else flowing(torch.tensor([0.0, -1.0]).view(2, 1, 1).expand(2, 6, 8))


def test_carried_noise_moves_with_the_flow_and_stays_white() -> None:
    source = Carried(BASE, drift)
    noise = source.clip((0, 1), range(4), (3, 6, 8))
    for before, after in itertools.pairwise(noise.unbind(1)):
        assert torch.equal(after[..., 1:], before[..., :-1])
        assert not torch.equal(after[..., :1], before[..., :1])
    assert torch.equal(source.clip((1,), (3,), (3, 6, 8))[0, 0], noise[1, 3])
    many = Carried(BASE, drift).clip(range(200), (3,), (1, 6, 8)).flatten(1)
    law = many.T @ many / len(many)
    assert (law.diagonal() - 1).abs().max() < 0.5
    assert (law - torch.diag(law.diagonal())).abs().max() < 0.4


def test_a_place_is_handed_on_once() -> None:
    """Under a flow that enlarges, two places come from one: the second is fresh."""
    columns = torch.arange(8) // 2
    origin = torch.stack([torch.arange(6)[:, None].expand(6, 8), columns.expand(6, 8)], -1)
    assert once(origin, (6, 8))[0].tolist() == [True, False] * 4
    source = Carried(BASE, lambda index: None if index == 0 else origin)
    before, after = source.clip((0,), (0, 1), (1, 6, 8))[0]
    assert torch.equal(after[..., ::2], before[..., :4])
    values = after.flatten()
    assert len(values.unique()) == len(values)
    outside = torch.full((6, 8, 2), -1)
    assert not once(outside, (6, 8)).any()


def test_what_changes_gets_fresh_noise() -> None:
    before, after = torch.zeros(3, 12, 16), torch.zeros(3, 12, 16)
    after[:, :6, :8] = 1.0
    origin = moved(before, after, (6, 8), limit=0.1)
    fresh = (origin < 0).all(-1)
    assert fresh[:3, :4].all() and fresh.sum() == 12
    one, other = Carried(BASE, lambda index: origin if index else None).clip(
        (0,), (0, 1), (1, 6, 8)
    )[0]
    assert torch.equal(one[0] == other[0], ~fresh)


# ---- in place


def test_a_model_hears_the_other_source() -> None:
    exact = GaussianModel(Matern32(), (1, 2, 2))
    model = NoiseFrom(exact, functools.partial(Mixed, share=1.0), "shared")
    asked = ClipRequest((0, 1, 2), None, Controls(), Noise(1), (1, 2, 2), (0, 4))
    expected = exact.sample(
        ClipRequest((0, 1, 2), None, Controls(), Mixed(Noise(1), 1.0), (1, 2, 2), (0, 4))
    )
    assert torch.equal(model.sample(asked).frames, expected.frames)
    assert torch.equal(model.sample_batch([asked])[0].frames, expected.frames)
    marks = {
        exact.spec.fingerprint,
        model.spec.fingerprint,
        NoiseFrom(exact, Mixed, "half").spec.fingerprint,
    }
    assert len(marks) == 3

    class Fixed:
        spec = ClipSpec(8, (1, None, None), "fixed")

    with pytest.raises(FitError, match="cannot be trained"):
        NoiseFrom(Fixed(), Mixed, "x").losses(asked, Clip(torch.zeros(2, 3, 1, 2, 2), (0, 1, 2)))


def test_sources_that_cannot_be_are_refused() -> None:
    for make in (
        lambda: Mixed(BASE, 1.5),
        lambda: Filtered(BASE, (0.0,)),
        lambda: progressive(BASE, -1),
        lambda: low_pass(BASE, 1.0),
        lambda: Shuffled(BASE, 8, 9),
        lambda: Recycled(BASE, 4, 4),
    ):
        with pytest.raises(InputError, match="try"):
            make()
