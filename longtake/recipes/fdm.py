"""FDM: any subset of a film's frames, given any other.

Harvey, Naderiparizi, Masrani, Weilbach, Wood, "Flexible Diffusion Modeling of Long Videos", NeurIPS
2022, arXiv 2205.11495. Written from the paper.

One network models p(latent frames | observed frames, their places), at most K frames in all. It
learns from index sets over whole long videos (`index_set`, the paper's Algorithm 2): groups of
frames evenly spaced, the spacing log-uniform from next neighbours to the whole video; the first group
is latent, every other latent or observed by the toss of a coin, until K are drawn (the last group
is cut to fit, where the paper drops it, so that every set is full). Observed frames enter un-noised
with a flag, and the loss |v - (e - x0)|^2 is taken on latent frames alone. At sampling time a scheme,
a list of (latent, observed) index sets, writes a film of any length: chains, long-range chains,
hierarchies, and hierarchies that choose what they observe.

Left out: the U-Net with relative position networks (a space-time transformer at real times stands for
both), pixels (latents of the maze's shared codec), DDPM's objective (rectified flow), schemes
optimised on validation losses, LPIPS in the adaptive choice (distance of latents instead).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longtake.lab.systems import Design, alone, flow_in, flow_model
from longtake.system import Expectation, Measured, Proof, System

if TYPE_CHECKING:
    import numpy as np

    from longtake.lab.bench import Lab

K = 12  # frames in a call
FPS = 5.0
MAZE = {"same": 7, "fps": FPS, "cells": 5}  # one town for all, as CARLA's Town01
SIZES = {  # of the space-time transformer that stands for the paper's U-Net
    "proof": {"outer": 64, "inner": 128, "outer_blocks": 1, "inner_blocks": 4},
    "paper": {"outer": 256, "inner": 512, "outer_blocks": 3, "inner_blocks": 20},
}
DESIGN = Design("fdm", "maze", SIZES, window=K, fps=FPS)
SCHEMES = {
    "autoregressive": f"autoregressive:window={K},step={K // 2}",
    "long-range": f"long-range:window={K},step={K // 2}",
    "hierarchy-2": f"hierarchy:levels=2,window={K},step={K // 2}",
    "hierarchy-3": f"hierarchy:levels=3,window={K},step={K // 2}",
    "adaptive": f"adaptive:window={K},step={K // 2}",
}


def fdm(
    *,
    scheme: str = SCHEMES["hierarchy-2"],
    steps: int = 12,
    size: str = "proof",
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The system: walks through one maze. size: "proof", or "paper" for the published one's size."""
    return DESIGN.system(scheme, size, weights, device, network, flow_in(steps), knobs=[steps])


def network(size: str = "proof") -> Any:
    """p(latent | observed), as a velocity."""
    from longtake.nets.dit import DiTShape, SpaceTimeTransformer

    return SpaceTimeTransformer(DiTShape(channels=8, text=1, **SIZES[size]))


def index_set(rng: np.random.Generator, length: int) -> tuple[list[int], list[bool]]:
    """K places in a video of `length` frames, rising, and which are observed (Algorithm 2)."""
    observed: dict[int, bool] = {}
    latent = True
    while len(observed) < K:
        count = int(rng.integers(1, K + 1))
        spacing = (length / (count - 0.999)) ** rng.random() if count > 1 else 0.0
        start = rng.random() * (length - (count - 1) * spacing)
        group = dict.fromkeys(int(start + n * spacing) for n in range(count))
        fresh = [place for place in group if place not in observed]
        observed |= dict.fromkeys(fresh[: K - len(observed)], not latent)
        latent = rng.random() < 0.5
    return sorted(observed), [observed[place] for place in sorted(observed)]


def learn(lab: Lab) -> Iterator[Any]:
    """Trains the network on index sets."""
    import numpy as np
    import torch

    from longtake.lab.tasks import flow
    from longtake.models.diffusion import Scene

    takes, net = lab.takes("maze", 48, 320, **MAZE), network()

    def batch(step: int) -> Scene:
        rng = np.random.default_rng([lab.seed, step])
        sets = [index_set(rng, takes.latents.shape[1]) for _ in range(8)]
        rows = torch.from_numpy(rng.integers(len(takes), size=8))
        at, seen = (torch.tensor(part) for part in zip(*sets, strict=True))
        return Scene(takes.at(rows, at), seen, at / FPS, torch.zeros(8, K, 1))

    yield from lab.train("fdm", net, lambda scene: {"flow": flow(net, scene)}, batch, 5000)


def experiment(lab: Lab) -> Iterator[Any]:
    """One checkpoint, five schemes: films of 300 frames after 6 given ones."""
    import torch

    from longtake.clip import Clip, ClipSpec
    from longtake.lab.films import farthest, films, pictures
    from longtake.lab.measures import clip_distance, clip_features, location_distance
    from longtake.schemes import find_scheme

    yield from learn(lab)
    model = flow_model(lab.trained("fdm", network()), ClipSpec(K, (8, 8, 8), ""))
    truth = lab.takes("maze", 16, 300, use="test", **MAZE)
    length, count = lab.count(300, least=40), len(truth)
    start = Clip(truth.latents[:, :6].float(), tuple(range(6)))
    real = clip_features(truth.video()[:, :length])
    world = truth.stretches[0].made()
    walked = truth.truth["pose"][:, :length, :2].flatten(0, 1)
    for arm, scheme in SCHEMES.items():
        make = functools.partial(
            films,
            model,
            find_scheme(scheme),
            length,
            count,
            seed=lab.seed,
            frame=(8, 8, 8),
            given=start,
            interval=1 / FPS,
            select=farthest,
        )
        video = pictures(lab, "maze", arm, make, FPS)
        seen = [world.read(film[6::10]) for film in video]
        pose = torch.cat([one["pose"] for one in seen])
        strange = torch.cat([one["miss"] for one in seen]) > READ
        late = torch.cat([one["miss"][-len(one["miss"]) // 3 :] for one in seen]) <= READ
        yield Measured("tfvd", arm, clip_distance(clip_features(video), real))
        yield Measured("location distance, blocks", arm, location_distance(pose[:, :2], walked))
        yield Measured("frames of no place in the maze", arm, float(strange.float().mean()))
        yield Measured("frames read, last third", arm, float(late.float().mean()))


READ = 0.034  # mean difference from the place found: frames of another maze come no nearer to one

PROOF = Proof(
    claim="One network trained on all index sets serves every scheme; over hundreds of frames a "
    "two-level hierarchy beats autoregression (CARLA Town01: FVD 124 against 246).",
    world="maze",
    arms={
        "autoregressive": "6 new frames given the last 6",
        "long-range": "the same, half of them given the film's first frames",
        "hierarchy-2": "a pass of sparse frames, then those between",
        "hierarchy-3": "three passes",
        "adaptive": "a chain that observes the frames most unlike one another",
    },
    expectations=(
        Expectation("tfvd", "hierarchy-2", "autoregressive", 0.9, "the paper's ratio is 0.5"),
        Expectation(
            "location distance, blocks",
            "hierarchy-2",
            "autoregressive",
            0.9,
            "where the films' camera has been, against where the walk goes",
        ),
        Expectation(
            "frames read, last third", 0.8, "hierarchy-2", 1, "the last frames show this maze"
        ),
    ),
    experiment=experiment,
    minutes=18,
)

train = alone("fdm", learn)
