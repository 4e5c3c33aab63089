"""PixelDance: a first picture to begin with and a last one to head for, not to end on.

Zeng, Wei, Zheng, Zou, Wei, Zhang, Li, "Make Pixels Dance: High-Dynamic Video Generation", CVPR 2024,
arXiv 2311.10982. Written from the paper.

A text-to-video U-Net with layers across time is told two pictures beside its noisy frames, on its
channels: the first frame, exact, and at the end a last one, which is an instruction. So that a coarse
one will do, it is in training any of the clip's last three frames, under noise, and left out for one clip
in four; and sampling hears it in the early steps alone, until noise and signal are as strong as each
other, so that the clip ends near it and not on it. In long films the last frame made is the next clip's first,
and a last picture for every clip, a sketch if need be, steers the plot.

Left out: 1.5 B weights and WebVid, CLIP (captions as sets of their words), pixels beyond 64x64 (latents
of the script's shared codec), DDPM's objective (rectified flow). The last picture stands one frame
after the last made one; one clip in ten is made from text alone, where the paper begins with a
text-to-image model.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longtake.lab.scripted import FPS, HEARD, SIZES, WORDS, told_takes
from longtake.lab.scripted import told_net as network
from longtake.lab.systems import Design, alone
from longtake.models.samplers import flow_levels
from longtake.system import Curve, Expectation, Measured, Proof, System

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from longtake.clip import ClipModel, ClipSpec, Codec
    from longtake.lab.bench import Lab
    from longtake.lab.tasks import Masks, Task
    from longtake.models.diffusion import Scene

MADE = 15  # frames a clip makes between the first picture and the last
LENGTH = MADE + 2
SCHEME = f"autoregressive:window={MADE + 1},step={MADE}"
DESIGN = Design("pixeldance", "script", SIZES, LENGTH, fps=FPS, **HEARD)
CHAINED = 16  # clips of a long film
UNTIL = 1.0  # noise over signal down to which the last picture is heard
SOFT = 0.3  # spread of the noise on a last picture
STEPS, SAMPLED = 1300, 12
MOVED = "way of the actor that moves most, short sides"
RISE = "rise of tfvd, a hundred frames"
ENDING = "difference from the clips' true endings, of 255"


def pixeldance(
    *,
    scheme: str = SCHEME,
    steps: int = SAMPLED,
    until: float = UNTIL,
    size: str = "proof",
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The system. until: noise over signal down to which an ending is heard. size: "proof" or "paper"."""
    model, knobs = functools.partial(model_of, until=until, steps=steps), [steps, until]
    return DESIGN.system(scheme, size, weights, device, network, model, knobs=knobs)


def objective() -> Any:
    """The flow's velocity, learned at a thousand levels."""
    from longtake.models.denoising import Objective

    return Objective("flow", flow_levels(1000))


def model_of(net: nn.Module, spec: ClipSpec, until: float, steps: int = SAMPLED) -> ClipModel:
    """The clip model: what it observes after its targets is heard at first."""
    from longtake.models.denoising import DenoisingModel, led_at_first
    from longtake.nets.half import Halved

    levels = flow_levels(steps, 2.0)
    return DenoisingModel(Halved(net), spec, levels, objective(), guide=led_at_first(until))


def task(first: bool = True, last: bool = True) -> Task:
    """A clip's frames between its pictures."""
    from longtake.lab.tasks import Task

    return Task(tuple(range(1, MADE + 1)), ((0,) if first else ()) + ((MADE + 1,) if last else ()))


def masks(ending: float = 0.75) -> Masks:
    """The first picture for nine clips in ten, and of those a last one for a share `ending`."""

    def draw(rng: np.random.Generator) -> Task:
        first, last = rng.random() < 0.9, rng.random() < ending
        return task(first, first and last)

    return draw


def softened(scene: Scene) -> Scene:
    """With endings as instructions are: one of the last three frames, under noise."""
    import torch

    led, row = scene.observed[:, -1], torch.arange(len(scene.observed))
    latents = scene.latents.clone()
    near = latents[row, -1 - torch.randint(3, (len(led),))]
    latents[led, -1] = (near + SOFT * torch.randn_like(near))[led]
    return dataclasses.replace(scene, latents=latents)


