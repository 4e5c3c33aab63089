"""Samplers against known mathematics, then against the schedulers of diffusers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from longtake.clip import Noise
from longtake.errors import InputError
from longtake.models.samplers import (
    Draw,
    Level,
    Levels,
    Sampler,
    cosine_levels,
    ddim,
    dpmpp_2m,
    euler,
    flow_levels,
    heun,
    karras_levels,
    sampler,
    tail,
)

WEIGHTS = torch.tensor([0.3, 0.45, 0.25], dtype=torch.float64)
MEANS = torch.tensor([-1.5, 0.2, 1.4], dtype=torch.float64)
SPREADS = torch.tensor([0.45, 0.6, 0.35], dtype=torch.float64)
PATHS = {
    "flow": flow_levels,
    "shifted flow": functools.partial(flow_levels, shift=3.0),
    "cosine": cosine_levels,
    "karras": functools.partial(karras_levels, sigma_min=0.01, sigma_max=20.0),
}
ODE_SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "ddim": functools.partial(ddim, eta=0.0),
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
}


def mixture(x: Tensor, alpha: float, sigma: float) -> Tensor:
    """The best estimate of x0 where x0 is the mixture above, exactly."""
    spread = (alpha * SPREADS) ** 2 + sigma**2
    away = x[..., None] - alpha * MEANS
    share = torch.softmax(WEIGHTS.log() - spread.log() / 2 - away**2 / (2 * spread), dim=-1)
    return (share * (MEANS + alpha * SPREADS**2 / spread * away)).sum(-1)


def below(x: Tensor, alpha: float, sigma: float) -> Tensor:
    """The mixture's distribution function at a level."""
    spread = ((alpha * SPREADS) ** 2 + sigma**2).sqrt()
    return (WEIGHTS * torch.special.ndtr((x[..., None] - alpha * MEANS) / spread)).sum(-1)


def transported(x: Tensor, alpha: float, sigma: float, to: Level = (1.0, 0.0)) -> Tensor:
    """Where the probability flow takes x: in one dimension it keeps every quantile."""
    wanted = below(x, alpha, sigma)
    low, high = torch.full_like(x, -9.0), torch.full_like(x, 9.0)
    for _ in range(60):
        middle = (low + high) / 2
        less = below(middle, *to) < wanted
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    return (low + high) / 2


def begin(levels: Levels) -> Tensor:
    """Points spread over the noisiest level."""
    return levels[0][1] * torch.linspace(-1.8, 1.8, 25, dtype=torch.float64)


def slope(method: Sampler, path: Callable[[int], Levels], sizes: tuple[int, ...]) -> float:
    """Order of convergence: the line of least squares in the log-log plane."""
    errors = []
    for steps in sizes:
        levels = path(steps)
        x = begin(levels)
        errors.append((method(mixture, x, levels) - transported(x, *levels[0], levels[-1])).abs())
    xs = torch.tensor(sizes, dtype=torch.float64).log()
    ys = torch.stack(errors).mean(1).log()
    xs, ys = xs - xs.mean(), ys - ys.mean()
    return float(-(xs * ys).sum() / (xs * xs).sum())


def stream(seed: int, *shape: int) -> Draw:
    """Fresh noise at every call, whatever its use."""
    generator = torch.Generator().manual_seed(seed)
    return lambda use: torch.randn(*shape, generator=generator, dtype=torch.float64)


def inner_flow(steps: int) -> Levels:
    return [(1 - t, t) for t in torch.linspace(0.95, 0.05, steps + 1).double().tolist()]


def inner_cosine(steps: int) -> Levels:
    return [(math.cos(a), math.sin(a)) for a in torch.linspace(1.5, 0.1, steps + 1).tolist()]


def inner_karras(steps: int) -> Levels:
    return karras_levels(steps + 1, sigma_min=0.05, sigma_max=10.0)[:-1]


