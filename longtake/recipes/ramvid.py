"""RaMViD: frames that a random mask leaves clean are what the others are made from.

Hoppe, Mehrjou, Bauer, Nielsen, Dittadi, "Diffusion Models for Video Prediction and Infilling", TMLR
2022, arXiv 2206.07696. Written from the paper.

A U-Net with filters over space and time is trained as an unconditional model of clips, but for one
change: with probability 1 - p_U a random set C of 1 to 4 frames is left without noise, x_t[C] = x_0[C],
and the loss is the mean over the other frames alone. No channel is added. One network then predicts (C
= the first frames), fills in (C anywhere) and generates (C empty); films grow block by block, the
last frames of one being C of the next. What this is held against is sampling-time replacement: an
unconditional model in whose state the known frames, noised to the step's level, are put back at
every step, so that what is made never quite agrees with them.

Left out: pixels (latents of the digits' shared codec), the noise-predicting DDPM objective
(rectified flow); the net is told each frame's own noise level, 0 for clean ones, instead of one for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longtake.lab.systems import SAMPLING, Design, alone, flow_in, flow_model, two_blocks
from longtake.system import Expectation, Measured, Proof, System

if TYPE_CHECKING:
    import numpy as np

    from longtake.lab.bench import Lab
    from longtake.lab.tasks import Masks, Task

LENGTH, MOST = 12, 4  # frames of a clip, and of those at most clean
INTERVAL = 0.1
SCHEME = f"autoregressive:window={LENGTH},step={LENGTH - MOST}"
SIZES: dict[str, dict[str, Any]] = {
    "proof": {"widths": (48, 96), "head": 16},
    "paper": two_blocks(widths=(128, 256, 384, 512), attends=(False, True, True, False), head=32),
}
DESIGN = Design("ramvid", "digits", SIZES, LENGTH)
SEEN = {"prediction": (0, 1, 2, 3), "infilling": (0, 4, 8, 11)}
STEPS, RATE = 1900, 4e-3


def ramvid(
    *,
    scheme: str = SCHEME,
    steps: int = SAMPLING.steps,
    size: str = "proof",
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The system: bouncing digits. size: "proof", or "paper" for the published one's size."""
    return DESIGN.system(scheme, size, weights, device, network, flow_in(steps), knobs=[steps])


def masks(unconditional: float = 0.25) -> Masks:
    """The paper's masks: nothing with that probability (p_U), else 1 to 4 frames anywhere."""
    from longtake.lab.tasks import Task

    def draw(rng: np.random.Generator) -> Task:
        if rng.random() < unconditional:
            return Task.among(LENGTH)
        count = int(rng.integers(1, MOST + 1))
        return Task.among(LENGTH, rng.choice(LENGTH, count, replace=False).tolist())

    return draw


def tasks() -> dict[str, Task]:
    """What all arms are asked."""
    from longtake.lab.tasks import Task

    return {name: Task.among(LENGTH, seen) for name, seen in SEEN.items()}


def network(size: str = "proof") -> Any:
    """The velocity of every frame; filters of three taps in time, and nothing else across it."""
    from longtake.nets.routes import Conditioned
    from longtake.nets.temporal import NoTime
    from longtake.nets.unet import FactorisedUNet, UNetShape

    shape = UNetShape(channels=8, taps=3, **SIZES[size])
    return Conditioned(FactorisedUNet(shape, lambda width, vector: NoTime()))


def learn(lab: Lab, arm: str = "ramvid", drawn: Masks | None = None) -> Iterator[Any]:
    """Trains a network on the paper's masks, or on others."""
    from longtake.lab.tasks import learned, scenes

    takes = lab.takes("digits", 200, 60)
    batch = scenes(takes, drawn or masks(), seed=lab.seed, rows=8, length=LENGTH, interval=INTERVAL)
    yield from learned(lab, arm, network(), batch, STEPS, rate=RATE)


def experiment(lab: Lab) -> Iterator[Any]:
    """Prediction and infilling by the trained mask, by a specialist, and by replacement."""
    from longtake.clip import Clip, ClipSpec
    from longtake.lab.films import films, shown
    from longtake.lab.measures import clip_distance, clip_features, digits_read
    from longtake.lab.shared import codec
    from longtake.lab.tasks import always, answers, best_psnr
    from longtake.models.diffusion import FlowModel
    from longtake.models.replacing import ReplacingModel
    from longtake.schemes import find_scheme

    yield from learn(lab)
    yield from learn(lab, "specialist", always(tasks()["prediction"]))
    yield from learn(lab, "replacement", masks(unconditional=1))
    code, test = codec("digits"), lab.takes("digits", 32, 36, use="test")
    video, asked = test.video(), {"seed": lab.seed, "interval": INTERVAL}
    real = clip_features(video)
    for arm in PROOF.arms:
        kind = ReplacingModel if arm == "replacement" else FlowModel
        net, spec = lab.trained(arm, network()), ClipSpec(LENGTH, (8, 8, 8), "")
        model = flow_model(net, spec, kind=kind)
        for name, task in tasks().items():
            made = answers(model, task, test.latents, tries=5, **asked)
            near = best_psnr(code, made, video[:, list(task.made)])
            if arm != "specialist" or name == "prediction":
                yield Measured(f"{name} PSNR, dB", arm, near)
        start = Clip(test.latents[:, :MOST].float(), tuple(range(MOST)))
        made = films(
            model, find_scheme(SCHEME), 36, len(test), frame=(8, 8, 8), given=start, **asked
        )
        shot = shown(code, made)
        lab.sheet(arm, shot)
        yield Measured("tfvd", arm, clip_distance(clip_features(shot), real))
        yield Measured("frames read, last third", arm, digits_read(shot, last=12))


PROOF = Proof(
    claim="Learning from clean frames in place beats putting frames back into an unconditional model "
    "while sampling, and one network for any mask predicts about as well as one for prediction.",
    world="digits",
    arms={
        "ramvid": "random clean frames in training, none with probability 1/4",
        "specialist": "the first four frames clean, always",
        "replacement": "no clean frames in training; put back at every step of sampling",
    },
    expectations=(
        Expectation("prediction PSNR, dB", "replacement", "ramvid", 0.95, "the paper's key claim"),
        Expectation("infilling PSNR, dB", "replacement", "ramvid", 0.95, "the same between frames"),
        Expectation("tfvd", "ramvid", "replacement", 0.9, "films of 36 frames, 4 given"),
        Expectation("prediction PSNR, dB", "specialist", "ramvid", 1.03, "within three percent"),
        Expectation("frames read, last third", 0.8, "ramvid", 1, "two digits in the last frames"),
    ),
    experiment=experiment,
    minutes=19,
)

train = alone("ramvid", learn)
