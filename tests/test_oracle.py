"""The Gaussian oracle: films made by plans follow the law their plans imply, and wrong laws are caught."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, Noise
from longtake.controls import Clock, Controls, Cue
from longtake.errors import FitError, InputError
from longtake.models.gaussian import (
    GaussianModel,
    Kernel,
    Matern32,
    OrnsteinUhlenbeck,
    SquaredExponential,
    conditional,
    covariance,
    implied_covariance,
    nearest_observed,
)
from longtake.schemes import SCHEMES, find_scheme
from longtake.steps import Indices, Plan, Step, Timeline

FILMS, LENGTH = 1500, 40

SPELLED = {
    "one-shot": "one-shot:window=40",
    "autoregressive": "autoregressive:window=8,step=4",
    "long-range": "long-range:window=8,step=4",
    "hierarchy": "hierarchy:window=8,step=4,levels=3",
    "adaptive": "adaptive:window=8,step=4,pool=12",
    "coarse-to-fine": "coarse-to-fine:window=4",
    "keys-then-fill": "keys-then-fill:window=8,step=4,spacing=5",
    "per-shot": "per-shot:window=8,step=4,borders=15+28",
    "unified": "unified:window=8,step=4",
}
TIMELINES = {
    "free": Timeline(LENGTH),
    "ahead": Timeline(LENGTH, (0, 1, 2, 17, 18, 39)),
    "backward": Timeline(LENGTH, (36, 37, 38, 39)),
    "cut": Timeline(LENGTH, (20,), (13,)),
}


@dataclasses.dataclass(frozen=True)
class Kept(Noise):
    """The same noise, made once: drawing it frame by frame is most of these tests' time."""

    made: Tensor = dataclasses.field(default_factory=lambda: torch.empty(0))

    def clip(
        self,
        samples: Sequence[int],
        indices: Sequence[int],
        frame: Sequence[int],
        use: str = "start",
    ) -> Tensor:
        return self.made[list(samples)][:, list(indices)].reshape(len(samples), -1, *frame)


@pytest.fixture(scope="module")
def noise() -> Noise:
    plain = Noise(3)
    return Kept(3, plain.clip(range(FILMS), range(LENGTH), (1, 1, 1)))


def film(model: GaussianModel, plan: Plan, noise: Noise, samples: Indices) -> Clip:
    """The loop of an engine, bare: given frames from the model's own law, then step by step."""
    frame = (1, 1, 1)
    seen: Clip | None = None
    given = [Step(plan.timeline.given)] if plan.timeline.given else []
    for number, step in enumerate((*given, *plan.steps)):
        law = GaussianModel(model.kernel) if given and number == 0 else model
        observed = nearest_observed(step)
        request = ClipRequest(
            step.targets,
            seen.pick(observed) if seen and observed else None,
            Controls(),
            noise,
            frame,
            samples,
        )
        clip = law.sample(request)
        seen = Clip.join([seen, clip]) if seen else clip
    assert seen is not None
    return seen


def misfit(frames: Tensor, law: Tensor) -> float:
    """Standard errors by which films (b, n) miss a covariance (n, n): the worst of energy and all entries.

    Whitened by the law they should be unit normals; entries of their second moment have standard error
    1/sqrt(b), on the diagonal sqrt(2/b), and their sum of squares sqrt(2 n b).
    """
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(law), frames.double().T, upper=False
    )
    n, b = white.shape
    moment = white @ white.T / b - torch.eye(n, dtype=torch.float64)
    entries = moment * math.sqrt(b) / (1 + (math.sqrt(2) - 1) * torch.eye(n, dtype=torch.float64))
    energy = (white.square().sum() - n * b) / math.sqrt(2 * n * b)
    return float(max(entries.abs().max(), energy.abs()))


# Of about 800 entries the largest is near 3.2; 5 is passed by chance once in 2000 films.
LIMIT = 5.0


def whole(clip: Clip) -> Tensor:
    return clip.pick(range(LENGTH)).frames.reshape(FILMS, LENGTH)


