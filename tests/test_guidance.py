"""Guidance on Gaussians, where the guided score is known, and the wrapper that disturbs what is seen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec, Noise, SamplesBatches
from longtake.controls import Controls
from longtake.errors import FitError, InputError
from longtake.models.gaussian import GaussianModel, Matern32
from longtake.models.guidance import against, chained, during, guided, projected, rescaled, spread
from longtake.models.samplers import Denoise, cosine_levels, flow_levels, heun, karras_levels
from longtake.models.wrappers import NoiseAugmented, PictureFirst

Law = tuple[float, float]  # mean and variance of x0
ALONE, SEEN, TOLD = (0.5, 2.0), (-0.4, 0.9), (1.3, 0.5)


def best(law: Law) -> Denoise:
    """The exact denoiser of a Gaussian x0."""
    mean, variance = law

    def denoise(x: Tensor, alpha: float, sigma: float) -> Tensor:
        gain = alpha * variance / (alpha**2 * variance + sigma**2)
        return mean + gain * (x - alpha * mean)

    return denoise


def log_density(law: Law, x: Tensor, alpha: float, sigma: float) -> Tensor:
    """Of x at a level, up to a constant."""
    return -((x - alpha * law[0]) ** 2) / (2 * (alpha**2 * law[1] + sigma**2))


def grid() -> Tensor:
    return torch.linspace(-4, 4, 33, dtype=torch.float64)


LEVELS = [*flow_levels(5)[:-1], *cosine_levels(4)[:-1], *karras_levels(4)[:-1]]


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0, 7.5])
def test_guided_score_is_that_of_the_sharpened_density(scale: float) -> None:
    denoise = guided([best(ALONE), best(TOLD)], chained(scale))
    for alpha, sigma in LEVELS:
        x = grid().requires_grad_()
        # log p(x) + scale * log p(prompt | x), the second by Bayes' rule.
        plain, told = (log_density(law, x, alpha, sigma) for law in (ALONE, TOLD))
        (score,) = torch.autograd.grad((plain + scale * (told - plain)).sum(), x)
        ours = (alpha * denoise(x, alpha, sigma) - x) / sigma**2
        assert torch.allclose(ours, score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rule", [against, chained, spread])
def test_two_conditions_tilt_the_density_twice(rule: type) -> None:
    first, second = 1.8, 2.5
    denoise = guided([best(ALONE), best(SEEN), best(TOLD)], rule(first, second))
    for alpha, sigma in LEVELS:
        x = grid().requires_grad_()
        alone, seen, told = (log_density(law, x, alpha, sigma) for law in (ALONE, SEEN, TOLD))
        if rule is against:
            tilted = told + (first - 1) * (told - alone) + (second - 1) * (told - seen)
        else:
            base = seen if rule is chained else alone
            tilted = alone + first * (seen - alone) + second * (told - base)
        (score,) = torch.autograd.grad(tilted.sum(), x)
        ours = (alpha * denoise(x, alpha, sigma) - x) / sigma**2
        assert torch.allclose(ours, score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
def test_guided_samples_of_equal_spread_move_along_the_line_of_means(scale: float) -> None:
    denoise = guided([best((0.5, 0.8)), best((1.5, 0.8))], chained(scale))
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    end = heun(denoise, x, flow_levels(200))
    # With equal spreads the tilted density is a Gaussian at every level, so the flow is known.
    assert torch.allclose(end, 0.5 + scale + math.sqrt(0.8) * x, atol=1e-3)


def test_scales_of_one_change_nothing() -> None:
    alone, seen, told = (best(law)(grid(), 0.6, 0.4) for law in (ALONE, SEEN, TOLD))
    assert torch.allclose(chained(1.0, 1.0)([alone, seen, told]), told)
    assert torch.equal(against(1.0, 1.0)([alone, seen, told]), told)
    assert torch.allclose(against(2.5)([alone, told]), chained(2.5)([alone, told]))
    assert torch.allclose(projected(1.0)([alone[None], told[None]]), told[None])
    assert torch.allclose(spread(0.0, 1.0)([alone, seen, told]), told)


def test_a_rule_counts_its_branches() -> None:
    x = grid()[None]
    for rule, count in (
        (chained(2.0), 3),
        (against(2.0), 3),
        (spread(2.0, 1.0), 2),
        (projected(2.0), 1),
    ):
        with pytest.raises(InputError, match=f"{count} branches"):
            rule([x] * count)


def video(seed: int) -> Tensor:
    return torch.randn(3, 4, 2, 5, 5, generator=torch.Generator().manual_seed(seed))


def test_projection_pushes_across_the_estimate_only() -> None:
    less, full = video(1), video(2) + 1.0
    push = projected(5.0)([less, full]) - full
    along = (push * full).sum((1, 2, 3, 4)) / full.square().sum((1, 2, 3, 4))
    assert along.abs().max() < 1e-5
    assert push.abs().mean() > 1
    whole = projected(5.0, parallel=1.0)([less, full])
    assert torch.allclose(whole, chained(5.0)([less, full]), atol=1e-5)
    half = projected(5.0, parallel=0.5)([less, full])
    assert torch.allclose(half, (full + push + whole) / 2, atol=1e-5)


def test_rescaling_gives_back_the_spread_of_the_full_estimate() -> None:
    less, full = video(3), 0.3 * video(4)
    wild = chained(6.0)([less, full])
    calm = rescaled(chained(6.0), 1.0)([less, full])
    dims = (1, 2, 3, 4)
    assert torch.all(wild.std(dims) > 3 * full.std(dims))
    assert torch.allclose(calm.std(dims), full.std(dims), rtol=1e-5)
    assert torch.allclose(rescaled(chained(6.0), 0.0)([less, full]), wild)
    between = rescaled(chained(6.0), 0.5)([less, full])
    assert torch.allclose(between, (wild + calm) / 2, atol=1e-5)
    with pytest.raises(InputError, match="amount"):
        rescaled(chained(6.0), 1.5)


def test_rescaling_is_theirs() -> None:
    flux = pytest.importorskip("diffusers.guiders.guider_utils")
    theirs = flux.rescale_noise_cfg
    less, full = video(5), video(6)
    wild = chained(4.0)([less, full])
    ours = rescaled(chained(4.0), 0.7)([less, full])
    assert torch.allclose(ours, theirs(wild, full, 0.7), atol=1e-5)


def test_an_interval_chooses_by_noise() -> None:
    def tag(value: float) -> Denoise:
        return lambda x, alpha, sigma: torch.full_like(x, value)

    denoise = during(tag(1.0), tag(0.0), low=0.5, high=2.0)
    levels = [(0.0, 1.0), (0.3, 0.7), (1 / 3, 2 / 3), (0.5, 0.5), (2 / 3, 1 / 3), (1.0, 0.01)]
    x = torch.zeros(1)
    assert [float(denoise(x, *level)) for level in levels] == [0, 0, 1, 1, 0, 0]
    always = during(tag(1.0), tag(0.0))
    assert [float(always(x, *level)) for level in levels] == [1] * 6
    with pytest.raises(InputError, match="interval"):
        during(tag(1.0), tag(0.0), low=2.0, high=1.0)


# ---- noise on observed frames ----


class Echo:
    """Answers with the last frame it saw, and remembers what it was asked."""

    spec = ClipSpec(window=8, frame=(2, None, None), fingerprint="echo")

    def __init__(self) -> None:
        self.asked: list[ClipRequest] = []

    def sample(self, request: ClipRequest) -> Clip:
        self.asked.append(request)
        assert request.observed is not None
        last = request.observed.frames[:, -1:]
        return Clip(last.expand(-1, len(request.targets), -1, -1, -1), request.targets)

    def losses(self, request: ClipRequest, truth: Clip) -> dict[str, Tensor]:
        return {"far": (self.sample(request).frames - truth.frames).square().mean((1, 2, 3, 4))}


class Batched(Echo):
    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        self.together = len(requests)
        return [self.sample(request) for request in requests]


def asked(at: tuple[int, ...] = (2, 3), samples: tuple[int, ...] = (0, 1)) -> ClipRequest:
    frames = torch.ones(len(samples), len(at), 2, 16, 16)
    seen = Clip(frames, at, {"memory": torch.zeros(1)})
    return ClipRequest((4, 5), seen, Controls(), Noise(9), (2, 16, 16), samples)


def seen_by(model: Echo) -> Clip:
    observed = model.asked[-1].observed
    assert observed is not None
    return observed


def test_observed_frames_are_disturbed_by_the_amount() -> None:
    echo = Echo()
    request = asked()
    NoiseAugmented(echo, 0.25).sample(request)
    seen = seen_by(echo)
    away = seen.frames - 1
    assert away.std() == pytest.approx(0.25, rel=0.05)
    assert (seen.at, [*seen.carry]) == ((2, 3), ["memory"])
    assert request.observed is not None and request.observed.frames.eq(1).all()
    assert echo.asked[-1] == dataclasses.replace(request, observed=seen)


def test_a_frame_is_disturbed_alike_in_every_call() -> None:
    echo = Echo()
    model = NoiseAugmented(echo, 0.25)
    model.sample(asked((2, 3)))
    first = seen_by(echo).frames
    model.sample(asked((3, 7), samples=(1,)))
    assert seen_by(echo).frames[0, 0].equal(first[1, 1])
    assert not first[0, 0].allclose(first[0, 1])  # another index
    assert not first[0, 1].allclose(first[1, 1])  # another sample


def test_no_amount_and_nothing_seen_leave_the_request_alone() -> None:
    blind = dataclasses.replace(asked(), observed=None)
    assert NoiseAugmented(Echo(), 0.5).asked(blind) is blind
    request = asked()
    assert NoiseAugmented(Echo(), 0.0).asked(request) is request
    with pytest.raises(InputError, match="amount"):
        NoiseAugmented(Echo(), -0.1)


def test_the_wrapper_batches_trains_and_names_itself() -> None:
    echo, batched = Echo(), Batched()
    requests = [asked((1, 2)), asked((2, 3))]
    alone = NoiseAugmented(echo, 0.25).sample_batch(requests)
    wrapped = NoiseAugmented(batched, 0.25)
    assert isinstance(wrapped, SamplesBatches)
    for one, other in zip(alone, wrapped.sample_batch(requests), strict=True):
        assert one.frames.equal(other.frames)
    assert batched.together == 2
    truth = Clip(torch.ones(2, 2, 2, 16, 16), (4, 5))
    loss = wrapped.losses(asked(), truth)["far"]
    assert torch.allclose(loss, torch.full((2,), 0.25**2), rtol=0.2)
    prints = {NoiseAugmented(echo, a).spec.fingerprint for a in (0.1, 0.2)} | {"echo"}
    assert len(prints) == 3
    assert wrapped.spec.window == 8

    class Fixed:
        spec = Echo.spec

        def sample(self, request: ClipRequest) -> Clip:
            raise NotImplementedError

    with pytest.raises(FitError, match="Fixed cannot be trained"):
        NoiseAugmented(Fixed(), 0.1).losses(asked(), truth)


def sought(targets: tuple[int, ...], observed: Clip | None = None) -> ClipRequest:
    return ClipRequest(targets, observed, Controls(), Noise(2), (1, 2, 2), samples=(0, 1))


@dataclasses.dataclass
class Counted:
    """A model that remembers what it was asked."""

    model: GaussianModel
    calls: list[ClipRequest] = dataclasses.field(default_factory=list)

    @property
    def spec(self) -> ClipSpec:
        return self.model.spec

    def sample(self, request: ClipRequest) -> Clip:
        self.calls.append(request)
        return self.model.sample(request)


@pytest.mark.parametrize("targets", [(3, 4, 5, 9), (5,), (9, 4, 3)])
def test_a_picture_first_leaves_an_exact_law_as_it_is(targets: tuple[int, ...]) -> None:
    exact = GaussianModel(Matern32())
    picture, rest = Counted(exact), Counted(exact)
    made = PictureFirst(picture, rest).sample(sought(targets))
    assert made.at == targets
    whole = exact.sample(sought(tuple(sorted(targets)))).pick(targets)
    assert torch.allclose(made.frames, whole.frames, atol=1e-4)
    assert [call.targets for call in picture.calls] == [(min(targets),)]
    assert len(rest.calls) == (len(targets) > 1)


def test_what_is_observed_or_started_takes_one_call() -> None:
    exact = GaussianModel(Matern32())
    picture, rest = Counted(exact), Counted(exact)
    model = PictureFirst(picture, rest)
    seen = exact.sample(sought((0, 1)))
    model.sample(sought((2, 3), seen))
    model.sample_batch([sought((2, 3), seen), sought((4, 5), seen)])
    model.sample(dataclasses.replace(sought((0, 1)), start=seen, strength=0.5))
    assert not picture.calls and len(rest.calls) == 4
    alone = model.sample(sought((0, 1)))
    together = model.sample_batch([sought((0, 1)), sought((2, 3), seen)])[0]
    assert torch.equal(alone.frames, together.frames)
    assert model.spec.fingerprint != exact.spec.fingerprint
