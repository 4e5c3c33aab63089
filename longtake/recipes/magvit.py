"""MAGVIT: one masked transformer for every task that fills in part of a clip.

Lijun Yu, Cheng, Sohn, Lezama, Zhang, Chang, Hauptmann, Ming-Hsuan Yang, Hao, Essa, Jiang, "MAGVIT:
Masked Generative Video Transformer", CVPR 2023, arXiv 2212.05199. Written from the paper.

A task gives a region of a clip's pixels; the rest is padded, and the padded clip is made codes z~.
COMMIT masks the clip's own codes z, a share of them drawn by a cosine: a masked code is shown as z~
where its block of pixels holds given ones, as [MASK] where it holds padding alone, and is asked for
in both cases. So a condition is refined and need not be right, which at a region's edge it is not.
The plain way, to give the codes of the region as they are, leaks: in training they come from
the whole clip and say what lies beyond the edge; at sampling they cannot. The task is told
with every token. Decoding takes 12 steps, surest first, and begins with z~.

Left out: inflation of the codec from pictures, classes, the loss of codes that are given away; padding is
grey in space, in time the last frame held or a blend.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longtake.lab.systems import Design, alone, masked_model
from longtake.models.picking import Picking
from longtake.models.revealing import Confidence
from longtake.system import Expectation, Measured, Proof, System

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.lab.bench import Lab
    from longtake.models.sheets import Sheet

WINDOW, COUNT = 4, 8  # latent frames of a clip, tasks
STEPS, BATCH = 1280, 8
SILENT = 0.1  # share of clips whose task is not told
SIZES = {
    "proof": {"codes": 512, "width": 128, "blocks": 4},
    "paper": {"codes": 1024, "width": 1024, "blocks": 24, "head": 64, "ratio": 4},  # MAGVIT-L
}
DESIGN = Design("magvit", "script", SIZES, WINDOW, "vq")


def magvit(
    *,
    scheme: str = f"autoregressive:window={WINDOW},step={WINDOW - 1}",
    steps: int = 12,
    size: str = "proof",
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The system, predicting frames of stories. size: "proof", or "paper" for MAGVIT-L's size."""
    model = functools.partial(masked_model, picking=Picking(), revealing=Confidence(steps))
    return DESIGN.system(scheme, size, weights, device, network, model, knobs=[steps])


def network(size: str = "proof") -> Any:
    """What masked codes may be, given the others, the condition and the task."""
    from longtake.nets.masked import MaskedTransformer
    from longtake.nets.tokens import TokenShape

    return MaskedTransformer(TokenShape(text=COUNT, **SIZES[size]))


def asked(codes: Tensor, tasks: Tensor) -> Sheet:
    """Clips (b, s, 1, h, w) under tasks (b,), as tokens; a task of COUNT is not told."""
    import torch

    from longtake.models.sheets import laid

    text = torch.nn.functional.one_hot(tasks, COUNT + 1)[:, None, :COUNT].expand(-1, WINDOW, -1)
    return laid(codes, torch.arange(WINDOW).expand(len(codes), -1), 0, text)


