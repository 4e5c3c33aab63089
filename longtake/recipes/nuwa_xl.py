"""NUWA-XL: diffusion over diffusion, key frames of the whole film first, then what lies between.

Yin et al., "NUWA-XL: Diffusion over Diffusion for eXtremely Long Video Generation", ACL 2023, arXiv
2303.12346. Written from the paper; no code was published.

Mask temporal diffusion (section 3.2) denoises L frames x_t under a prompt for each and a visual
condition: x_c = m x_0, the known frames, and the mask m, which at every scale of a space-time U-Net
become h <- h (1 + scale(x_c, m)) + shift(x_c, m). Global diffusion has m = 0 and makes L key frames
that span the film; local diffusion has m = 1 at the first and last frame, two neighbours of the
level above, and fills in between (section 3.3). d levels make N = (L-1)^d + 1 frames in d sequential
rounds, for all segments of a level are independent. Trained on long video: level k sees frames
(L-1)^(d-k) apart, as it will when sampling, so there is no gap between training and inference.

Left out: the temporal layers of T-KLVAE (the world's shared codec is frame by frame; a film keeps
its number of frames either way), CLIP's text encoder (words as they are), weights of their own for
the global model (one set serves every level and knows a level by its frames' times), noise
prediction (rectified flow).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from longtake.lab.scripted import HEARD, STABLE_DIFFUSION, WORDS, told_takes
from longtake.lab.systems import Design, alone, flow_in, flow_model
from longtake.system import Curve, Expectation, Measured, Proof, System

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.lab.bench import Lab

L, DEPTH = 8, 3  # frames in a call, levels; the paper has 16 and 3
SPACINGS = tuple((L - 1) ** (DEPTH - k) for k in range(1, DEPTH + 1))  # 49, 7, 1
FRAMES = (L - 1) ** DEPTH + 1  # 344; the paper's 3,376
OVERLAP = 2  # frames a sliding window sees of the last one
STEPS = 2400
FPS = 10.0
PLAY = {"count": 2, "fps": FPS}  # actors of the world script
SIZES: dict[str, dict[str, Any]] = {  # paper: widths of Stable Diffusion, since it tells none
    "proof": {"widths": (32, 64), "attends": (False, True)},
    "paper": STABLE_DIFFUSION | {"head": 40},
}
DESIGN = Design("nuwa_xl", "script", SIZES, L, **HEARD)
ARM, SLIDING = "diffusion over diffusion", "sliding window"
ARMS = {
    ARM: (f"coarse-to-fine:window={L}", SPACINGS),
    SLIDING: (f"autoregressive:window={L},step={L - OVERLAP}", (1,)),
}


def nuwa_xl(
    *,
    scheme: str = ARMS[ARM][0],
    steps: int = 12,
    size: str = "proof",
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The system: coloured shapes act out a text. size: "proof", or "paper" for the published one's size."""
    flow = flow_in(steps)
    return DESIGN.system(scheme, size, weights, device, network, flow, knobs=[steps], arm=ARM)


def network(size: str = "proof") -> Any:
    """Mask temporal diffusion: known frames scale and shift features at every scale, and enter nowhere else."""
    from longtake.nets.routes import Conditioned, Emptied, EveryScale
    from longtake.nets.unet import FactorisedUNet, UNetShape

    routes = Emptied(), EveryScale(8)
    shape = UNetShape(channels=8, maps=routes[1].maps, text=WORDS, **SIZES[size])
    return Conditioned(FactorisedUNet(shape), *routes)


