"""MeBT: long videos end to end, in one pass over all their tokens.

Yoo, Kim, Lee, Kim, Hong, "Towards End-to-End Generative Modeling of Long Videos with
Memory-Efficient Bidirectional Transformers", CVPR 2023, arXiv 2303.11251. Written from the paper.

All tokens z of a video are written together, as a masked model does: the loss is the cross-entropy
of hidden tokens given the visible ones. Tokens never look at each other: a fixed number of latents
reads them (latents ask, tokens answer), mixes what was read, and is read by them in turn, so that
time and memory grow as tokens x latents, where full attention grows as tokens^2. Clips grow longer
over the training. A film is drafted, tokens in groups drawn at random, and revised: M rounds in
which every group is decided anew given all others (Lee et al. 2022, "Draft-and-Revise").

Left out: separate stacks that encode visible and decode hidden tokens (every block reads and writes
all tokens) and latents that are nowhere (they stand in the clip; see `nets.masked` for both), a
budget of targets in training, the 3D VQGAN's critics, classes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longtake.lab.quantities import STEP_BYTES, STEP_SECONDS, growth_of
from longtake.lab.systems import Design, alone, masked_model
from longtake.models.picking import Picking
from longtake.models.revealing import DraftAndRevise
from longtake.system import Curve, Expectation, Measured, Proof, System

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.lab.bench import Lab
    from longtake.models.sheets import Sheet

WINDOW = 32  # latent frames of a pass: 128 frames, 2,048 tokens
SHORT = 4  # of the baseline's: 16 frames
STEPS, TOKENS = 1600, 64  # latent frames in a step of any arm
PICKING = Picking(top_p=0.95)
SIZES = {
    "proof": {"codes": 512, "width": 128, "blocks": 4, "latents": (8, 4, 4)},
    "paper": {"codes": 16384, "width": 1024, "blocks": 8, "head": 64, "ratio": 4}
    | {"latents": (4, 8, 8)},
}
DESIGN = Design("mebt", "digits", SIZES, WINDOW, "vq")


def mebt(
    *,
    scheme: str = f"autoregressive:window={WINDOW},step={WINDOW // 2}",
    revisions: int = 2,
    size: str = "proof",
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The system: bouncing digits, 128 frames a call. size: "proof", or "paper" for the published one's."""
    model = functools.partial(masked_model, picking=PICKING, revealing=revised(revisions))
    return DESIGN.system(scheme, size, weights, device, network, model, knobs=[revisions])


def network(size: str = "proof") -> Any:
    """What hidden tokens may be, given the visible ones."""
    from longtake.nets.masked import BottleneckTransformer
    from longtake.nets.tokens import TokenShape

    return BottleneckTransformer(TokenShape(**SIZES[size]))


def revised(revisions: int) -> DraftAndRevise:
    """A draft in 16 groups, then so many rounds over 8."""
    return DraftAndRevise(16, 8, revisions)


def length(step: int, steps: int) -> int:
    """Latent frames of a clip at a step: a quarter of the training at 8, a quarter at 16, then all."""
    return min(WINDOW, 8 * 2 ** int(4 * step / steps))


