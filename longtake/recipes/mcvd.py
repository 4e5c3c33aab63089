"""MCVD: one model for prediction, its reverse, interpolation and generation.

Voleti, Jolicoeur-Martineau, Pal, "MCVD: Masked Conditional Video Diffusion for Prediction,
Generation, and Interpolation", NeurIPS 2022, arXiv 2205.09853. Written from the paper.

A U-Net of pictures has all frames of a clip on its channels: p past ones, k current ones, f future
ones. In training the past and the future are each masked with probability 1/2, so that one network
learns p(current | past, future), p(current | past), p(current | future) and p(current). What is
observed reaches it in one of two ways: "concat", beside the noisy frames on the channels, or
"spatin", where it is resized to every scale and there turned by filters into a scale and a shift of
normalised features, h' = norm(h) (1 + gamma(y)) + beta(y). Films grow block by block: the last p
frames made are the next block's past.

Left out: pixels and their NCSN++ (latents of the digits' shared codec), the noise-predicting DDPM
objective with 100 to 1000 steps (rectified flow), the 3D variant.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.lab.systems import SAMPLING, Design, alone, flow_model, one_of, two_blocks
from longtake.models.samplers import Sampling
from longtake.system import Expectation, Measured, Proof, System

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from longtake.clip import ClipModel, ClipSpec
    from longtake.lab.bench import Lab
    from longtake.lab.tasks import Masks, Task

PAST, CURRENT, FUTURE = 3, 5, 3
LENGTH = PAST + CURRENT + FUTURE
INTERVAL = 0.1
SCHEME = f"autoregressive:window={PAST + CURRENT},step={CURRENT}"
SIZES: dict[str, dict[str, Any]] = {
    "proof": {"widths": (96, 192), "head": 32},
    "paper": two_blocks(widths=(192, 384, 576, 768), attends=(True, True, True, False), head=96),
}
DESIGN = Design("mcvd", "digits", SIZES, LENGTH, observes="ends")
ROUTES = {"concat": "mcvd", "spatin": "spatin"}  # and the arm that takes each
TASKS = {  # which of past and future they observe
    "generation": (False, False),
    "prediction": (True, False),
    "past prediction": (False, True),
    "interpolation": (True, True),
}
STEPS, RATE = {"concat": 1900, "spatin": 880}, 4e-3  # whose steps cost 2.2 times as much
GOOD = "tasks as good as their specialists'"


def mcvd(
    *,
    scheme: str = SCHEME,
    route: str = "concat",
    steps: int = SAMPLING.steps,
    size: str = "proof",
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The system: bouncing digits. route: "concat" or "spatin". size: "proof" or "paper"."""
    arm = ROUTES[one_of("route", route, ROUTES)]
    net = functools.partial(network, route=route)
    model = functools.partial(model_of, sampling=Sampling(steps=steps, shift=2.0))
    knobs = [route, steps]
    return DESIGN.system(scheme, size, weights, device, net, model, knobs=knobs, arm=arm)


def network(size: str = "proof", route: str = "concat") -> Any:
    """The velocity of all current frames at once."""
    from longtake.nets.routes import Conditioned, Emptied, EveryScale
    from longtake.nets.stacked import Slots, StackedUNet
    from longtake.nets.unet import UNetShape

    ways = [Emptied(), EveryScale(8)] if route == "spatin" else []
    shape = UNetShape(channels=8, maps=sum(way.maps for way in ways), **SIZES[size])
    return Conditioned(StackedUNet(shape, Slots(PAST, CURRENT, FUTURE)), *ways)


def model_of(net: nn.Module, spec: ClipSpec, sampling: Sampling = SAMPLING) -> ClipModel:
    """The clip model, which answers longer requests in blocks."""
    from longtake.models.wrappers import InBlocks

    return InBlocks(flow_model(net, spec, sampling), CURRENT, PAST, FUTURE)


def task(past: bool, future: bool) -> Task:
    """The current frames, given the past, the future, both or nothing."""
    from longtake.lab.tasks import Task

    before = range(PAST) if past else ()
    after = range(PAST + CURRENT, LENGTH) if future else ()
    return Task(tuple(range(PAST, PAST + CURRENT)), (*before, *after))


def masks(rng: np.random.Generator) -> Task:
    """Past and future, each there or not by the toss of a coin (section 2.3)."""
    return task(*(bool(coin) for coin in rng.random(2) < 0.5))


