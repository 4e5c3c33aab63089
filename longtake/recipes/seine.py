"""SEINE: any frames may be known, so that clips are begun, continued and joined by one model.

Chen, Wang, Zhang, Zhuang, Ma, Yu, Wang, Lin, Qiao, Liu, "SEINE: Short-to-Long Video Diffusion Model
for Generative Transition and Prediction", ICLR 2024, arXiv 2310.20700. Written from the paper.

A text-to-video U-Net of pictures with layers across time is given, beside the noisy latents z_t of all
frames, the latents of known frames and zeros elsewhere, (1 - m) z_0, and the mask m itself, on its
channels. In training every frame is known with a probability of its own (Bernoulli masks), together
with the text. So one network makes a clip from text, animates a first picture, continues a clip,
passes from the last picture of a scene to the first of the next as the text says (the transition),
and fills in. A story is clips made apart and transitions between them: the scheme `per-shot`.

Left out: LaVie's pretrained U-Net, CLIP (captions as sets of their words), 320x512 pixels (latents of
the script's shared codec), DDPM's objective (rectified flow). Known frames' noisy latents are emptied.
The probability of a known frame, 0.15, is not confirmed by the paper's text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longtake.lab.scripted import FPS, HEARD, SIZES, told_takes
from longtake.lab.scripted import told_net as network
from longtake.lab.systems import SAMPLING, Design, alone, flow_in, flow_model
from longtake.system import Expectation, Measured, Proof, System

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from longtake.lab.bench import Lab
    from longtake.lab.tasks import Masks, Task

LENGTH, KNOWN = 16, 0.15  # frames of a clip; share of them that a mask leaves known
SCHEME = f"per-shot:window={LENGTH},step=12,shot=32,transition=8"
DESIGN = Design("seine", "script", SIZES, LENGTH, fps=FPS, **HEARD)
SEEN: dict[str, tuple[int, ...]] = {
    "text to video": (),
    "image to video": (0,),
    "prediction": (0, 1, 2, 3),
    "transition": (0, 15),
    "interpolation": (0, 5, 10, 15),
}
STEPS = 1300


def seine(
    *,
    scheme: str = SCHEME,
    steps: int = SAMPLING.steps,
    guidance: float = SAMPLING.guidance,
    size: str = "proof",
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The system: coloured shapes act out what is written. guidance: on text. size: "proof" or "paper"."""
    flow, knobs = flow_in(steps, guidance), [steps, guidance]
    return DESIGN.system(scheme, size, weights, device, network, flow, knobs=knobs)


def masks(rng: np.random.Generator) -> Task:
    """Every frame known or not by itself; one at least is left to make."""
    from longtake.lab.tasks import Task

    known = [n for n in range(LENGTH) if rng.random() < KNOWN]
    return Task.among(LENGTH, known[: LENGTH - 1])


def prefixes(rng: np.random.Generator) -> Task:
    """The ablation: of the frames none or the first few are known."""
    from longtake.lab.tasks import Task

    return Task.among(LENGTH, range(int(rng.integers(5))))


def tasks() -> dict[str, Task]:
    """The five, by name."""
    from longtake.lab.tasks import Task

    return {name: Task.among(LENGTH, seen) for name, seen in SEEN.items()}


def learn(lab: Lab, arm: str = "seine", drawn: Masks = masks, steps: int = STEPS) -> Iterator[Any]:
    """Trains a network on Bernoulli masks, or on others."""
    from longtake.lab.tasks import learned, scenes

    takes, told = told_takes(lab, 240, 50)
    batch = scenes(takes, drawn, seed=lab.seed, rows=6, length=LENGTH, interval=1 / FPS, text=told)
    yield from learned(lab, arm, network(), batch, steps)


def crossfade(clips: Tensor) -> Tensor:
    """The baseline: clips (n, t, *frame) whose first frame fades into the last."""
    import torch

    share = torch.linspace(0, 1, clips.shape[1]).view(1, -1, 1, 1, 1)
    return (1 - share) * clips[:, :1] + share * clips[:, -1:]


def experiment(lab: Lab) -> Iterator[Any]:
    """Five tasks by one network, by a network each, and by one that knows prefixes; fades as transitions."""
    from longtake.clip import ClipSpec
    from longtake.lab.films import shown
    from longtake.lab.measures import actors_read, clip_distance, clip_features, movers, unevenness
    from longtake.lab.shared import codec
    from longtake.lab.tasks import always, answers, best_psnr, filled

    yield from learn(lab)
    yield from learn(lab, "prefixes", prefixes)
    for name, only in tasks().items():
        yield from learn(lab, name, always(only), STEPS // len(SEEN))
    code, (test, told) = codec("script"), told_takes(lab, 32, LENGTH, use="test")
    video = test.video()
    real = clip_features(video)
    actor, far = movers(video)
    for arm in PROOF.arms:
        for name, task in tasks().items():
            if arm == "cross-fade":
                made = crossfade(test.latents.float())[None, :, list(task.made)]
            else:
                of = name if arm == "specialists" else arm
                net = lab.trained(of, network())
                model = flow_model(net, ClipSpec(LENGTH, (8, 8, 8), ""))
                made = answers(
                    model, task, test.latents, seed=lab.seed, interval=1 / FPS, tries=2, text=told
                )
            if arm == "cross-fade" and name != "transition":
                continue
            shot = shown(code, filled(task, made[0], test.latents))
            lab.sheet(f"{arm}, {name}", shot, columns=8, fps=FPS)
            if task.seen:
                near = best_psnr(code, made, video[:, list(task.made)])
                yield Measured(f"{name} PSNR, dB", arm, near)
            yield Measured(f"{name} tfvd", arm, clip_distance(clip_features(shot), real))
            yield Measured(f"frames read, last third, {name}", arm, actors_read(shot, last=5))
            if name == "transition":
                yield Measured("largest over mean frame difference", arm, unevenness(shot))
            if name == "image to video":
                right = (movers(shot)[0] == actor)[far > 0.2].float().mean()
                yield Measured("told actor moves most, share of clips", arm, float(right))


PROOF = Proof(
    claim="One network trained on Bernoulli frame masks does five tasks within ten percent of networks "
    "trained for each, and its transitions beat cross-fades and a network that knows only prefixes.",
    world="script",
    arms={
        "seine": "every frame known with probability 0.15",
        "specialists": "a network a task, in all as many steps",
        "prefixes": "the first 0 to 4 frames known",
        "cross-fade": "the first picture fades into the last",
    },
    expectations=(
        Expectation("transition tfvd", "seine", "cross-fade", 0.8, "actors act, not dissolve"),
        Expectation("transition PSNR, dB", "prefixes", "seine", 0.95, "it knows no ending"),
        Expectation("text to video tfvd", "seine", "specialists", 1.1, "within ten percent"),
        *(
            Expectation(f"{name} PSNR, dB", "specialists", "seine", 1.1, "within ten percent")
            for name, seen in SEEN.items()
            if seen
        ),
        Expectation(
            "frames read, last third, prediction", 0.8, "seine", 1, "actors in the last frames"
        ),
    ),
    experiment=experiment,
    minutes=19,
)

train = alone("seine", learn)
