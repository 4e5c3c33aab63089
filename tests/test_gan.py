"""The adversarial family: random access, motion codes, the game by hand, and the ring of eight."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from family_parts import request, shaken
from torch import Tensor, nn

from longtake.clip import Clip, ClipSpec, Noise
from longtake.errors import FitError, InputError
from longtake.models.gan import GANModel, Inverted, Playing, jittered
from longtake.nets.adversarial import hinge, non_saturating, relativistic, steepness
from longtake.nets.critics import ClipCritic, CriticShape, FrameCritic, PairCritic, SparseCritic
from longtake.nets.synthesis import (
    CoordinatePainter,
    FrameObserver,
    Generator,
    ModulatedConv,
    MotionCode,
    PicturePainter,
    SynthesisShape,
)
from longtake.train import Schedule, adversarial, fit

SHAPE = SynthesisShape(style=8, motion=6, widths=(8, 8, 8), reach=1)
CRITIC = CriticShape(widths=(8, 8, 8))
PAINTERS = {"pictures": PicturePainter, "coordinates": CoordinatePainter}
FRAME = (3, 8, 12)


def model(painter: str = "pictures", observer: bool = False, **more: object) -> GANModel:
    torch.manual_seed(0)
    seer = FrameObserver(SHAPE) if observer else None
    generator = Generator(SHAPE, PAINTERS[painter](SHAPE), seer)
    spec = ClipSpec(8, (3, None, None), "test")
    critics = more.pop("critics", [FrameCritic(CRITIC), SparseCritic(CRITIC, 2)])
    made = GANModel(generator, critics, spec, **more)
    shaken(made.nets, 0.1)
    return made


def film(frames: int = 3, samples: int = 2) -> Tensor:
    return torch.rand(samples, frames, *FRAME, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("painter", PAINTERS)
def test_any_time_alone_is_the_time_in_its_film(painter: str) -> None:
    gan, times = model(painter), [0.0, 0.4, 1.6, math.pi, 57.3, 57.31, 90_000.1, -2.7]
    whole = gan.render(Noise(1), (0, 5), times, FRAME)
    assert whole.shape == (2, 8, *FRAME)
    for n, time in enumerate(times):
        alone = gan.render(Noise(1), (0, 5), [time], FRAME)
        torch.testing.assert_close(alone[:, 0], whole[:, n], atol=1e-5, rtol=0)
    mixed = gan.render(Noise(1), (5,), times[::-1], FRAME)
    torch.testing.assert_close(mixed.flip(1), whole[1:], atol=1e-5, rtol=0)
    changes = whole.diff(dim=1).abs().mean((0, 2, 3, 4))
    assert float(changes.min()) > 1e-5 and float(changes[:4].min()) > 1e-3, "a film that moves"
    clip = gan.sample(request((4, 1), samples=(0, 5), frame=FRAME))  # 0.4 s apart
    torch.testing.assert_close(clip.frames[:, 1], whole[:, 1], atol=1e-5, rtol=0)


def test_coordinates_are_painted_at_any_size() -> None:
    gan = model("coordinates")
    coarse = gan.render(Noise(1), (0,), [0.5], (3, 5, 5))[0, 0]
    fine = gan.render(Noise(1), (0,), [0.5], (3, 15, 15))[0, 0]
    torch.testing.assert_close(fine[:, 1::3, 1::3], coarse, atol=1e-4, rtol=1e-4)


def test_motion_is_continuous_local_and_never_repeats() -> None:
    code = shaken(MotionCode(SHAPE), 0.3)
    noise = Noise(3)

    def at(times: Sequence[float], changed: int | None = None) -> Tensor:
        seconds = torch.tensor(times, dtype=torch.float64)
        anchors = code.anchors(seconds)
        rows = noise.clip((0,), anchors, (SHAPE.motion,), "anchor")
        if changed is not None and changed in anchors:
            rows[:, changed - anchors.start] += 1
        with torch.no_grad():
            return code(rows, seconds)[0]

    for border in (1.6, 3.2, -1.6):
        near = at([border - 1e-7, border, border + 1e-7])
        assert float(near.diff(dim=0).abs().max()) < 1e-5
    assert float(at([0.3, 0.9]).diff(dim=0).abs().max()) > 0.05
    assert torch.equal(at([0.5], changed=9), at([0.5]))
    assert not torch.equal(at([0.5], changed=1), at([0.5]))
    path = at([0.1 * n for n in range(4000)])
    path = path - path.mean(0)
    for lag in range(50, 3000, 50):
        alike = (path[lag:] * path[:-lag]).mean(0) / path.square().mean(0)
        assert float(alike.max()) < 0.7, lag


def test_modulated_filters_are_those_of_scaled_weights() -> None:
    conv = shaken(ModulatedConv(3, 4, 5), 0.3)
    x, style = torch.randn(2, 3, 6, 6), torch.randn(2, 5)
    rows = []
    for one, code in zip(x, conv.style(style), strict=True):
        weight = conv.weight * conv.gain * code[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        rows.append(nn.functional.conv2d(one[None], weight, conv.bias, padding=1))
    torch.testing.assert_close(conv(x, style), torch.cat(rows), atol=1e-5, rtol=1e-4)


# --- the game


def test_games_by_hand() -> None:
    real, made = torch.tensor([0.0, 2.0]), torch.tensor([0.0, -3.0])
    generator, critic = non_saturating(real, made)
    two = math.log(2)
    expect = [two, 3 + math.log1p(math.exp(-3))]
    torch.testing.assert_close(generator, torch.tensor(expect))
    expect = [2 * two, math.log1p(math.exp(-3)) + math.log1p(math.exp(-2))]
    torch.testing.assert_close(critic, torch.tensor(expect))
    generator, critic = hinge(real, made)
    assert generator.tolist() == [0.0, 3.0] and critic.tolist() == [2.0, 0.0]
    generator, critic = relativistic(real, made)
    torch.testing.assert_close(generator, torch.tensor([two, 5 + math.log1p(math.exp(-5))]))
    torch.testing.assert_close(critic, torch.tensor([two, math.log1p(math.exp(-5))]))


def test_steepness_of_a_plane_is_its_slope() -> None:
    frames = torch.randn(3, 2, 1, 2, 2, requires_grad=True)
    slope = torch.arange(8.0).view(2, 1, 2, 2)
    scores = (frames * slope).flatten(1).sum(1)
    assert steepness(scores, frames).tolist() == [140.0] * 3


def test_slopes_are_held_now_and_then_at_more_weight() -> None:
    def critic(seed: int, **weights: float) -> Tensor:
        gan = model(playing=Playing(**{"steep": 0.0} | weights))
        return gan.losses(request((0, 1, 2), frame=FRAME, seed=seed), Clip(film(3, 1), (0, 1, 2)))[
            "critic"
        ]

    rare = 0
    for seed in range(24):
        plain = critic(seed)
        both = critic(seed, steep=1.0) + critic(seed, steep_made=2.0) - 2 * plain
        assert (both > 0).all()
        more = critic(seed, steep=1.0, steep_made=2.0, every=3) - plain
        rare += bool(more.any())
        torch.testing.assert_close(more, 3 * both if more.any() else 0 * both, rtol=1e-3, atol=1e-5)
    assert 2 <= rare <= 16, "one in three"


def test_painted_numbers_stay_within_a_limit() -> None:
    shape = dataclasses.replace(SHAPE, limit=0.5)
    torch.manual_seed(0)
    free, held = (Generator(s, PicturePainter(s)) for s in (SHAPE, shape))
    held.load_state_dict(free.state_dict())
    asked = torch.randn(1, 8), torch.randn(1, 4, 6), torch.zeros(1, dtype=torch.float64), FRAME[1:]
    for generator in (free, held):
        generator.painter.colours[0].bias.data += 9.0
    torch.testing.assert_close(held(*asked), 0.5 * (2 * free(*asked)).tanh())
    with pytest.raises(ValueError, match="limit"):
        SynthesisShape(limit=-1.0)


def test_what_the_model_made_itself_is_no_part_of_the_truth() -> None:
    heard: list[Tensor] = []

    class Listening(ClipCritic):
        def forward(self, frames: Tensor, times: Tensor) -> Tensor:
            heard.append(frames.detach())
            return super().forward(frames, times)

    critics = [Listening(CriticShape(widths=(8, 8)))]
    gan = model(observer=True, playing=Playing(near=1.0), critics=critics)
    own, truth = Clip(film(2, 1).flip(-1), (0, 1)), Clip(film(4, 1), (0, 1, 2, 3))
    asked = request((2, 3), own, frame=FRAME)
    named = gan.losses(asked, truth)
    real, made = heard
    assert torch.equal(real, truth.frames) and torch.equal(made[:, :2], own.frames)
    assert not named["near"].any(), "nothing says that it goes on like the truth"
    assert gan.losses(asked, truth.pick((2, 3)))["near"].all()
    assert torch.equal(heard[2][:, :2], own.frames), "what is observed is of the film"


CRITICS = {
    "frame": FrameCritic(CRITIC),
    "pair": PairCritic(CRITIC),
    "sparse": SparseCritic(CRITIC, 2),
    "clip": ClipCritic(CriticShape(widths=(8, 8))),
}


@pytest.mark.parametrize("name", CRITICS)
def test_critics_judge_each_clip_alone(name: str) -> None:
    critic, frames = shaken(CRITICS[name], 0.1), film(2)
    with torch.no_grad():
        near = critic(frames, torch.tensor([0.0, 1.0]))
        far = critic(frames, torch.tensor([0.0, 30.0]))
        alone = critic(frames[1:], torch.tensor([0.0, 1.0]))
        turned = critic(frames.flip(1), torch.tensor([0.0, 1.0]))
    assert near.shape == (2,)
    torch.testing.assert_close(alone, near[1:], atol=1e-5, rtol=1e-4)
    assert torch.equal(near, far) == (name in ("frame", "clip")), "who hears the times"
    assert torch.allclose(turned, near, atol=1e-6) == (name == "frame"), "who hears the order"


def test_one_change_for_a_whole_clip() -> None:
    clip = film()
    same = jittered(clip, torch.full((2, 4), 0.5))
    torch.testing.assert_close(same, clip)
    bright = jittered(clip, torch.tensor([[0.9, 0.5, 0.5, 0.5]] * 2))
    torch.testing.assert_close(bright, clip + 0.4)
    moved = jittered(clip, torch.tensor([[0.5, 0.5, 1.0, 0.0]] * 2))  # 1 down, 2 (of 1.5) left
    torch.testing.assert_close(moved[..., 1:, :-2], clip[..., :-1, 2:])
    assert not moved[..., 0, :].any() and not moved[..., -2:].any()


@pytest.mark.parametrize("observer", [False, True])
def test_both_players_learn_by_fit(tmp_path: Path, observer: bool) -> None:
    playing = Playing(near=0.5 if observer else 0.0, augment=jittered)
    critics = [FrameCritic(CRITIC), PairCritic(CRITIC), ClipCritic(CriticShape(widths=(8, 8)))]
    gan = model(observer=observer, playing=playing, critics=critics)
    before = {name: p.clone() for name, p in gan.nets.state_dict().items()}
    seen = Clip(film(2), (0, 7)) if observer else None

    def batch(step: int):
        return request((1, 2, 3), seen, samples=(0, 1), frame=FRAME, seed=step), Clip(
            film(), (1, 2, 3)
        )

    schedule = Schedule(steps=3, rate=1e-2, warmup=1, ema=0.0, log_every=3)
    (line,) = fit(
        gan.nets, lambda pair: gan.losses(*pair), batch, schedule, tmp_path, gan.parts, adversarial
    )
    assert set(line.losses) == {"generator", "critic", "norm"} | ({"near"} if observer else set())
    same = [name for name, p in gan.nets.state_dict().items() if torch.equal(p, before[name])]
    assert same == [], "every weight, and the mean of styles, has moved"


# --- what is observed


def test_an_observer_hears_frames_and_their_times() -> None:
    gan = model(observer=True)
    assert (gan.spec.observes, model().spec.observes) == ("any", "none")
    one, other = film(2, 1), film(2, 1).flip(-1)
    asked = request((4, 5), Clip(one, (0, 1)), frame=FRAME)
    base = gan.sample(asked).frames
    for seen in (Clip(other, (0, 1)), Clip(one, (0, 3)), None):
        changed = gan.sample(dataclasses.replace(asked, observed=seen)).frames
        assert not torch.allclose(changed, base, atol=1e-4)
    both = dataclasses.replace(
        asked, samples=(3, 0), observed=Clip(torch.cat([other, one]), (0, 1)), targets=(5, 4)
    )
    torch.testing.assert_close(gan.sample(both).pick((4, 5)).frames[1:], base, atol=1e-5, rtol=0)


def test_without_an_observer_nothing_is_heard_but_by_inversion() -> None:
    gan = model()
    asked = request((5,), frame=FRAME, samples=(2,))
    with torch.no_grad():  # another film's style under this film's motion
        style = gan.styles(dataclasses.replace(asked, samples=(7,)))
        frames = gan.painted(style, asked, torch.tensor([0.0, 0.4, 2.0], dtype=torch.float64))
    truth = Clip(frames, (0, 1, 5))
    asked = dataclasses.replace(asked, observed=truth.pick((0, 1)))
    plain = gan.sample(asked)
    assert torch.equal(plain.frames, gan.sample(dataclasses.replace(asked, observed=None)).frames)
    inverted = Inverted(gan, steps=60, rate=0.2)
    assert inverted.spec.observes == "any" and inverted.spec.fingerprint != gan.spec.fingerprint

    def error(clip: Clip) -> float:
        return float((clip.frames - truth.pick(clip.at).frames).square().mean())

    found = inverted.sample(asked)
    assert error(found) < 0.5 * error(plain)
    again = dataclasses.replace(asked, targets=(0, 1))
    assert error(inverted.sample(again)) < 0.1 * error(gan.sample(again))
    seen = asked.observed
    both = dataclasses.replace(
        asked, samples=(4, 2), observed=Clip(torch.cat([film(2, 1), seen.frames]), (0, 1))
    )
    torch.testing.assert_close(inverted.sample(both).frames[1:], found.frames, atol=1e-2, rtol=0)


def test_truncation_makes_films_alike() -> None:
    styles = {
        psi: model(truncation=psi).styles(request((0,), samples=(0, 1, 2), frame=FRAME))
        for psi in (0.0, 0.5, 1.0)
    }
    assert styles[0.0].std(0).max().item() == 0.0
    torch.testing.assert_close(styles[0.5].std(0), styles[1.0].std(0) / 2)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(FitError, match="9 frames"):
        model().sample(request(tuple(range(9)), frame=FRAME))
    with pytest.raises(FitError, match="2 or more"):
        model().losses(request((0,), frame=FRAME), Clip(film(1, 1), (0,)))
    for make, message in (
        (lambda: model(truncation=2.0), "truncation"),
        (lambda: Playing("chess"), "hinge"),
        (lambda: Playing(steep=-1.0), "steep"),
        (lambda: Playing(steep_made=math.inf), "steep_made"),
        (lambda: Playing(every=0), "every"),
        (lambda: Inverted(model(), steps=0), "steps=50"),
    ):
        with pytest.raises(InputError, match=message):
            make()


# --- the ring


@dataclasses.dataclass(frozen=True)
class Quick(Noise):
    """Noise in one draw a batch: hashing sample by sample is most of this test's time."""

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor:
        if use != "style":
            return super().of(sample, index, shape, use)
        if sample == 0:
            generator = torch.Generator().manual_seed(self.seed)
            self._rows[self.seed] = torch.randn(BATCH, *shape, generator=generator)
        return self._rows[self.seed][sample]

    def clip(self, samples, indices, frame, use: str = "start") -> Tensor:
        return torch.zeros(len(samples), len(indices), *frame)

    @property
    def _rows(self) -> dict[int, Tensor]:
        return ROWS