def learn(lab: Lab, arm: str = "pixeldance") -> Iterator[Any]:
    """Trains the system's network, or an ablation's."""
    import torch

    from longtake.lab.tasks import learned, scenes
    from longtake.models.denoising import denoising_loss

    takes, told = told_takes(lab, 240, 50)
    share = {"pixeldance": 0.75, "no ending": 0.0, "strict ending": 1.0}[arm]
    asked = {"rows": 6, "length": LENGTH, "interval": 1 / FPS, "text": told}
    batch = scenes(takes, masks(share), seed=lab.seed, **asked)

    def loss(net: Any, scene: Scene) -> Tensor:
        if arm == "pixeldance":
            scene = softened(scene)
        aim, noise = objective(), torch.randn_like(scene.latents)
        drawn = torch.randint(len(aim.levels) - 1, (len(noise),)).tolist()
        return denoising_loss(net, aim, scene, noise, [aim.levels[n] for n in drawn])

    yield from learned(lab, arm, network(), batch, STEPS, loss)


def sketched(code: Codec, video: Tensor) -> Tensor:
    """Pictures in bytes (n, t, 3, h, w) blurred beyond detail, as latents: coarse instructions."""
    from torch.nn import functional

    flat = functional.pad(video.flatten(0, 1).float() / 255, [4] * 4, mode="replicate")
    return code.encode(functional.avg_pool2d(flat, 9, 1).unflatten(0, video.shape[:2]))


def experiment(lab: Lab) -> Iterator[Any]:
    """Clips and chains of 16 clips, led by sketches, softly, strictly, or not at all."""
    from longtake.clip import ClipSpec
    from longtake.lab import measures
    from longtake.lab.films import shown
    from longtake.lab.shared import codec
    from longtake.lab.tasks import chained

    for arm in PROOF.arms:
        yield from learn(lab, arm)
    clips = lab.count(CHAINED)
    code, (test, told) = codec("script"), told_takes(lab, 16, 2 + clips * MADE, use="test")
    video = test.video()
    real = measures.clip_features(video)
    sketches = sketched(code, video[:, MADE + 1 :: MADE])
    for arm in PROOF.arms:
        until = UNTIL if arm == "pixeldance" else 0.0
        spec = ClipSpec(LENGTH, (8, 8, 8), "", tracks={"text": WORDS})
        model = model_of(lab.trained(arm, network()), spec, until)
        led = None if arm == "no ending" else sketches
        asked = task(last=led is not None)
        films = chained(lab, model, asked, test.latents[:, 0], told, interval=1 / FPS, ends=led)
        shot = shown(code, films)
        lab.sheet(arm, shot, fps=FPS)
        ends = shot[:, MADE::MADE].float() - video[:, MADE::MADE].float()
        made = measures.clip_features(shot)
        yield Measured("tfvd", arm, measures.clip_distance(made, real))
        yield Measured(ENDING, arm, float(ends.abs().mean()))
        yield Measured(MOVED, arm, float(measures.movers(shot)[1].mean()))
        middles, course = measures.distance_course(made, real, window=40)
        yield Curve("tfvd", arm, "frame", tuple(middles), tuple(course))
        yield Measured(RISE, arm, measures.rise(middles, course))
        yield Measured("frames read, last clip", arm, measures.actors_read(shot, last=MADE))


PROOF = Proof(
    claim="A last picture that is coarse, noisy, sometimes missing and heard in the early steps alone "
    "leads clips to move more than a first picture does, and harms them less than one that must be met.",
    world="script",
    arms={
        "pixeldance": "first picture exact; last one of the last three, noisy, dropped for one in four",
        "no ending": "the first picture alone",
        "strict ending": "the true last frame in training, always; heard at every step",
    },
    expectations=(
        Expectation("tfvd", "pixeldance", "strict ending", 0.9, "led by sketches, not pasted"),
        Expectation(MOVED, "no ending", "pixeldance", 0.95, "an ending makes clips move"),
        Expectation(ENDING, "pixeldance", "no ending", 0.9, "the instruction is followed"),
        Expectation(RISE, "pixeldance", "strict ending", 1, "over 16 clips in a chain"),
        Expectation("frames read, last clip", 0.8, "pixeldance", 1, "actors in the last frames"),
    ),
    experiment=experiment,
    minutes=19,
)

train = alone("pixeldance", learn)