def learn(lab: Lab, route: str = "concat") -> Iterator[Any]:
    """Trains a network on all tasks."""
    from longtake.lab.tasks import learned

    net = network(route=route)
    yield from learned(lab, ROUTES[route], net, _batches(lab, masks), STEPS[route], rate=RATE)


def learn_specialists(lab: Lab) -> Iterator[Any]:
    """Trains a network a task, all of them together as long as one that knows every task."""
    from longtake.lab.tasks import always, learned

    for name, known in TASKS.items():
        batches = _batches(lab, always(task(*known)))
        steps = STEPS["concat"] // len(TASKS)
        yield from learned(lab, name, network(), batches, steps, rate=RATE)


def _batches(lab: Lab, drawn: Masks) -> Any:
    from longtake.lab.tasks import scenes

    takes = lab.takes("digits", 200, 60)
    return scenes(takes, drawn, seed=lab.seed, rows=32, length=LENGTH, interval=INTERVAL)


def experiment(lab: Lab) -> Iterator[Any]:
    """Four tasks, each asked of one network for all, by either route, and of the task's specialist."""
    from longtake.clip import Clip, ClipSpec
    from longtake.lab.films import films, shown
    from longtake.lab.measures import clip_distance, clip_features, digits_read
    from longtake.lab.shared import codec
    from longtake.lab.tasks import answers, best_psnr
    from longtake.schemes import find_scheme

    for route in ROUTES:
        yield from learn(lab, route)
    yield from learn_specialists(lab)
    code, test = codec("digits"), lab.takes("digits", 32, 33, use="test")
    video, asked = test.video(), {"seed": lab.seed, "interval": INTERVAL}
    real = clip_features(video)
    found: dict[str, dict[str, float]] = {}
    for arm in PROOF.arms:
        found[arm], models = {}, {}
        for name, known in TASKS.items():
            net = network(route="spatin" if arm == "spatin" else "concat")
            net = lab.trained(name if arm == "specialists" else arm, net)
            models[name] = model_of(net, ClipSpec(LENGTH, (8, 8, 8), ""))
            if any(known):
                made = answers(models[name], task(*known), test.latents, tries=5, **asked)
                found[arm][name] = best_psnr(code, made, video[:, PAST : PAST + CURRENT])
                yield Measured(f"{name} PSNR, dB", arm, found[arm][name])
        begun = answers(models["generation"], task(*TASKS["generation"]), test.latents, **asked)
        made = films(
            models["prediction"], find_scheme(SCHEME), 33, len(test), frame=(8, 8, 8),
            given=Clip(begun[0], tuple(range(CURRENT))), **asked,
        )  # fmt: skip
        shot = shown(code, made)
        lab.sheet(arm, shot)
        found[arm]["generation"] = clip_distance(clip_features(shot), real)
        yield Measured("generation tfvd", arm, found[arm]["generation"])
        yield Measured("frames read, last third", arm, digits_read(shot, last=11))
    for arm in ROUTES.values():
        yield Measured(GOOD, arm, as_good(found, arm))


def as_good(found: dict[str, dict[str, float]], arm: str) -> float:
    """At how many tasks an arm is at most 0.2 dB, or 5 % of tfvd, worse than the specialist."""
    one, special = found[arm], found["specialists"]
    near = sum(one[name] >= special[name] - 0.2 for name in TASKS if name != "generation")
    return float(near + (one["generation"] <= 1.05 * special["generation"]))


PROOF = Proof(
    claim="One network trained with the past and the future masked at random does each of the four "
    "tasks about as well as a network trained on that task alone, or better.",
    world="digits",
    arms={
        "mcvd": "one network for all tasks; observed frames on its channels",
        "spatin": "observed frames scale and shift features at every scale; as long a training",
        "specialists": "a network a task, in all as many steps as mcvd",
    },
    expectations=(
        Expectation(GOOD, 3, "mcvd", 1, "of four; the paper: masking helps both ends"),
        Expectation("prediction PSNR, dB", "specialists", "mcvd", 1.02, "two percent"),
        Expectation("interpolation PSNR, dB", "specialists", "mcvd", 1.02, "two percent"),
        Expectation("frames read, last third", 0.8, "mcvd", 1, "two digits in the last frames"),
    ),
    experiment=experiment,
    minutes=19,
)


def train(run: str | Path = "", seed: int = 0, route: str = "concat") -> Iterator[Any]:
    """Trains the system alone, into the folder of its proof."""
    yield from alone("mcvd", learn, route)(run, seed)