@pytest.mark.parametrize("path", [inner_flow, inner_cosine, inner_karras])
@pytest.mark.parametrize(
    ("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)]
)
def test_error_falls_with_the_order_of_the_method(
    name: str, order: int, path: Callable[[int], Levels]
) -> None:
    found = slope(ODE_SAMPLERS[name], path, (64, 128, 256, 512))
    assert found == pytest.approx(order, abs=0.12)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("euler", 0.95, 1.05), ("heun", 1.9, 2.1), ("dpmpp_2m", 1.5, 1.9)],  # log(n) / n^2: below 2
)
def test_order_over_a_whole_path(name: str, least: float, most: float, shift: float) -> None:
    path = functools.partial(flow_levels, shift=shift)
    assert least < slope(ODE_SAMPLERS[name], path, (64, 128, 256, 512)) < most


@pytest.mark.parametrize(("offset", "order"), [(0.0, 2), (0.008, 1)])
def test_the_cosine_offset_costs_an_order_at_many_steps(offset: float, order: int) -> None:
    path = functools.partial(cosine_levels, offset=offset)
    assert slope(heun, path, (256, 768)) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("path", PATHS)
def test_second_order_beats_first_at_few_steps(path: str) -> None:
    levels = PATHS[path](16)
    x = begin(levels)
    end = transported(x, *levels[0])
    error = {n: (m(mixture, x, levels) - end).abs().mean() for n, m in ODE_SAMPLERS.items()}
    assert error["heun"] < error["euler"] / 2
    assert error["dpmpp_2m"] < error["euler"] / 2


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [*ODE_SAMPLERS, "fresh"])
def test_a_point_mass_is_reached_exactly(name: str, path: str) -> None:
    method = {**ODE_SAMPLERS, "fresh": ddim}[name]
    levels = PATHS[path](7)
    point = torch.tensor([[0.7, -3.0, 11.0]], dtype=torch.float64)
    draw = stream(1, *point.shape)
    x = levels[0][0] * point + levels[0][1] * draw("start")
    end = method(lambda x, alpha, sigma: point, x, levels, draw)
    assert torch.allclose(end, point, rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_fresh_noise_keeps_the_distribution(eta: float, path: str) -> None:
    draw = stream(3, 20000)
    levels = PATHS[path](60)
    alpha, sigma = levels[0]
    start = sigma * draw("start") + alpha * (WEIGHTS * MEANS).sum()
    end = ddim(mixture, start, levels, draw, eta=eta).sort().values
    there = below(end, 1.0, 0.0)
    here = torch.linspace(0, 1, len(end), dtype=torch.float64)
    # Kolmogorov-Smirnov distance; 0.01 is chance at 20000 points, the rest is for 60 steps.
    assert (there - here).abs().max() < 0.03


def test_stochastic_steps_ask_noise_by_name_and_need_it() -> None:
    uses: list[str] = []

    def draw(use: str) -> Tensor:
        uses.append(use)
        return torch.ones(2, dtype=torch.float64)

    ddim(mixture, torch.zeros(2, dtype=torch.float64), flow_levels(4), draw)
    assert uses == ["level 1", "level 2", "level 3"]  # the last leads to no noise at all
    with pytest.raises(InputError, match="draw"):
        ddim(mixture, torch.zeros(2), flow_levels(4))
    with pytest.raises(InputError, match="eta=2"):
        ddim(mixture, torch.zeros(2), flow_levels(4), draw, eta=2)


def test_noise_of_a_frame_is_its_own_whoever_samples_beside_it() -> None:
    noise, levels, frame = Noise(5), flow_levels(6), (1, 2, 2)

    def film(samples: tuple[int, ...], at: tuple[int, ...]) -> Tensor:
        def draw(use: str) -> Tensor:
            return noise.clip(samples, at, frame, use).double()

        return ddim(mixture, draw("start"), levels, draw)

    together = film((0, 1), (3, 4, 5))
    assert torch.allclose(together[1:, 1:2], film((1,), (4,)), rtol=0, atol=1e-12)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize("name", ODE_SAMPLERS)
def test_levels_must_lose_noise(name: str) -> None:
    levels = flow_levels(4)
    with pytest.raises(InputError, match="not less noisy"):
        ODE_SAMPLERS[name](mixture, torch.zeros(2), levels[::-1])
    assert ODE_SAMPLERS[name](mixture, torch.ones(2), levels[-1:]).equal(torch.ones(2))


def test_evaluations_a_sampler_spends() -> None:
    calls = {}
    for name, method in ODE_SAMPLERS.items():
        seen: list[tuple[float, float]] = []

        def counted(x: Tensor, alpha: float, sigma: float, seen: list = seen) -> Tensor:
            seen.append((alpha, sigma))
            return mixture(x, alpha, sigma)

        method(counted, torch.zeros(2, dtype=torch.float64), cosine_levels(5))
        assert all(sigma > 0 for _, sigma in seen)
        calls[name] = len(seen)
    assert calls == {"euler": 5, "ddim": 5, "dpmpp_2m": 5, "heun": 9}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_levels_fall_from_noise_to_none(path: str, steps: int) -> None:
    levels = PATHS[path](steps)
    assert len(levels) == steps + 1
    assert levels[-1] == (1.0, 0.0)
    ratios = [alpha / sigma for alpha, sigma in levels[:-1]]
    assert ratios == sorted(set(ratios))
    assert levels[0] == ((1.0, pytest.approx(20.0)) if path == "karras" else (0.0, 1.0))


def test_levels_lie_on_their_paths() -> None:
    for alpha, sigma in flow_levels(9, shift=5.0):
        assert alpha + sigma == pytest.approx(1)
    for alpha, sigma in cosine_levels(9):
        assert alpha**2 + sigma**2 == pytest.approx(1)
    assert flow_levels(2, shift=3.0)[1] == pytest.approx((0.25, 0.75))
    assert cosine_levels(2, offset=0.0)[1] == pytest.approx((math.sqrt(0.5), math.sqrt(0.5)))
    for steps, name in ((0, flow_levels), (0, cosine_levels), (-1, karras_levels)):
        with pytest.raises(InputError, match="1 or more"):
            name(steps)
    with pytest.raises(InputError, match="shift"):
        flow_levels(3, shift=0)
    with pytest.raises(InputError, match="sigma_min"):
        karras_levels(3, sigma_min=2, sigma_max=1)


def test_tail_is_the_last_part() -> None:
    levels = flow_levels(10)
    assert tail(levels, 1.0) == levels
    assert tail(levels, 0.7) == levels[3:]
    assert tail(levels, 0.0) == ((1.0, 0.0),)
    with pytest.raises(InputError, match="strength"):
        tail(levels, 1.5)


def test_a_tail_from_true_frames_ends_in_the_distribution() -> None:
    levels = tail(flow_levels(80), 0.6)
    alpha, sigma = levels[0]
    there = torch.linspace(-2, 2, 17, dtype=torch.float64)
    noise = torch.linspace(1.5, -1.5, 17, dtype=torch.float64)
    x = alpha * there + sigma * noise
    assert torch.allclose(heun(mixture, x, levels), transported(x, alpha, sigma), atol=2e-3)


def test_samplers_by_name() -> None:
    assert sampler("heun") is heun
    with pytest.raises(InputError, match="try dpmpp_2m"):
        sampler("dpm_2m")


# ---- parity with diffusers: the same rule written by others ----


def start() -> Tensor:
    return torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))


