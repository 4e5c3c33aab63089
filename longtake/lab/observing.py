"""A pretrained pipeline's network is taught to observe any frames: its clips made latents, a LoRA trained on them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake.datasets import open_spec
from longtake.datasets.loading import Window
from longtake.errors import InputError
from longtake.keys import fingerprint
from longtake.models.pretrained.observing import Heard, Observing, heard, masks
from longtake.prompts.storyboard import read_size
from longtake.recipes.pretrained import Tuning, pretrained
from longtake.system import System
from longtake.train import Logged, Schedule, fit

MADE = "made.json"


@dataclasses.dataclass(frozen=True)
class Clips:
    """Latents of clips (c, s, h, w) in files, and what is said of each."""

    files: tuple[Path, ...]
    captions: tuple[str, ...]

    def drawn(self, seed: int, number: int, count: int) -> tuple[Tensor, list[str]]:
        """Batch `number`: (count, c, s, h, w), and captions."""
        digest = hashlib.sha256(f"{seed}/{number}/clips".encode()).digest()
        chosen = random.Random(digest).choices(range(len(self.files)), k=count)
        latents = torch.stack([load_file(self.files[n])["latents"] for n in chosen])
        return latents, [self.captions[n] for n in chosen]


def tuned(folder: str, data: str, run: Path, tuning: Tuning) -> Iterator[Logged]:
    """Trains the LoRA and leaves it in `run`; goes on from its last checkpoint.

    Latents are made once, and kept in `run`. InputError for a pipeline that cannot be taught so, and for data
    without clips that are long enough.
    """
    system = pretrained(
        folder=folder, clip=tuning.clip, dtype=tuning.dtype, device=tuning.device, length="none"
    )
    model: Any = system.stages[0].models["clip"].made
    torch.manual_seed(tuning.seed)  # for the LoRA's first weights
    learner = Observing(model.pipe, model.family, tuning.rank)
    if tuning.device != "cpu":
        learner.net.enable_gradient_checkpointing()
    clips = made(system, data, run / "clips", tuning)
    words = {text: heard(model.pipe, text) for text in ("", *clips.captions)}
    if getattr(model.pipe, "text_encoder", None) is not None:
        model.pipe.text_encoder.to("cpu")
    model.pipe.vae.to("cpu")

    def batch(number: int) -> tuple[Tensor, list[str]]:
        return clips.drawn(tuning.seed, number, tuning.batch)

    def losses(drawn: tuple[Tensor, list[str]]) -> Any:
        latents, texts = drawn
        said = [words["" if torch.rand(()) < tuning.wordless else text] for text in texts]
        observed = masks(len(latents), latents.shape[2]).to(tuning.device)
        return learner.losses(latents.to(tuning.device), observed, _padded(said))

    schedule = Schedule(
        tuning.steps,
        rate=tuning.rate,
        warmup=max(1, min(50, tuning.steps // 10)),
        minutes=tuning.minutes or None,
        ema=0.99,
        save_every=100,
        log_every=10,
        seed=tuning.seed,
    )
    yield from fit(learner, losses, batch, schedule, run, tools=_adam)
    learner.save(run)


def made(system: System, data: str, place: Path, tuning: Tuning) -> Clips:
    """The clips of `data` as latents in `place`, one after the other in each video; those there are kept."""
    codec: Any = system.stages[0].codec.made
    window = system.stages[0].models["clip"].spec.window
    frames = window * codec.spec.stride - codec.spec.lead
    size = read_size(tuning.size, "--set size") if tuning.size else system.size
    if system.canvas(size) != size:
        wide, high = system.canvas(size)
        raise InputError(f"clips of {size[0]}x{size[1]}", "--set size", f"{wide}x{high}")
    told = [data, frames, list(size), tuning.clips, codec.spec.fingerprint]
    _check_same(place, fingerprint(told))
    files, captions = list[Path](), list[str]()
    layout = open_spec(data)
    shape = Window(frames, size, fps=Fraction(system.fps).limit_denominator(1001))
    for record in layout.records:
        footage = layout.footage(record)
        offsets = shape.offsets(footage.fps)
        for first in range(0, footage.frames - offsets[-1], offsets[-1] + 1):
            if len(files) == tuning.clips:
                break
            file = place / f"{len(files):05d}.safetensors"
            if not file.is_file():
                seen = footage.read([first + n for n in offsets], size=size)
                latents = codec.encode(seen[None].float() / 255)[0].transpose(0, 1)
                part = place / f".{file.name}.{os.getpid()}"
                save_file({"latents": latents.cpu().contiguous()}, part)
                os.replace(part, file)
            files.append(file)
            captions.append(record.captions[0] if record.captions else record.label)
    if not files:
        rate = f"{frames} frames at {system.fps:g} a second"
        raise InputError(f"no video has {rate}", f"--data {data}", "--set clip=..., longer videos")
    return Clips(tuple(files), tuple(captions))


def _check_same(place: Path, mark: str) -> None:
    """InputError where a folder holds clips of other data, or of another size."""
    note = place / MADE
    if note.is_file() and json.loads(note.read_text()) != mark:
        raise InputError("clips of other data are there", str(place), "another --run")
    place.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(mark))


def _padded(said: Sequence[Heard]) -> list[Heard]:
    """All of one length: encoders pad prompts, but not all to the same."""
    longest = max(one.embeds.shape[1] for one in said)
    return [_longer(one, longest - one.embeds.shape[1]) for one in said]


def _longer(one: Heard, more: int) -> Heard:
    pad = nn.functional.pad
    mask = None if one.mask is None else pad(one.mask, (0, more))
    return Heard(pad(one.embeds, (0, 0, 0, more)), mask)


def _adam(
    module: nn.Module, params: Sequence[nn.Parameter], rate: float
) -> list[torch.optim.Optimizer]:
    return [torch.optim.AdamW(params, lr=rate, betas=(0.9, 0.99), weight_decay=0.0)]