@pytest.mark.parametrize("place", TIMELINES)
@pytest.mark.parametrize("name", SCHEMES)
def test_films_follow_the_law_their_plan_implies(name: str, place: str, noise: Noise) -> None:
    kernel = Matern32(6.0)
    plan = Plan.of(find_scheme(SPELLED[name]), TIMELINES[place])
    made = film(GaussianModel(kernel), plan, noise, tuple(range(FILMS)))
    assert misfit(whole(made), implied_covariance(plan, kernel)) < LIMIT


@dataclasses.dataclass(frozen=True)
class Wrong(GaussianModel):
    """A conditional with one fault."""

    fault: str = ""

    def conditional(
        self, targets: Indices, observed: Indices, interval: float
    ) -> tuple[Tensor, Tensor]:
        if self.fault == "late":  # believes that what it sees was one frame earlier
            moved = tuple(i - 1 for i in observed)
            clash = set(moved) & set(targets)
            weights = conditional(
                self.kernel, targets, tuple(i - 1000 if i in clash else i for i in moved), interval
            )[0]
            return weights, conditional(self.kernel, targets, observed, interval)[1]
        weights, factor = conditional(self.kernel, targets, observed, interval)
        if self.fault == "loud" and observed:
            factor = factor * math.sqrt(1.1)
        if self.fault == "weak":
            weights = weights * 0.9
        if self.fault == "apart":  # right for every target alone, but not for two together
            factor = (factor @ factor.T).diagonal().sqrt().diag()
        return weights, factor


@pytest.mark.parametrize("fault", ["loud", "late", "weak", "apart"])
@pytest.mark.parametrize("name", ["autoregressive", "hierarchy", "coarse-to-fine", "unified"])
def test_a_wrong_conditional_is_caught(name: str, fault: str, noise: Noise) -> None:
    kernel = Matern32(6.0)
    plan = Plan.of(find_scheme(SPELLED[name]), TIMELINES["free"])
    law = implied_covariance(plan, kernel)
    samples = tuple(range(FILMS))
    assert misfit(whole(film(Wrong(kernel), plan, noise, samples)), law) < LIMIT
    assert misfit(whole(film(Wrong(kernel, fault=fault), plan, noise, samples)), law) > 2 * LIMIT


def test_a_plan_off_by_one_is_caught(noise: Noise) -> None:
    kernel = Matern32(6.0)
    plan = Plan.of(find_scheme(SPELLED["autoregressive"]), Timeline(LENGTH))
    steps = [
        plan.steps[0],
        *(
            dataclasses.replace(s, observed=tuple(i - 1 for i in s.observed))
            for s in plan.steps[1:]
        ),
    ]
    off = dataclasses.replace(plan, steps=tuple(steps))
    made = film(GaussianModel(kernel), off, noise, tuple(range(FILMS)))
    assert misfit(whole(made), implied_covariance(plan, kernel)) > 2 * LIMIT
    assert misfit(whole(made), implied_covariance(off, kernel)) < LIMIT


CHAINS = ("autoregressive", "long-range", "adaptive")  # do not see all that is given far ahead
SEPARATING = [
    (name, place)
    for name in SCHEMES
    for place in ("free", "ahead", "backward")
    if name != "per-shot" and not (name in CHAINS and place == "ahead")
]


@pytest.mark.parametrize(("name", "place"), SEPARATING)
def test_what_separates_past_from_future_loses_nothing(name: str, place: str) -> None:
    """The nearest frames say all under a Markov law, so dropping the others changes nothing."""
    kernel = OrnsteinUhlenbeck(5.0, 2.0)
    plan = Plan.of(find_scheme(SPELLED[name]), TIMELINES[place])
    gap = implied_covariance(plan, kernel) - covariance(kernel, range(LENGTH))
    assert gap.abs().max() < 1e-9


