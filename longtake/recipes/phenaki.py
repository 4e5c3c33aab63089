"""Phenaki: a story told by prompts, one after another, in codes that are causal in time.

Villegas, Babaeizadeh, Kindermans, Moraldo, Zhang, Saffar, Castro, Kunze, Erhan, "Phenaki: Variable
Length Video Generation From Open Domain Textual Description", ICLR 2023, arXiv 2210.02399. Written
from the paper.

A codec looks back in time alone, so that a longer video's codes begin with the shorter one's, and
shares a code among frames. A masked transformer sees all codes of a clip and the prompt: a cosine
draws the share that is hidden, the loss is the cross-entropy of what is. A clip is decoded in 12
steps, surest codes first, guided away from no prompt. A story: the last clip's codes are kept as
known, and the next ones are hidden and decoded under the next prompt.

Left out: C-ViViT's transformers and first frame by itself (the shared codec's filters are causal and
take frames in fours), T5 (prompts are bags of words), training on pictures, critics, the
super-resolution stage.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longtake.lab.quantities import CHANGED, CHANGED_BY_OWN, codes_alike
from longtake.lab.scripted import HEARD, WORDS
from longtake.lab.systems import Design, alone, masked_model
from longtake.models.picking import Picking
from longtake.models.revealing import Confidence
from longtake.system import Expectation, Measured, Proof, System

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.lab.bench import Lab
    from longtake.lab.takes import Takes
    from longtake.models.sheets import Sheet

SLOT = 4  # latent frames under one prompt
WINDOW = 2 * SLOT
SLOTS, FPS = 9, 6.4  # of the stories
SCHEME = f"autoregressive:window={WINDOW},step={SLOT}"
STEPS, BATCH, CODEC_STEPS = 2600, 8, 300
SILENT = 0.1  # share of clips whose prompts are not told
SIZES = {
    "proof": {"codes": 512, "width": 128, "blocks": 4},
    "paper": {"codes": 8192, "width": 1536, "blocks": 24, "head": 64, "ratio": 4},
}
DESIGN = Design("phenaki", "script", SIZES, WINDOW, "vq", fps=FPS, **HEARD)
PICKING = Picking(top_p=0.95, guidance=2.0)


def phenaki(
    *,
    scheme: str = SCHEME,
    steps: int = 12,
    guidance: float = PICKING.guidance,
    size: str = "proof",
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The system: shapes act as prompts say. size: "proof", or "paper" for the published one's."""
    picking = dataclasses.replace(PICKING, guidance=guidance)
    model = functools.partial(masked_model, picking=picking, revealing=Confidence(steps))
    return DESIGN.system(scheme, size, weights, device, network, model, knobs=[steps, guidance])


def network(size: str = "proof") -> Any:
    """What hidden codes may be, given the others and the prompts."""
    from longtake.nets.masked import MaskedTransformer
    from longtake.nets.tokens import TokenShape

    return MaskedTransformer(TokenShape(text=WORDS, **SIZES[size]))


def heard(takes: Takes) -> Tensor:
    """The prompts of stories as a control track: n s words."""
    from longtake.lab.script import prompts, tracks

    return tracks(prompts(takes, SLOTS))


def learn(lab: Lab) -> Iterator[Any]:
    """Trains the transformer on two slots of stories, the first of them mostly observed."""
    import numpy as np
    import torch

    from longtake.lab.script import stories
    from longtake.lab.tokens import told
    from longtake.models.masked import masked_loss

    takes, net = stories(lab, 320, SLOTS), network()
    track = heard(takes)

    def batch(step: int) -> Sheet:
        rng = np.random.default_rng([lab.seed, step])
        rows = torch.from_numpy(rng.integers(len(takes), size=BATCH))
        begin = torch.from_numpy(SLOT * rng.integers(SLOTS - 1, size=BATCH))
        told_of = torch.from_numpy(rng.random((BATCH, 1, 1)) >= SILENT)
        observed = SLOT if rng.random() < 0.85 else 0
        whole = told(takes, rows, begin[:, None] + torch.arange(WINDOW), observed, track)
        return dataclasses.replace(whole, text=whole.text * told_of)

    torch.manual_seed(lab.seed)
    yield from lab.train(
        "phenaki", net, lambda s: {"masked": masked_loss(net, s)}, batch, STEPS, rate=4e-3
    )


def coding(lab: Lab) -> Iterator[Any]:
    """What causal codes save, against codecs of single frames trained alike; and that they are causal."""
    from longtake.lab.coding import causal_savings
    from longtake.lab.shared import SHAPES
    from longtake.nets.convolutional import VideoShape

    shapes = {
        "phenaki": SHAPES["vq"],
        "coarse frames": VideoShape(16, (48, 96, 96), (False, False), patch=(1, 4)),
        "fine frames": VideoShape(16, (48, 96), (False,), patch=(1, 4)),
    }
    yield from causal_savings(lab, shapes, "script", FPS, CODEC_STEPS)