def learn(lab: Lab, arm: str, spacings: Sequence[int]) -> Iterator[Any]:
    """Trains one arm, step n on frames spacings[n % k] apart; the same net, steps and sizes of batches."""
    import numpy as np
    import torch

    from longtake.lab.tasks import flow
    from longtake.models.diffusion import Scene

    (takes, text), net = told_takes(lab, 96, FRAMES + 56, **PLAY), network()

    def batch(step: int) -> Scene:
        rng, apart = np.random.default_rng([lab.seed, step]), spacings[step % len(spacings)]
        rows = torch.from_numpy(rng.integers(len(takes), size=8))
        begin = rng.integers(takes.latents.shape[1] - apart * (L - 1), size=8)
        places = torch.from_numpy(begin)[:, None] + apart * torch.arange(L)
        known = torch.zeros(8, L, dtype=torch.bool)
        if arm == SLIDING:
            known[:, :OVERLAP] = torch.from_numpy(rng.random(8) < 0.9)[:, None]
        elif apart < SPACINGS[0]:
            known[:, [0, -1]] = True
        return Scene(takes.at(rows, places), known, places / FPS, text[rows[:, None], places])

    yield from lab.train(
        arm, net, lambda scene: {"flow": flow(net, scene)}, batch, STEPS, rate=4e-3
    )


def experiment(lab: Lab) -> Iterator[Any]:
    """Both arms make films of N frames of the same held-out plays, from nothing but their prompts."""
    from longtake.clip import ClipSpec
    from longtake.lab.films import pictures, told_films
    from longtake.lab.measures import clip_features, distance_course, read_share, rise
    from longtake.schemes import find_scheme
    from longtake.steps import Plan, Timeline

    truth, text = told_takes(lab, 16, FRAMES, use="test", **PLAY)
    real, stage = truth.video(), truth.stretches[0].made()
    known = clip_features(real)

    def seen(number: int, film: Tensor) -> Tensor:
        state = stage.read(film)
        return (state["there"] & (state["likeness"].amax(-1) > LIKE)).any(1)

    for arm, (said, spacings) in ARMS.items():
        yield from learn(lab, arm, spacings)
        scheme = find_scheme(said)
        rounds = Plan.of(scheme, Timeline(FRAMES)).critical_path
        model = flow_model(lab.trained(arm, network()), ClipSpec(L, (8, 8, 8), ""))
        make = functools.partial(told_films, model, scheme, text, seed=lab.seed, frame=(8, 8, 8))
        video = pictures(lab, "script", arm, make)
        middles, distances = distance_course(clip_features(video), known, window=SPACINGS[0])
        yield Curve("block tfvd", arm, "frame", tuple(middles), tuple(distances))
        yield Measured("sequential rounds", arm, rounds)
        yield Measured("rise of block tfvd, a hundred frames", arm, rise(middles, distances))
        yield Measured("tfvd of the last block", arm, distances[-1])
        yield Measured("frames read, last block", arm, read_share(video, seen, last=SPACINGS[0]))
    yield Measured("frames read, last block", "world", read_share(real, seen, last=SPACINGS[0]))


LIKE = 0.9  # cosine of an outline with a known shape's from which on it counts as one
PROOF = Proof(
    claim="Trained on long video, a hierarchy of diffusions makes a film in as many rounds as it has "
    "levels, and its end is no worse than its beginning, where a sliding window degrades.",
    world="script",
    arms={
        ARM: f"key frames {SPACINGS[0]} apart, then {SPACINGS[1]}, then all: {FRAMES} frames",
        SLIDING: f"the same network trained on {L} neighbours, {OVERLAP} of them known",
    },
    expectations=(
        Expectation("sequential rounds", ARM, float(DEPTH), 1, "one for every level"),
        Expectation("sequential rounds", 57.0, SLIDING, 1, "ceil((N - L) / (L - overlap)) + 1"),
        Expectation(
            "rise of block tfvd, a hundred frames", ARM, SLIDING, 0.5, "errors do not add up"
        ),
        Expectation("tfvd of the last block", ARM, SLIDING, 0.9, "and so the film ends better"),
        Expectation("frames read, last block", 0.8, ARM, 1, "the last frames show actors"),
    ),
    experiment=experiment,
    system=ARM,
    minutes=20,
)

train = alone("nuwa_xl", learn, ARM, SPACINGS)