def test_what_forgets_is_seen_to_forget() -> None:
    """A law with a long memory tells schemes apart, and shots made apart are not one take."""
    true = covariance(SquaredExponential(12.0, 1.0, 1e-2), range(LENGTH))

    def loss(scheme: str) -> float:
        plan = Plan.of(find_scheme(scheme), Timeline(LENGTH))
        implied = implied_covariance(plan, SquaredExponential(12.0, 1.0, 1e-2))
        return float((implied - true).abs().max())

    assert loss("one-shot:window=40") < 1e-9
    assert loss("autoregressive:window=8,step=4") > 1e-2
    assert loss("hierarchy:window=20,step=6") < loss("autoregressive:window=8,step=4") / 2
    ou = OrnsteinUhlenbeck(5.0)
    shots = Plan.of(find_scheme(SPELLED["per-shot"]), Timeline(LENGTH))
    gap = implied_covariance(shots, ou) - covariance(ou, range(LENGTH))
    assert gap[:11, :11].abs().max() < 1e-9 and gap[5, 20].abs() > 1e-2


def test_takes_are_independent() -> None:
    plan = Plan.of(find_scheme(SPELLED["unified"]), Timeline(LENGTH, (), (13,)))
    implied = implied_covariance(plan, OrnsteinUhlenbeck())
    assert implied[:13, 13:].abs().max() == 0 and implied[13:, 13:].abs().min() > 0


def test_the_conditional_is_the_schur_complement() -> None:
    kernel = SquaredExponential(4.0, 1.5, 1e-3)
    targets, observed = (2, 3, 9), (0, 5, 11)
    weights, factor = conditional(kernel, targets, observed, 0.5)
    joint = covariance(kernel, (*observed, *targets), 0.5)
    inverse = torch.linalg.inv(joint[:3, :3])
    assert torch.allclose(weights, joint[3:, :3] @ inverse)
    assert torch.allclose(
        factor @ factor.T, joint[3:, 3:] - joint[3:, :3] @ inverse @ joint[:3, 3:]
    )