def experiment(lab: Lab) -> Iterator[Any]:
    """Eight prompts after a given slot: how many are followed; what codes save; what decoding costs."""
    from longtake import worlds
    from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
    from longtake.lab.costs import seconds
    from longtake.lab.films import pictures, told_films
    from longtake.lab.measures import actors_read, join_ratio
    from longtake.lab.script import deeds_seen, deeds_told, followed, stories
    from longtake.lab.takes import Told
    from longtake.lab.tokens import FRAME
    from longtake.models.tokens import TokenModel
    from longtake.nets.gpt import GPT
    from longtake.nets.tokens import TokenShape
    from longtake.schemes import find_scheme

    yield from coding(lab)
    yield from learn(lab)
    spec, truth = ClipSpec(WINDOW, FRAME, "", codes=512), stories(lab, 16, SLOTS, "test")
    model = masked_model(lab.trained("phenaki", network()), spec, PICKING, Confidence(12))
    told, track = deeds_told(truth, SLOTS), heard(truth)
    held = track[:, SLOT : SLOT + 1].expand_as(track)  # the first prompt after the given slot
    start = Clip(truth.latents[:, :SLOT], tuple(range(SLOT)))
    world = worlds.make("script", size=(64, 64), fps=FPS)
    made = functools.partial(
        told_films, model, find_scheme(SCHEME), seed=lab.seed, frame=FRAME, given=start
    )
    arms = {
        "phenaki": functools.partial(made, track),
        "first prompt held": functools.partial(made, held),
        "the stories themselves": lambda: truth.latents,
    }
    for arm, make in arms.items():
        video = pictures(lab, "script", arm, make, FPS, "vq")
        happened = [deeds_seen(world.read(film))[1:] for film in video]
        yield Measured(FOLLOWED, arm, followed([row[1:] for row in told], happened))
        yield Measured(JOINS, arm, join_ratio(video, range(16, 16 * SLOTS, 16)))
        yield Measured("frames read, last prompt", arm, actors_read(video, last=16))
    rival = TokenModel(GPT(TokenShape(512, text=WORDS)), spec, model.picking)
    seen, asked = Clip(start.frames[:1], start.at), tuple(range(SLOT, WINDOW))
    clip = ClipRequest(asked, seen, Told(rows=track[0]), Noise(0), FRAME)
    both = {"phenaki": model, "one after another": rival}
    calls = {arm: functools.partial(one.sample, clip) for arm, one in both.items()}
    for arm, spent in seconds(calls, lab.count(5)).items():
        yield Measured(CLIP, arm, spent)


FOLLOWED, JOINS = "share of prompts followed", "frame difference between prompts, over elsewhere"
CLIP, ALIKE = "a prompt's clip, processor seconds", codes_alike("phenaki")

PROOF = Proof(
    claim="Causal codes, fewer than frames coded one by one need, and masked decoding in a dozen steps "
    "tell stories of any length, prompt after prompt (40% fewer codes).",
    world="script",
    arms={
        "phenaki": "eight prompts after a given slot, each heard for its 16 frames",
        "first prompt held": "the same weights; the first of the eight is heard all along",
        "the stories themselves": "through the codec: what can be read at best",
        "coarse frames": "a codec of single frames, 16 codes each, trained alike",
        "fine frames": "64 codes each",
        "frame by frame": "between these two, as many codes as it takes to keep what phenaki keeps",
        "one after another": "for costs alone: a GPT of as many blocks",
    },
    expectations=(
        Expectation(ALIKE, "phenaki", "frame by frame", 0.6, "the paper: about 40% fewer"),
        Expectation(CHANGED, "phenaki", 0.0, 1, "causal, exactly"),
        Expectation(CHANGED_BY_OWN, 0.02, "phenaki", 1, "so it was tested"),
        Expectation(FOLLOWED, "first prompt held", "phenaki", 0.5, "twice as many at least"),
        Expectation(FOLLOWED, 0.25, "phenaki", 1, "a quarter; by chance a twentieth would be"),
        Expectation(JOINS, "phenaki", 1.0, 1, "one clip flows into the next"),
        Expectation(CLIP, "phenaki", "one after another", 0.5, "12 passes against 256"),
        Expectation("frames read, last prompt", 0.8, "phenaki", 1, "frames show the script"),
    ),
    experiment=experiment,
    minutes=20,
)

train = alone("phenaki", learn)
