"""Objectives on any path, held against a Gaussian whose denoiser is known; views, guidance, noise taken apart."""

from __future__ import annotations

import dataclasses
import functools
import math
import types

import pytest
import torch
from family_parts import request, shaken
from torch import Tensor, nn

from longtake.clip import Clip, ClipSpec, Noise
from longtake.errors import FitError, InputError
from longtake.models.denoising import (
    PREDICTIONS,
    DenoisingModel,
    Guide,
    Objective,
    denoising_loss,
    framewise,
    led_at_first,
    min_snr,
    noisiness,
    on_context,
    on_text,
    on_text_and_context,
    on_video,
    unled,
    unseen,
    untold,
)
from longtake.models.diffusion import FlowModel, Scene
from longtake.models.noise import Mixed
from longtake.models.samplers import (
    Levels,
    Sampling,
    cosine_levels,
    ddpm_levels,
    flow_levels,
    karras_levels,
)
from longtake.nets.decomposed import Decomposed, centre
from longtake.nets.routes import Conditioned, InPlace
from longtake.nets.unet import FactorisedUNet, UNetShape, pictures

MEAN, SPREAD = 1.3, 0.7
FRAME = (4, 4, 6)
SPEC = ClipSpec(8, (4, None, None), "test", tracks={"text": 3})
PATHS: dict[str, Levels] = {
    "cosine": cosine_levels(40),
    "ddpm": ddpm_levels(40),
    "flow": flow_levels(40),
    "exploding": karras_levels(40),
}


class Exact(nn.Module):
    """Predicts what the best denoiser of independent N(MEAN, SPREAD^2) would."""

    shape = types.SimpleNamespace(text=3)

    def __init__(self, predicts: str, path: Levels) -> None:
        super().__init__()
        self.predicts = predicts
        self.by_noisiness = {round(noisiness(level), 5): level for level in path}
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x, level, observed, times, text, clean):
        alpha, sigma = self.by_noisiness[round(float(level.max()), 5)]
        x = x * math.hypot(alpha, sigma)
        x0 = MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (x - alpha * MEAN)
        p, q = PREDICTIONS[self.predicts](alpha, sigma)
        return self.gain * (p * x0 + q * (x - alpha * x0) / sigma)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_every_prediction_follows_every_path_to_the_same_film(predicts: str, path: str) -> None:
    levels = PATHS[path]
    if levels[0][0] == 0 and predicts == "eps":
        with pytest.raises(InputError, match="says nothing"):
            DenoisingModel(Exact(predicts, levels), SPEC, levels, Objective(predicts))
        return
    model = DenoisingModel(Exact(predicts, levels), SPEC, levels, Objective(predicts, levels))
    asked = request((0, 1, 2), frame=FRAME)
    made = model.sample(asked).frames
    drawn = asked.noise.clip((0,), (0, 1, 2), FRAME)
    if path == "exploding":  # noise of the first level's spread
        model = DenoisingModel(Exact("x0", levels), SPEC, levels, Objective("x0", levels))
        torch.testing.assert_close(made, model.sample(asked).frames, atol=1e-3, rtol=1e-3)
        return
    torch.testing.assert_close(made, MEAN + SPREAD * drawn, atol=0.12, rtol=0)


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_what_a_net_should_find_gives_the_picture_back(predicts: str) -> None:
    clean, noise = torch.randn(5), torch.randn(5)
    objective = Objective(predicts)
    for level in (*cosine_levels(5)[1:-1], *flow_levels(5)[1:-1], *karras_levels(5)[2:-1]):
        x = level[0] * clean + level[1] * noise
        found = objective.clean(x, objective.aim(clean, noise, level), level)
        torch.testing.assert_close(found, clean, atol=1e-3, rtol=1e-3)


def test_ddpm_levels_are_the_published_ones() -> None:
    path = ddpm_levels(1000)
    assert path[-2][0] ** 2 == pytest.approx(1 - 1e-4)
    assert path[0][0] ** 2 == pytest.approx(4.0358e-5, rel=1e-4)  # Ho et al.'s last alpha-bar
    assert ddpm_levels(50)[0] == path[0] and set(ddpm_levels(50)) <= set(path)
    stable = ddpm_levels(1000, low=0.00085, high=0.012, root=True)
    assert stable[0][0] ** 2 == pytest.approx(0.0047, rel=0.01)  # Stable Diffusion's
    for wrong in ({"steps": 1001}, {"steps": 5, "high": 1.0}, {"steps": 5, "low": 0.0}):
        with pytest.raises(InputError):
            ddpm_levels(**wrong)


def scene(*flags: int, rows: int = 2) -> Scene:
    g = torch.Generator().manual_seed(4)
    t = len(flags)
    return Scene(
        torch.randn(rows, t, *FRAME, generator=g),
        torch.tensor([flags]).bool().expand(rows, -1),
        torch.arange(float(t)).expand(rows, -1),
        torch.randn(rows, t, 3, generator=g),
        {"pose": torch.randn(rows, t, 2, generator=g)},
    )


