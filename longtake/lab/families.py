"""Four families at the size that two cores train in minutes, each driven by one and the same scheme.

A diffusion, a token, a masked model and a GAN answer the requests of `SCHEME`, learn from such requests, and
are measured on films alike: the distance of their clips (tfvd) beside that of the same net untrained, of
frozen and of shuffled frames.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake.clip import Clip, ClipModel, ClipRequest, ClipSpec, Codec, Noise
from longtake.controls import Controls
from longtake.keys import fingerprint
from longtake.lab import coding
from longtake.lab.bench import Lab, Trained
from longtake.lab.films import films, sheet, shown
from longtake.lab.home import shared_codec
from longtake.lab.measures import Clips, clip_distance, clip_features
from longtake.lab.shared import SIZE, STEPS, make_codec, parameters, read_codec
from longtake.models.picking import Picking
from longtake.models.revealing import DraftAndRevise
from longtake.schemes import find_scheme
from longtake.train import Schedule, Tools, adversarial, fit, in_half, optimisers
from longtake.train.cost import nets_of
from longtake.train.lessons import as_they_were

WINDOW, STEP = 6, 3
SCHEME = find_scheme(f"autoregressive:window={WINDOW},step={STEP}")
FPS = {"digits": 10.0, "sky": 4.0}  # in a second of sky little moves
TAKES, FRAMES = 2400, 48  # to learn from
CODED = 320  # takes that a codec learns from, for twice as many steps as a shared one
FILMS, LENGTH = 96, 40  # to measure on
CALLS = 4  # of a film that a model makes itself, at most, before it learns to go on
ALONE = 0.25  # share of the batches that observe nothing, as a film's first call does
MARK = 5.0  # minutes, then 10, 20, ...: of a training that far the distance is measured, too
LONG = 256  # frames of the films on a contact sheet


@dataclasses.dataclass(frozen=True)
class Built:
    """A model, what `fit` trains of it, and by a loss's name the part which that loss alone trains."""

    model: Any
    net: nn.Module
    parts: Mapping[str, nn.Module] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Family:
    """How a family is built and trained. kind: of its codec. half: products in bfloat16.
    clip: length that gradients are cut to; a critic's, most of it now and then from what holds it, are not.
    own: share of the batches that observe something in which it is what the model made itself.
    decides: by world, how its films are decided where it is not as built.
    """

    build: Callable[[ClipSpec], Built]
    kind: str
    batch: int
    rate: float
    tools: Tools = optimisers
    half: bool = True
    clip: float = 1.0
    own: float = 0.0
    decides: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def diffusion(spec: ClipSpec) -> Built:
    """A space-time transformer on latents, by the flow's velocity."""
    from longtake.models.diffusion import FlowModel
    from longtake.models.samplers import Sampling
    from longtake.nets.dit import DiTShape, SpaceTimeTransformer

    shape = DiTShape(8, text=1, outer=64, inner=160, outer_blocks=1, inner_blocks=4)
    net = SpaceTimeTransformer(shape)
    return Built(FlowModel(net, spec, Sampling(steps=12, shift=2.0)), net)


def tokens(spec: ClipSpec) -> Built:
    """A GPT on codes."""
    from longtake.models.tokens import TokenModel
    from longtake.nets.gpt import GPT
    from longtake.nets.tokens import TokenShape

    net = GPT(TokenShape(spec.codes, width=160))
    return Built(TokenModel(net, spec, Picking(top_p=0.95)), net)


def masked(spec: ClipSpec) -> Built:
    """A masked transformer on codes, the surest first."""
    from longtake.models.masked import MaskedModel
    from longtake.models.revealing import Confidence
    from longtake.nets.masked import MaskedTransformer
    from longtake.nets.tokens import TokenShape

    net = MaskedTransformer(TokenShape(spec.codes, width=160))
    return Built(MaskedModel(net, spec, Picking(top_p=0.8), Confidence(12), refine=0.0), net)


def gan(spec: ClipSpec) -> Built:
    """A generator that sees what is observed, judged frame by frame and as clips, on latents."""
    from longtake.models.gan import GANModel, Playing
    from longtake.nets.critics import ClipCritic, CriticShape, FrameCritic
    from longtake.nets.synthesis import FrameObserver, Generator, PicturePainter, SynthesisShape

    shape = SynthesisShape(8, style=64, motion=32, widths=(128, 96), depth=2, limit=6.0)
    judging = CriticShape(8, widths=(64, 128))
    generator = Generator(shape, PicturePainter(shape), FrameObserver(shape))
    critics = [FrameCritic(judging), ClipCritic(judging)]
    playing = Playing("relativistic", steep=5.0, steep_made=5.0, every=4, near=4.0)
    model = GANModel(generator, critics, spec, playing=playing)
    return Built(model, model.nets, model.parts)