def learn(
    lab: Lab, arm: str = "magvit", tasks: tuple[int, ...] = tuple(range(COUNT))
) -> Iterator[Any]:
    """Trains an arm on tasks, each worth an eighth of the steps. "replacement": codes are given as they are."""
    import numpy as np
    import torch

    from longtake.lab.regions import TASKS, conditioned, told
    from longtake.models.masked import masked_loss

    (codes, conditions), net = conditioned(lab, 480, "train"), network()
    where = torch.stack([told(task).flatten() for task in TASKS])

    def batch(step: int) -> tuple[Sheet, Tensor, Tensor]:
        rng = np.random.default_rng([lab.seed, step])
        rows = torch.from_numpy(rng.integers(len(codes), size=BATCH))
        task = torch.from_numpy(rng.choice(tasks, size=BATCH))
        said = task.where(torch.from_numpy(rng.random(BATCH)) >= SILENT, COUNT)
        return asked(codes[rows], said), conditions[rows, task].flatten(1), where[task]

    def losses(drawn: tuple[Sheet, Tensor, Tensor]) -> dict[str, Tensor]:
        whole, condition, there = drawn
        if arm == "replacement":
            return {"masked": masked_loss(net, whole, fixed=there)}
        return {"masked": masked_loss(net, whole, condition=condition.where(there, -1))}

    torch.manual_seed(lab.seed)
    yield from lab.train(arm, net, losses, batch, STEPS * len(tasks) // COUNT)


def experiment(lab: Lab) -> Iterator[Any]:
    """Eight tasks: by one model, by eight, and by one to which codes are given as they are."""
    import torch

    from longtake.lab.films import pictures
    from longtake.lab.measures import actors_read, clip_distance, clip_features
    from longtake.lab.regions import TASKS, beyond, conditioned, filled, videos
    from longtake.models.masked import HINT, KNOWN

    yield from learn(lab)
    yield from learn(lab, "replacement")
    for task, name in enumerate(TASKS):
        yield from learn(lab, f"specialists/{name}", (task,))
    codes, conditions = conditioned(lab, 40, "test")
    real = clip_features(videos(lab, 40, "test"))
    states = {"magvit": HINT, "specialists": HINT, "replacement": KNOWN}
    found: dict[tuple[str, str], list[float]] = {}
    for task, name in enumerate(TASKS):
        same = torch.full((len(codes),), task)
        own, padded = asked(codes, same), asked(conditions[:, task], same)
        for arm, state in states.items():
            net = lab.trained(f"{arm}/{name}" if arm == "specialists" else arm, network())
            make = functools.partial(filled, net, padded, name, state, Confidence(12), lab.seed)
            video = pictures(lab, "script", f"{arm}, {name}", make, kind="vq")
            distance = clip_distance(clip_features(video), real)
            yield Measured(f"tfvd, {name}", arm, distance)
            found.setdefault((MEAN, arm), []).append(distance)
            late = actors_read(video, last=4)
            found.setdefault(("frames read, last four", arm), []).append(late)
            if name == "frame prediction":  # the one whose given codes know nothing else
                continue
            lost = beyond(net, padded, name, state, codes)
            found.setdefault((BEYOND, arm), []).append(lost)
            if arm == "replacement":
                lost = beyond(net, own, name, state, codes)
                found.setdefault((BEYOND, f"{arm}, leaking"), []).append(lost)
    for (quantity, arm), values in found.items():
        yield Measured(quantity, arm, sum(values) / len(values))
    pairs = zip(found[MEAN, "magvit"], found[MEAN, "specialists"], strict=True)
    yield Measured(WORST, "magvit", max(one / other for one, other in pairs))


MEAN, WORST = "tfvd, mean of the tasks", "tfvd over the specialist's, worst of the tasks"
BEYOND = "codes beyond the region, nats a code"

PROOF = Proof(
    claim="One masked transformer fills in what any of eight tasks leaves out about as well as a "
    "specialist for each, and conditions that are refined beat codes given as they are "
    "(ten tasks by one model; UCF-101 FVD 76).",
    world="script",
    arms={
        "magvit": "COMMIT; eight tasks share all steps",
        "specialists": "COMMIT; a model for each task, with an eighth of the steps each",
        "replacement": "codes of the region are never asked for: in training the clip's own, at sampling "
        "the padded clip's",
        "replacement, leaking": "the same weights, given the clip's own codes at sampling as well",
    },
    expectations=(
        Expectation(WORST, "magvit", 1.0, 1.1, "no task is more than a tenth worse"),
        Expectation(MEAN, "magvit", "replacement", 0.95, "refined or given"),
        Expectation(
            BEYOND, "replacement, leaking", "replacement", 0.97, "codes tell what is beyond"
        ),
        Expectation(
            BEYOND, "magvit", "replacement", 0.97, "COMMIT learns from what it will be told"
        ),
        Expectation("frames read, last four", 0.8, "magvit", 1, "frames show the script"),
    ),
    experiment=experiment,
    minutes=20,
)

train = alone("magvit", learn)