class Told(nn.Module):
    """Finds what it was told to, whatever it is shown."""

    shape = types.SimpleNamespace(text=3)

    def __init__(self, found: Tensor) -> None:
        super().__init__()
        self.found = nn.Parameter(found)
        self.calls: list[dict[str, Tensor]] = []

    def forward(self, x, level, observed, times, text, clean, **tracks):
        self.calls.append({"x": x, "level": level, "text": text, **tracks})
        return self.found


def test_the_loss_is_of_targets_only_and_zero_at_the_truth() -> None:
    shown, noise = scene(1, 0, 0), torch.randn(2, 3, *FRAME)
    levels = [(0.6, 0.8), (0.8, 0.6)]
    for predicts in PREDICTIONS:
        objective = Objective(predicts, weight=lambda alpha, sigma: alpha)
        aim = torch.stack([objective.aim(shown.latents[n], noise[n], levels[n]) for n in range(2)])
        aim[:, 0] = 1e3  # what it finds of observed frames is its own business
        net = Told(aim)
        assert denoising_loss(net, objective, shown, noise, levels).abs().max() == 0
        net = Told(aim + 2)
        loss = denoising_loss(net, objective, shown, noise, levels)
        torch.testing.assert_close(loss.detach(), torch.tensor([0.6, 0.8]) * 4)
        loss.sum().backward()
        assert net.found.grad[:, 0].abs().max() == 0 < net.found.grad[:, 1:].abs().min()
        (call,) = net.calls
        assert torch.equal(call["x"][:, 0], shown.latents[:, 0]) and torch.equal(
            call["pose"], shown.tracks["pose"]
        )
        assert call["level"][:, 0].abs().max() == 0
        assert call["level"][:, 1].tolist() == pytest.approx([noisiness(level) for level in levels])


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_the_best_denoiser_has_the_least_loss(predicts: str) -> None:
    path = (ddpm_levels(3)[1], (1.0, 0.0))
    net = Exact(predicts, path)
    truth = Clip(MEAN + SPREAD * torch.randn(64, 4, *FRAME), (0, 1, 2, 3))
    asked = request((0, 1, 2, 3), samples=tuple(range(64)), frame=FRAME)
    model = DenoisingModel(net, SPEC, path, Objective(predicts, path))

    def loss(gain: float) -> float:
        net.gain.data.fill_(gain)
        return float(model.losses(asked, truth)["denoise"].mean().detach())

    assert loss(1.0) < min(loss(0.9), loss(1.1))


def test_min_snr_weights() -> None:
    weight = min_snr(5.0)
    assert weight(0.6, 0.8) == pytest.approx(0.36)  # v's own weight, alpha^2
    assert weight(math.sqrt(0.9), math.sqrt(0.1)) == pytest.approx(0.5)


# ---- views and guides


def test_views_leave_out_what_they_say() -> None:
    full = scene(1, 0, 0, 1)
    assert not untold(full).text.any() and untold(full).latents is full.latents
    alone = unseen(full)
    assert not alone.observed.any() and torch.equal(alone.latents, full.latents[:, 1:3])
    assert torch.equal(alone.tracks["pose"], full.tracks["pose"][:, 1:3])
    free = unled(full)
    assert free.observed[0].tolist() == [True, False, False]
    assert torch.equal(free.times, full.times[:, :3])
    apart = framewise(full)
    assert apart.latents.shape == (4, 1, *FRAME) and apart.tracks["pose"].shape == (4, 1, 2)
    assert torch.equal(apart.latents.flatten(0, 1), full.latents[:, 1:3].flatten(0, 1))
    before = scene(1, 1, 0)
    assert torch.equal(unled(before).latents, before.latents)


def net(time: bool = True) -> Conditioned:
    torch.manual_seed(0)
    shape = UNetShape(channels=4, extra=1, text=3, widths=(16,), attends=(False,), head=16)
    return shaken(Conditioned(FactorisedUNet(shape) if time else pictures(shape), InPlace()), 0.1)


def films(made: Conditioned, guide: Guide, targets=(1, 2), observed=(0, 3), prompt="abc") -> Tensor:
    g = torch.Generator().manual_seed(5)
    frames = torch.randn(1, 4, *FRAME, generator=g)
    seen = Clip(frames, (0, 1, 2, 3)).pick(observed) if observed else None
    model = DenoisingModel(made, SPEC, flow_levels(3), guide=guide)
    return model.sample(request(targets, seen, frame=FRAME, prompt=prompt)).frames