REVISED = {"picking": Picking(top_p=0.9), "revealing": DraftAndRevise(8, 4, 2)}
FAMILIES: Mapping[str, Family] = {
    "diffusion": Family(diffusion, "kl", batch=24, rate=2e-3),
    "tokens": Family(tokens, "fine", batch=8, rate=8e-3),
    "masked": Family(masked, "fine", batch=8, rate=5e-3, decides={"digits": REVISED}),
    "gan": Family(
        gan, "kl", batch=24, rate=2e-3, tools=adversarial, half=False, clip=math.inf, own=0.4
    ),
}


@dataclasses.dataclass(frozen=True)
class Trial:
    """A family on a world, on a bench."""

    lab: Lab
    name: str
    world: str

    @property
    def family(self) -> Family:
        """How it is built."""
        return FAMILIES[self.name]

    @property
    def arm(self) -> str:
        """What it is called."""
        return f"{self.name}-{self.world}"

    @property
    def folder(self) -> Path:
        """Its checkpoints, curve and marks."""
        return self.lab.folder / "arms" / self.arm

    def learn_codec(self) -> Iterator[Trained]:
        """Its world's codec, unless it is there."""
        kind, path = self.family.kind, self._codec_file()
        if not path.exists():
            steps = self.lab.count(2 * STEPS[kind])
            takes = self.lab.count(CODED, least=8)
            path.parent.mkdir(parents=True, exist_ok=True)
            for line in make_codec(self.world, kind, path.parent, steps=steps, takes=takes):
                yield Trained(f"{self.world}_{kind}", steps, line)

    def _codec_file(self) -> Path:
        shared = shared_codec(self.world, self.family.kind)
        return shared if shared.exists() else self.lab.folder / "codecs" / shared.name

    def codec(self) -> Codec:
        """The shared codec of the world, or one made for this bench."""
        return read_codec(self._codec_file(), self.family.kind)

    def built(self) -> Built:
        """The model, untrained, from this bench's seed."""
        told = self.codec().spec
        mark = fingerprint([self.arm, self.lab.seed])
        torch.manual_seed(self.lab.number(self.name))
        return self.family.build(
            ClipSpec(WINDOW, (told.channels, None, None), mark, codes=told.codes)
        )

    def video(self, use: str, count: int, frames: int) -> Tensor:
        """Films of the world in bytes (n, t, 3, h, w), rendered once."""
        made = lambda: coding.films(self.lab, self.world, use, count, frames, self.fps)  # noqa: E731
        return self.lab.kept(f"{self.world}/{use}-{SIZE[0]}", lambda: {"video": made()})["video"]

    def latents(self, use: str, count: int, frames: int) -> Tensor:
        """The same as latents or codes, encoded once."""
        codec, kind = self.codec(), self.family.kind

        def made() -> dict[str, Tensor]:
            video = self.video(use, count, frames)
            return {
                "latents": torch.cat([codec.encode(film[None].float() / 255) for film in video])
            }

        return self.lab.kept(f"{self.world}/{use}-{kind}", made)["latents"]

    @property
    def fps(self) -> float:
        """Frames a second."""
        return FPS[self.world]

    @property
    def interval(self) -> float:
        """Seconds between latent frames."""
        return self.codec().spec.stride / self.fps

    def batch(self, pool: Tensor, model: ClipModel) -> Callable[[int], tuple[ClipRequest, Clip]]:
        """Numbered batches: requests as the scheme makes them, and their truth."""
        rows, frame = self.family.batch, tuple(pool.shape[2:])

        def drawn(step: int) -> tuple[ClipRequest, Clip]:
            rng = np.random.default_rng([self.lab.seed, step])
            row = torch.from_numpy(rng.integers(len(pool), size=rows))
            begin = torch.from_numpy(rng.integers(pool.shape[1] - WINDOW + 1, size=rows))
            frames = pool[row[:, None], begin[:, None] + torch.arange(WINDOW)]
            first = 0 if rng.random() < ALONE else WINDOW - STEP
            calls = int(rng.integers(1, CALLS + 1)) if rng.random() < self.family.own else 0
            start = STEP * calls if first else 0
            whole = Clip(frames, tuple(range(start, start + WINDOW)))
            seen, truth = None, whole.pick(whole.at[first:])
            if first and calls:
                asked: dict[str, Any] = {"seed": step, "frame": frame, "interval": self.interval}
                with torch.no_grad(), as_they_were(list(nets_of(model))):
                    film = films(model, SCHEME, start + first, rows, **asked)
                seen, truth = Clip(film[:, start:], whole.at[:first]), whole
            elif first:
                seen = whole.pick(whole.at[:first])
            request = ClipRequest(
                whole.at[first:],
                seen,
                Controls(),
                Noise(step),
                frame,
                tuple(range(rows)),
                self.interval,
            )
            return request, truth

        return drawn

    def learn(self, minutes: float, most: int = 10**6) -> Iterator[Trained]:
        """Trains it by the clock, `most` steps at most; keeps the averaged weights at some marks."""
        pool, built, family = self.latents("train", TAKES, FRAMES), self.built(), self.family
        schedule = Schedule(
            most,
            family.rate,
            minutes=minutes,
            ema=0.995,
            clip=family.clip,
            save_every=25,
            seed=self.lab.seed,
        )

        def losses(pair: tuple[ClipRequest, Clip]) -> Mapping[str, Tensor]:
            found: Mapping[str, Tensor] = built.model.losses(*pair)
            return found

        begun = time.monotonic() - self._spent()

        def mark(step: int) -> None:
            spent = (time.monotonic() - begun) / 60
            if MARK * 2 ** len(self.marks()) <= spent < minutes:
                kept = {name: p.detach().contiguous() for name, p in built.net.named_parameters()}
                save_file(kept, self.folder / f"mark-{spent:06.2f}.safetensors")

        for line in fit(
            built.net,
            in_half(losses) if family.half else losses,
            self.batch(pool, built.model),
            schedule,
            self.folder,
            built.parts,
            family.tools,
            mark,
        ):
            yield Trained(self.arm, most, line)

    def _spent(self) -> float:
        """Seconds that the training has taken so far, as its curve says."""
        path = self.folder / "curve.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return float(json.loads(lines[-1])["seconds"]) if lines else 0.0

    def marks(self) -> dict[float, Path]:
        """Averaged weights by the minutes they took."""
        return {float(p.stem[5:]): p for p in sorted(self.folder.glob("mark-*.safetensors"))}

    def wearing(self, path: Path | None) -> ClipModel:
        """The model with weights of a file; None: as it was before training."""
        built = self.built()
        if path is not None:
            built.net.load_state_dict(load_file(path), strict=False)
        built.net.eval().requires_grad_(False)
        model: ClipModel = built.model
        for name, value in self.family.decides.get(self.world, {}).items():
            setattr(model, name, value)
        return model

    def filmed(self, model: ClipModel, count: int, frames: int) -> Tensor:
        """Films by the scheme, in bytes."""
        codec, (width, height) = self.codec(), SIZE
        told = codec.spec
        frame = (told.channels, height // told.down, width // told.down)
        asked = {"seed": self.lab.number("films"), "frame": frame, "interval": self.interval}
        made = films(model, SCHEME, frames // told.stride, count, **asked)
        return shown(codec, made)

    def result(self) -> Path:
        """Where its numbers are kept."""
        return self.lab.folder / f"{self.arm}.json"

    def measured(self) -> dict[str, Any]:
        """Distances of all that is compared, whether the bars are met, and the course of the training if not.

        Kept beside a contact sheet of long films.
        """
        lab, count = self.lab, self.lab.count(FILMS, least=8)
        real = self.video("test", FILMS, LENGTH)
        truth = clip_features(self.video("reference", FILMS, LENGTH))

        def far(video: Tensor) -> float:
            made: Clips = clip_features(video)
            return clip_distance(made, truth)

        trained = self.folder / "average.safetensors"
        codec = self.codec()
        coded = [codec.decode(codec.encode(film[None].float() / 255)) for film in real]
        distances = {
            "trained": far(self.filmed(self.wearing(trained), count, LENGTH)),
            "untrained": far(self.filmed(self.wearing(None), count, LENGTH)),
            "frozen": far(real[:, :1].expand_as(real)),
            "shuffled": far(torch.stack([shuffled(n, film) for n, film in enumerate(real)])),
            "codec": far((torch.cat(coded) * 255).round().byte()),
            "real": far(real),
        }
        holds = bars(distances)
        course = [  # where a bar is missed: how far off the training is
            (minutes, far(self.filmed(self.wearing(path), count, LENGTH)))
            for minutes, path in self.marks().items()
            if not all(holds.values())
        ]
        long = self.filmed(self.wearing(trained), 3, lab.count(LONG, least=LENGTH) // 2 * 2)
        sheet(long, lab.folder / f"{self.arm}.png", columns=16, rows=3, fps=self.fps)
        last = json.loads((self.folder / "curve.jsonl").read_text().splitlines()[-1])
        told = {
            "family": self.name,
            "world": self.world,
            "seed": lab.seed,
            "steps": last["step"],
            "minutes": round(last["seconds"] / 60, 1),
            "threads": torch.get_num_threads(),
            "parameters": parameters(self.built().net),
            "tfvd": {name: round(value, 2) for name, value in distances.items()},
            "course": [[round(m, 1), round(value, 2)] for m, value in course],
            "holds": holds,
        }
        self.result().write_text(json.dumps(told, indent=1) + "\n")
        return told


def shuffled(number: int, film: Tensor) -> Tensor:
    """A film's frames in an order of their own."""
    order = np.random.default_rng(number).permutation(len(film))
    return film[torch.from_numpy(order)]


def bars(distances: Mapping[str, float]) -> dict[str, bool]:
    """What a trained family must do: a third of the untrained net's distance, and less than each baseline's."""
    made = distances["trained"]
    return {
        "a third of untrained": made <= distances["untrained"] / 3,
        "below frozen": made < distances["frozen"],
        "below shuffled": made < distances["shuffled"],
    }