BATCH, ROWS = 256, dict[int, Tensor]()


class Point(nn.Module):
    """A painter of two numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
        )

    def forward(self, style: Tensor, motion: Tensor, size: tuple[int, int], seen: None) -> Tensor:
        return self.layers(style)[:, :, None, None]


class PointCritic(nn.Module):
    frames = 1

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, 64),
            nn.LeakyReLU(0.2),
            nn.Linear(64, 64),
            nn.LeakyReLU(0.2),
            nn.Linear(64, 1),
        )

    def forward(self, frames: Tensor, times: Tensor) -> Tensor:
        return self.layers(frames.flatten(1))[:, 0]


def ring(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(count, 2) points about eight corners, and the corners."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.arange(8) * math.pi / 4
    corners = torch.stack([turn.cos(), turn.sin()], 1)
    chosen = torch.randint(0, 8, (count,), generator=generator)
    return corners[chosen] + 0.05 * torch.randn(count, 2, generator=generator), corners


@pytest.mark.slow
def test_the_generator_finds_all_eight_modes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = SynthesisShape(channels=2, style=16, motion=1, widths=(1,), reach=0)
    spec = ClipSpec(1, (2, None, None), "ring")
    gan = GANModel(Generator(shape, Point(16)), [PointCritic()], spec, playing=Playing(steep=0.5))

    def batch(step: int):
        points, _ = ring(BATCH, step)
        asked = request((0,), samples=tuple(range(BATCH)), frame=(2, 1, 1))
        asked = dataclasses.replace(asked, noise=Quick(step))
        return asked, Clip(points.view(BATCH, 1, 2, 1, 1), (0,))

    def found() -> tuple[Tensor, float]:
        """Share of points at each corner (three spreads about it), and of points at none."""
        asked = dataclasses.replace(batch(0)[0], noise=Quick(-1))
        points, corners = gan.sample(asked).frames.flatten(1), ring(1, 0)[1]
        far, mode = torch.cdist(points, corners).min(1)
        return torch.bincount(mode[far < 0.15], minlength=8) / BATCH, float(
            (far >= 0.15).float().mean()
        )

    assert int((found()[0] > 0).sum()) < 8, "not there before training"
    schedule = Schedule(
        steps=900, rate=1e-3, warmup=10, ema=0.99, save_every=10**6, log_every=10**6
    )
    list(
        fit(
            gan.nets,
            lambda pair: gan.losses(*pair),
            batch,
            schedule,
            tmp_path,
            gan.parts,
            adversarial,
        )
    )
    share, lost = found()
    assert float(share.min()) > 0.03, share
    assert lost < 0.3