def test_guides_add_what_their_views_lack() -> None:
    made = net()
    plain = films(made, Guide())
    for guide in (
        on_text(1.0),
        on_context(1.0),
        on_video(1.0),
        on_text_and_context(1.0, 1.0),
        led_at_first(0.0),
    ):
        torch.testing.assert_close(films(made, guide), plain, atol=1e-4, rtol=1e-4)
    for guide in (
        on_text(3.0),
        on_context(3.0),
        on_video(3.0),
        on_text_and_context(1.0, 2.0),
        led_at_first(1.0),
    ):
        assert not torch.allclose(films(made, guide), plain, atol=1e-3)
    blind = films(made, on_context(0.0))
    torch.testing.assert_close(blind, films(made, Guide(), observed=()), atol=1e-4, rtol=1e-4)
    free = films(made, led_at_first(1e9))  # heard at no level but the first, where alpha is 0
    assert not torch.allclose(free, plain, atol=1e-3)
    both = on_text_and_context(0.0, 0.0)
    silent = films(made, Guide((untold,)), observed=())
    torch.testing.assert_close(films(made, both), silent, atol=1e-4, rtol=1e-4)


def test_a_net_of_pictures_hears_nothing_of_guidance_by_time() -> None:
    made = net(time=False)
    torch.testing.assert_close(
        films(made, on_video(5.0)), films(made, Guide()), atol=1e-3, rtol=1e-3
    )


def test_batches_trainings_and_refusals() -> None:
    model = DenoisingModel(net(), SPEC, cosine_levels(3), Objective("v"), rule="ddim")
    asked = [request((1, 2), frame=FRAME), request((5, 9), frame=FRAME, prompt="xyz")]
    for one, alone in zip(model.sample_batch(asked), asked, strict=True):
        torch.testing.assert_close(one.frames, model.sample(alone).frames, atol=1e-4, rtol=1e-4)
    truth = Clip(torch.randn(1, 2, *FRAME), (1, 2))
    model.losses(asked[0], truth)["denoise"].mean().backward()
    assert all(p.grad is not None for p in model.net.core.leave.parameters())
    with pytest.raises(FitError, match="9 frames"):
        model.sample(request(tuple(range(9)), frame=FRAME))
    with pytest.raises(InputError, match="unknown prediction"):
        Objective("epsilon")


def test_control_tracks_reach_the_net_if_the_spec_names_them() -> None:
    class Posed:
        def at(self, indices):
            return {
                "pose": torch.tensor([[float(i)] for i in indices]),
                "other": torch.zeros(len(indices), 1),
            }

    for kind in (FlowModel, DenoisingModel):
        told = Told(torch.zeros(2, 2, *FRAME))
        spec = dataclasses.replace(SPEC, tracks={"pose": 1})
        way = Sampling(steps=1) if kind is FlowModel else flow_levels(1)
        asked = dataclasses.replace(request((3, 5), frame=FRAME, samples=(0, 1)), controls=Posed())
        kind(told, spec, way).sample(asked)
        (call,) = told.calls
        assert call["pose"][1].tolist() == [[3.0], [5.0]] and "other" not in call


# ---- base and residual


def test_noise_taken_apart_is_put_together_again() -> None:
    """With nets that know b and r, eps is exactly the mixed noise; and neither is shown more than it may."""
    shown, level = scene(1, 0, 0, 0), (0.6, 0.8)
    assert centre(shown.observed.float()).tolist() == [2, 2]
    source = Mixed(Noise(1), 0.4, range(2, 100, 4))
    b = source.base.clip((0, 1), (-1,), FRAME, "start in common")
    r = source.base.clip((0, 1), (0, 1, 2, 3), FRAME)
    noise = source.clip((0, 1), (0, 1, 2, 3), FRAME)
    base, residual = Told(b), Told(r)
    whole = Decomposed(base, residual, 0.4)
    objective = Objective("eps", ddpm_levels(10))
    loss = denoising_loss(whole, objective, shown, noise, [level, level])
    assert loss.abs().max() < 1e-9
    assert torch.equal(base.calls[0]["x"][:, 0], 0.6 * shown.latents[:, 2] + 0.8 * noise[:, 2])
    assert base.calls[0]["pose"].shape == (2, 1, 2)
    seen = residual.calls[0]["x"]
    torch.testing.assert_close(seen[:, 0], shown.latents[:, 0])  # observed: nothing to take out
    torch.testing.assert_close(seen[:, 2], 0.6 * shown.latents[:, 2])  # the middle frame: all of it
    expected = 0.6 * shown.latents[:, 1] + 0.8 * math.sqrt(0.6) * r[:, 1]
    torch.testing.assert_close(seen[:, 1], expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="share"):
        Decomposed(base, residual, 1.0)


def test_a_decomposed_net_samples_under_its_noise() -> None:
    parts = [net(time=False), net()]
    model = DenoisingModel(
        Decomposed(*parts), SPEC, ddpm_levels(3), Objective("eps", ddpm_levels(100))
    )
    asked = request((0, 1, 2), frame=FRAME)
    heard = dataclasses.replace(
        asked, noise=functools.partial(Mixed, share=0.5, whole=range(1, 99, 3))(Noise(1))
    )
    assert model.sample(heard).frames.isfinite().all()
    truth = Clip(torch.randn(1, 3, *FRAME), (0, 1, 2))
    model.losses(heard, truth)["denoise"].mean().backward()
    assert all(part.core.leave.weight.grad.any() for part in parts)
