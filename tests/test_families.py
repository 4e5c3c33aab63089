"""One scheme, four families: the same plan and engine drive each, and the same loop trains each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtake.clip import Clip, ClipModel, ClipRequest, ClipSpec, Codec, Noise
from longtake.codecs.pixels import PixelCodec
from longtake.codecs.vq import VQCodec
from longtake.controls import Controls
from longtake.engine import Frames, Job, Memory, Serial, render
from longtake.models.denoising import DenoisingModel
from longtake.models.diffusion import FlowModel
from longtake.models.gan import GANModel, Inverted
from longtake.models.masked import MaskedModel
from longtake.models.revealing import Confidence
from longtake.models.samplers import Sampling, cosine_levels
from longtake.models.tokens import TokenModel
from longtake.nets.convolutional import VideoShape, VQVideo
from longtake.nets.critics import CriticShape, FrameCritic, SparseCritic
from longtake.nets.dit import DiTShape, SpaceTimeTransformer
from longtake.nets.gpt import GPT
from longtake.nets.masked import MaskedTransformer
from longtake.nets.quantise import LookupFree
from longtake.nets.routes import Conditioned, InPlace
from longtake.nets.synthesis import FrameObserver, Generator, PicturePainter, SynthesisShape
from longtake.nets.tokens import TokenShape
from longtake.nets.unet import FactorisedUNet, UNetShape
from longtake.schemes import find_scheme
from longtake.system import Part, Stage, System
from longtake.train import Schedule, adversarial, fit, optimisers

WINDOW, SIZE = 4, 16
TOKENS = TokenShape(codes=16, width=32, blocks=1, head=16)
PICTURES = SynthesisShape(style=8, motion=6, widths=(8, 8), reach=1)
SCHEME = find_scheme("autoregressive:window=4,step=2")
SLOW_STEPS = 60


@dataclasses.dataclass(frozen=True)
class Family:
    """A model, its codec, and what `fit` needs to train it."""

    model: ClipModel
    codec: Codec
    net: nn.Module
    losses: Callable[[ClipRequest, Clip], Mapping[str, Tensor]]
    parts: Mapping[str, nn.Module] = dataclasses.field(default_factory=dict)
    tools: Any = optimisers
    rate: float = 5e-3


def spec(codec: Codec) -> ClipSpec:
    told = codec.spec
    return ClipSpec(WINDOW, (told.channels, None, None), "test", codes=told.codes)


def codes() -> Codec:
    return VQCodec(VQVideo(VideoShape(channels=4, widths=(8, 8, 8)), LookupFree(4)), "test")


def diffusion() -> Family:
    codec = PixelCodec(4)
    shape = DiTShape(
        channels=48, text=1, outer=32, inner=32, outer_blocks=1, inner_blocks=1, head=16
    )
    net = SpaceTimeTransformer(shape)
    model = FlowModel(net, spec(codec), Sampling(steps=2))
    return Family(model, codec, net, model.losses)


def tokens() -> Family:
    codec, net = codes(), GPT(TOKENS)
    model = TokenModel(net, spec(codec))
    return Family(model, codec, net, model.losses)


def masked() -> Family:
    codec, net = codes(), MaskedTransformer(TOKENS)
    model = MaskedModel(net, spec(codec), revealing=Confidence(3))
    return Family(model, codec, net, model.losses)


def gan(observer: bool = True) -> Family:
    codec = PixelCodec()
    generator = Generator(
        PICTURES, PicturePainter(PICTURES), FrameObserver(PICTURES) if observer else None
    )
    shape = CriticShape(widths=(8, 8, 8))
    model = GANModel(generator, [FrameCritic(shape), SparseCritic(shape, 2)], spec(codec))
    answer = model if observer else Inverted(model, steps=3)
    return Family(answer, codec, model.nets, model.losses, model.parts, adversarial, 2e-3)


def unet() -> Family:
    codec = PixelCodec(4)
    shape = UNetShape(channels=48, extra=1, text=1, widths=(32,), attends=(True,))
    net = Conditioned(FactorisedUNet(shape), InPlace())
    model = DenoisingModel(net, spec(codec), cosine_levels(2))
    return Family(model, codec, net, model.losses)


FAMILIES = {
    "diffusion": diffusion,
    "unet": unet,
    "tokens": tokens,
    "masked": masked,
    "gan": gan,
    "gan inverted": lambda: gan(observer=False),
}


def family(name: str) -> Family:
    torch.manual_seed(0)
    return FAMILIES[name]()


def job(made: Family, frames: int = 10) -> Job:
    stage = Stage(
        SCHEME,
        {"clip": Part(made.model.spec, lambda: made.model)},
        Part(made.codec.spec, lambda: made.codec),
    )
    return Job(System("test", (stage,)), frames, (SIZE, SIZE), Fraction(10), seed=3)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_scheme_drives_every_family(name: str) -> None:
    """The same plan, step by step through engine and store; and a stopped film is the same film."""
    made = family(name)
    asked, store = job(made), Memory()
    assert [(step.observed, step.targets) for step in asked.plan.steps] == [
        ((), (0, 1, 2, 3)),
        ((2, 3), (4, 5)),
        ((4, 5), (6, 7)),
        ((6, 7), (8, 9)),
    ]
    film = torch.cat([e.pixels for e in render(asked, store, Serial()) if isinstance(e, Frames)])
    assert film.shape == (10, 3, SIZE, SIZE) and film.dtype == torch.uint8
    kept = torch.cat(
        [e.pixels for e in render(job(family(name)), store, Serial()) if isinstance(e, Frames)]
    )
    anew = torch.cat(
        [e.pixels for e in render(job(family(name)), Memory(), Serial()) if isinstance(e, Frames)]
    )
    assert torch.equal(kept, film) and torch.equal(anew, film)
    assert float(film.float().std()) > 1


def moving(seed: int, count: int = 4) -> Tensor:
    """(count, WINDOW, 3, 16, 16) in [0, 1]: a bright square that walks to the right."""
    places = torch.randint(0, 12, (count,), generator=torch.Generator().manual_seed(seed))
    clips = torch.full((count, WINDOW, 3, SIZE, SIZE), 0.1)
    for clip, place in zip(clips, places.tolist(), strict=True):
        for t, frame in enumerate(clip):
            left = (place + 4 * t) % 16
            frame[:, 4:12, left : left + 4] = 0.9
    return clips


def request_of(codec: Codec, seed: int) -> tuple[ClipRequest, Clip]:
    """Two frames given two, or four given none: what the scheme's calls ask."""
    frames = codec.encode(moving(seed))
    whole = Clip(frames, tuple(range(WINDOW)))
    observed = whole.pick((0, 1)) if seed % 4 else None
    targets = (2, 3) if seed % 4 else whole.at
    shape = tuple(frames.shape[2:])
    samples = tuple(range(len(frames)))
    asked = ClipRequest(targets, observed, Controls(), Noise(seed), shape, samples, interval=0.4)
    return asked, whole.pick(targets)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_loop_trains_every_family_and_resumes_it(name: str, tmp_path: Path) -> None:
    def trained(folder: str, *steps: int) -> Family:
        for count in steps:
            made = family(name)

            def batch(step: int, made: Family = made) -> tuple[ClipRequest, Clip]:
                return request_of(made.codec, step)

            # the whole schedule's length is told in both, only the second is cut short
            schedule = Schedule(steps=6, rate=made.rate, warmup=1, save_every=1, log_every=1)
            curve = fit(
                made.net,
                lambda pair, m=made: m.losses(*pair),
                batch,
                schedule,
                tmp_path / folder,
                made.parts,
                made.tools,
            )
            for line in curve:
                assert all(value == value for value in line.losses.values())
                if line.step == count:
                    break
        return made

    straight, resumed = trained("straight", 99), trained("cut", 3, 99)
    for (key, one), other in zip(
        straight.net.state_dict().items(), resumed.net.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), key


@pytest.mark.parametrize("name", ["diffusion", "unet", "tokens", "masked"])
def test_families_learn(name: str, tmp_path: Path) -> None:
    """The loss on clips that were not trained on falls by a third in seconds."""
    made = family(name)

    def loss() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            rows = [made.losses(*request_of(made.codec, 4 * n + 10_001)) for n in range(6)]
        return sum(float(sum(v.mean() for v in row.values())) for row in rows)

    before = loss()
    schedule = Schedule(SLOW_STEPS, rate=made.rate, warmup=5, ema=0.9, save_every=10**6)
    list(
        fit(
            made.net,
            lambda pair: made.losses(*pair),
            lambda n: request_of(made.codec, n),
            schedule,
            tmp_path,
        )
    )
    assert loss() < 2 / 3 * before