def clean(x: Tensor, alpha: float, sigma: float) -> Tensor:
    return mixture(x.double(), float(alpha), float(sigma)).float()


def close(ours: Tensor, theirs: Tensor) -> None:
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=2e-5), (ours - theirs).abs().max()


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_is_theirs_on_the_flow(shift: float) -> None:
    schedulers = pytest.importorskip("diffusers.schedulers")
    theirs = schedulers.FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(sigmas=[1 - n / 12 for n in range(12)])
    levels = flow_levels(12, shift)
    assert theirs.sigmas.tolist() == pytest.approx([sigma for _, sigma in levels], abs=1e-6)
    x = start()
    for (alpha, sigma), time in zip(levels, theirs.timesteps, strict=False):
        velocity = (x - clean(x, alpha, sigma)) / sigma
        x = theirs.step(velocity, time, x).prev_sample
    close(euler(clean, start(), levels), x)


def test_heun_is_theirs_on_the_flow() -> None:
    schedulers = pytest.importorskip("diffusers.schedulers")
    theirs = schedulers.FlowMatchHeunDiscreteScheduler()
    theirs.set_timesteps(9)
    x = start()
    for time in theirs.timesteps:
        sigma = float(time) / 1000
        x = theirs.step((x - clean(x, 1 - sigma, sigma)) / sigma, time, x).prev_sample
    sigmas = [*dict.fromkeys(theirs.sigmas.tolist())]
    close(heun(clean, start(), [(1 - sigma, sigma) for sigma in sigmas]), x)