def learn(lab: Lab, arm: str = "mebt") -> Iterator[Any]:
    """Trains an arm: the system on whole videos, or a GPT on windows of 16 frames."""
    import numpy as np
    import torch

    from longtake.lab.tokens import told
    from longtake.models.masked import masked_loss
    from longtake.models.tokens import log_chances

    takes = lab.takes("digits", 160, 4 * WINDOW, kind="vq")
    net, steps = (network() if arm == "mebt" else rival()), lab.count(STEPS)

    def batch(step: int) -> Sheet:
        rng = np.random.default_rng([lab.seed, step])
        span = length(step, steps) if arm == "mebt" else SHORT
        observed = 0 if arm == "mebt" else int(rng.integers(2)) * SHORT // 2
        _, rows, at = takes.clips(rng, TOKENS // span, span)
        return told(takes, rows, at, observed)

    def losses(whole: Sheet) -> dict[str, Tensor]:
        if arm == "mebt":
            return {"masked": masked_loss(net, whole)}
        return {"tokens": -log_chances(net, whole).mean(1)}

    torch.manual_seed(lab.seed)
    yield from lab.train(arm, net, losses, batch, STEPS, rate=4e-3)


def rival() -> Any:
    """The baseline: tokens one after another, in windows that slide."""
    from longtake.nets.gpt import GPT
    from longtake.nets.tokens import TokenShape

    return GPT(TokenShape(512, blocks=4))


def costs(lab: Lab, frames: tuple[int, ...] = (16, 32, 64, 128)) -> Iterator[Any]:
    """How a training step grows with the film, against full attention."""
    from longtake.lab.costs import masked_growth
    from longtake.nets.masked import MaskedTransformer
    from longtake.nets.tokens import TokenShape

    nets = {"mebt": network(), "full attention": MaskedTransformer(TokenShape(512, blocks=4))}
    yield from masked_growth(nets, frames, lab.count(7))


def experiment(lab: Lab) -> Iterator[Any]:
    """Films of 128 frames in one pass, revised 0, 1 and 2 times; and by a window that slides."""
    from longtake.clip import ClipSpec
    from longtake.lab import measures
    from longtake.lab.costs import seconds
    from longtake.lab.films import films, pictures
    from longtake.lab.tokens import FRAME
    from longtake.models.tokens import TokenModel
    from longtake.schemes import find_scheme

    yield from costs(lab)
    yield from learn(lab)
    yield from learn(lab, "sliding window")

    def film(model: Any, scheme: str) -> Any:
        plan = find_scheme(scheme)
        return functools.partial(films, model, plan, WINDOW, seed=lab.seed, frame=FRAME)

    net, whole = lab.trained("mebt", network()), ClipSpec(WINDOW, FRAME, "", codes=512)
    gpt, short = lab.trained("sliding window", rival()), ClipSpec(SHORT, FRAME, "", codes=512)
    arms = {
        arm: film(
            masked_model(net, whole, PICKING, revised(revisions)), f"one-shot:window={WINDOW}"
        )
        for revisions, arm in enumerate(("draft only", "revised once", "mebt"))
    }
    chain = f"autoregressive:window={SHORT},step={SHORT // 2}"
    arms["sliding window"] = film(TokenModel(gpt, short, PICKING), chain)
    truth = lab.takes("digits", 24, 4 * WINDOW, use="test", kind="vq")
    real = measures.clip_features(truth.video())
    for arm, made in arms.items():
        video = pictures(lab, "digits", arm, functools.partial(made, lab.count(20)), kind="vq")
        clips = measures.clip_features(video)
        middles, course = measures.distance_course(clips, real, window=WINDOW)
        yield Measured("tfvd", arm, measures.clip_distance(clips, real))
        yield Measured("tfvd, rise in a hundred frames", arm, measures.rise(middles, course))
        yield Curve("tfvd", arm, "frame", tuple(middles), tuple(course))
        yield Measured("frames read, last third", arm, measures.digits_read(video, last=42))
    pair = {arm: functools.partial(arms[arm], 1) for arm in ("mebt", "sliding window")}
    for arm, spent in seconds(pair, lab.count(3)).items():
        yield Measured(FILM, arm, spent)


FILM = "a film of 128 frames, processor seconds"

PROOF = Proof(
    claim="A masked transformer whose tokens meet in a fixed number of latents makes long videos in "
    "one pass, at a cost that grows linearly, better and sooner than a window that slides "
    "(UCF-101, 128 frames: FVD 968).",
    world="digits",
    arms={
        "mebt": "128 frames in one pass, drafted in 16 groups, revised twice in 8",
        "draft only": "the same weights, not revised",
        "revised once": "the same weights",
        "sliding window": "a GPT trained on 16 frames, equal steps of as many tokens",
        "full attention": "for costs alone: a masked transformer whose tokens look at each other",
    },
    expectations=(
        Expectation(growth_of(STEP_SECONDS), "mebt", 1.2, 1, "linear"),
        Expectation(growth_of(STEP_SECONDS), 1.4, "full attention", 1, "2 in the end"),
        Expectation(growth_of(STEP_BYTES), "mebt", 1.1, 1, "linear"),
        Expectation(growth_of(STEP_BYTES), 1.5, "full attention", 1, "2 in the end"),
        Expectation("tfvd", "mebt", "sliding window", 0.9, "over all clips of 128 frames"),
        Expectation(
            "tfvd, rise in a hundred frames", "mebt", "sliding window", 1, "no error piles up"
        ),
        Expectation("tfvd", "revised once", "draft only", 1, "revising helps"),
        Expectation("tfvd", "mebt", "revised once", 1, "and helps again"),
        Expectation(FILM, "mebt", "sliding window", 0.5, "32 passes against 2,048"),
        Expectation("frames read, last third", 0.8, "mebt", 1, "both digits are seen"),
    ),
    experiment=experiment,
    minutes=20,
)

train = alone("mebt", learn)