@pytest.mark.parametrize("kernel", [OrnsteinUhlenbeck(), Matern32(), SquaredExponential()])
def test_kernels_are_covariances(kernel: Kernel) -> None:
    matrix = covariance(kernel, range(60), 0.25)
    assert torch.equal(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > 0
    assert matrix[0, 0] == pytest.approx(1.0, abs=1e-3) and matrix[0, 59] < matrix[0, 1]
    fast = covariance(kernel, range(60), 0.5)
    assert torch.allclose(fast[0, :30], matrix[0, ::2])


def request(
    targets: Indices, observed: Clip | None = None, samples: Indices = (0,), **more: object
) -> ClipRequest:
    return ClipRequest(targets, observed, Controls(), Noise(5), (2, 3, 3), samples, **more)  # type: ignore[arg-type]


def test_a_sample_does_not_know_its_batch() -> None:
    model = GaussianModel(Matern32(), (None, None, None))
    start = model.sample(request((0, 1, 2), None, (4, 5, 6, 7, 8)))
    together = model.sample(request((3, 4, 5), start, (4, 5, 6, 7, 8)))
    assert together.frames.dtype == torch.float32 and together.at == (3, 4, 5)
    for row, sample in enumerate((4, 5, 6, 7, 8)):
        seen = Clip(start.frames[row : row + 1], start.at)
        assert torch.equal(
            model.sample(request((0, 1, 2), None, (sample,))).frames, start.frames[row : row + 1]
        )
        alone = model.sample(request((3, 4, 5), seen, (sample,)))
        assert torch.equal(alone.frames, together.frames[row : row + 1])
    asked = [request((3, 4, 5), start, (4, 5, 6, 7, 8)), request((9,))]
    assert torch.equal(model.sample_batch(asked)[0].frames, together.frames)


def test_order_of_targets_is_the_order_of_the_answer() -> None:
    model = GaussianModel(Matern32())
    rising, mixed = model.sample(request((3, 4, 5))), model.sample(request((5, 3, 4)))
    assert mixed.at == (5, 3, 4)
    assert torch.equal(mixed.frames, rising.pick((5, 3, 4)).frames)


def test_interval_is_time() -> None:
    slow = GaussianModel(Matern32(8.0)).sample(request((0, 1, 2), interval=0.5))
    fast = GaussianModel(Matern32(16.0)).sample(request((0, 1, 2), interval=1.0))
    assert torch.allclose(slow.frames, fast.frames, atol=1e-5)


def test_a_start_is_kept_in_part() -> None:
    model = GaussianModel(OrnsteinUhlenbeck(4.0))
    other = dataclasses.replace(request((0, 1, 2, 3)), noise=Noise(9))
    start = model.sample(other)
    ways = [
        model.sample(request((0, 1, 2, 3), start=start, strength=s)).frames - start.frames
        for s in (0.0, 0.3, 1.0)
    ]
    assert ways[0].abs().max() < 1e-5
    assert ways[0].norm() < ways[1].norm() < ways[2].norm()
    fresh = model.sample(request((0, 1, 2, 3)))
    assert torch.allclose(ways[2] + start.frames, fresh.frames, atol=1e-5)


def test_part_of_the_way_keeps_the_law(noise: Noise) -> None:
    kernel, targets, samples = Matern32(6.0), tuple(range(10)), tuple(range(FILMS))
    model = GaussianModel(kernel)
    start = model.sample(ClipRequest(targets, None, Controls(), Noise(8), (1, 1, 1), samples))
    again = ClipRequest(
        targets, None, Controls(), noise, (1, 1, 1), samples, start=start, strength=0.6
    )
    frames = model.sample(again).frames.reshape(FILMS, -1)
    assert misfit(frames, covariance(kernel, targets)) < LIMIT


@dataclasses.dataclass(frozen=True)
class Levels:
    """An encoder for which a prompt is a number."""

    fingerprint: str = "levels"

    def encode(self, prompts: Sequence[str]) -> Tensor:
        return torch.tensor([[float(p), float(p)] for p in prompts])


def test_controls_move_the_mean() -> None:
    cues = (Cue(0, 3, "4"), Cue(3, None, "-2"))
    controls = Controls(cues, Levels(), clock=Clock(((0, 0.0),), 1.0))
    plain = GaussianModel(OrnsteinUhlenbeck(3.0), track="")
    told = GaussianModel(OrnsteinUhlenbeck(3.0), track="text", width=2)
    assert told.spec.tracks == {"text": 2} and told.spec.fingerprint != plain.spec.fingerprint
    ask = dataclasses.replace(request((0, 1, 2, 3, 4)), controls=controls)
    shift = told.sample(ask).frames - plain.sample(ask).frames
    assert torch.allclose(shift[0, :, 0, 0, 0], torch.tensor([4.0, 4, 4, -2, -2]), atol=1e-5)
    seen = told.sample(ask)
    later = dataclasses.replace(ask, targets=(5, 6), observed=seen)
    unmoved = dataclasses.replace(later, observed=Clip(seen.frames - shift, seen.at))
    assert torch.allclose(told.sample(later).frames + 2, plain.sample(unmoved).frames, atol=1e-5)
    with pytest.raises(FitError, match="text"):
        told.sample(request((0,)))


def test_fingerprints_tell_laws_apart() -> None:
    kernels: list[Kernel] = [
        OrnsteinUhlenbeck(),
        OrnsteinUhlenbeck(9.0),
        Matern32(),
        SquaredExponential(8.0, 1.0, 1e-6),
    ]
    assert len({GaussianModel(kernel).spec.fingerprint for kernel in kernels}) == len(kernels)


def test_calls_it_cannot_answer_are_refused() -> None:
    with pytest.raises(FitError, match="5 frames in a call"):
        GaussianModel(Matern32(), window=4).sample(request((0, 1, 2, 3, 4)))
    with pytest.raises(FitError, match="twice"):
        conditional(Matern32(), (1, 2), (2, 3))
    with pytest.raises(InputError, match="positive definite"):
        conditional(SquaredExponential(50.0, 1.0, 0.0), tuple(range(20)), (), 0.01)