@pytest.mark.parametrize(
    ("method", "name"), [(euler, "EulerDiscreteScheduler"), (heun, "HeunDiscreteScheduler")]
)
def test_euler_and_heun_are_theirs_on_the_exploding_path(method: Sampler, name: str) -> None:
    theirs = getattr(pytest.importorskip("diffusers.schedulers"), name)(use_karras_sigmas=True)
    theirs.set_timesteps(10)
    sigmas = [*dict.fromkeys(theirs.sigmas.tolist())]
    ours = karras_levels(10, sigma_min=sigmas[-2], sigma_max=sigmas[0])
    assert [sigma for _, sigma in ours] == pytest.approx(sigmas, rel=1e-4)
    x = start() * sigmas[0]
    end = method(clean, x, [(1.0, sigma) for sigma in sigmas])
    for time in theirs.timesteps:
        theirs.scale_model_input(x, time)
        # In Heun's second half the state was already moved on to the next level.
        sigma = float(theirs.sigmas[theirs.step_index])
        if name.startswith("Heun") and not theirs.state_in_first_order:
            sigma = float(theirs.sigmas[theirs.step_index + 1])
        x = theirs.step((x - clean(x, 1.0, sigma)) / sigma, time, x).prev_sample
    close(end, x)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_ddim_is_theirs(eta: float) -> None:
    schedulers = pytest.importorskip("diffusers.schedulers")
    theirs = schedulers.DDIMScheduler(clip_sample=False, prediction_type="sample")
    theirs.set_timesteps(20)
    kept = [float(theirs.alphas_cumprod[time]) for time in theirs.timesteps]
    levels = [*((math.sqrt(a), math.sqrt(1 - a)) for a in kept), (1.0, 0.0)]
    noises = [torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(n)) for n in range(21)]
    x = start()
    for number, time in enumerate(theirs.timesteps):
        estimate = clean(x, *levels[number])
        fresh = {"eta": eta, "variance_noise": noises[number + 1]} if eta else {}
        x = theirs.step(estimate, time, x, **fresh).prev_sample
    ours = ddim(clean, start(), levels, lambda use: noises[int(use.split()[1])], eta=eta)
    close(ours, x)


def test_dpmpp_2m_is_theirs() -> None:
    schedulers = pytest.importorskip("diffusers.schedulers")
    theirs = schedulers.DPMSolverMultistepScheduler(prediction_type="sample")
    theirs.set_timesteps(11)
    alphas = [1 / math.sqrt(1 + s**2) for s in theirs.sigmas.tolist()]
    levels = [(a, a * s) for a, s in zip(alphas, theirs.sigmas.tolist(), strict=True)]
    x = start()
    for number, time in enumerate(theirs.timesteps):
        x = theirs.step(clean(x, *levels[number]), time, x).prev_sample
    close(dpmpp_2m(clean, start(), levels), x)
