"""Films with faults: a Gaussian film maker some of whose clips are spoilt, by a rule that chance decides."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from longtake.clip import Clip, ClipModel, ClipRequest, ClipSpec, CodecSpec
from longtake.controls import Cue
from longtake.engine import Frames, Job, Memory, Serial, render
from longtake.engine.store import Store
from longtake.models.gaussian import GaussianModel, Kernel, Matern32
from longtake.schemes import find_scheme
from longtake.system import Part, Stage, System

FRAME = (3, 6, 6)


def _noise(frames: Tensor, request: ClipRequest) -> Tensor:
    at = [10_000 + index for index in request.targets]
    return request.noise.clip((0,), at, request.frame)


def _repeated(frames: Tensor, request: ClipRequest) -> Tensor:
    return frames[:, :1].expand_as(frames).clone()


def _elsewhere(frames: Tensor, request: ClipRequest) -> Tensor:
    """As smooth a film as any, but another one."""
    bare = dataclasses.replace(request, observed=None)
    model = GaussianModel(Matern32(8.0), (None, None, None))
    return model.sample(bare).frames.flip(1)


def _faded(frames: Tensor, request: ClipRequest) -> Tensor:
    return 0.4 * frames


def _constant(frames: Tensor, request: ClipRequest) -> Tensor:
    return torch.full_like(frames, 0.5)


def _not_numbers(frames: Tensor, request: ClipRequest) -> Tensor:
    spoilt = frames.clone()
    spoilt[0, -1, 0] = torch.nan
    return spoilt


def _one_of_them(frames: Tensor, request: ClipRequest) -> Tensor:
    spoilt = frames.clone()
    spoilt[:, frames.shape[1] // 2] = _noise(frames, request)[:, 0]
    return spoilt


def _brighter(frames: Tensor, request: ClipRequest) -> Tensor:
    return frames + 1.0


FAULTS: dict[str, Callable[[Tensor, ClipRequest], Tensor]] = {
    "noise": _noise,
    "repeated": _repeated,
    "elsewhere": _elsewhere,
    "faded": _faded,
    "constant": _constant,
    "not numbers": _not_numbers,
    "one of them": _one_of_them,
    "brighter": _brighter,
}


def draw(seed: int, request: ClipRequest) -> int:
    """A number that depends on the request's chance and place, for deciding what is spoilt."""
    text = f"{seed}/{request.noise.seed}/{request.targets}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:6], "big")


class Spoilt:
    """A clip model of which a share of the clips is spoilt; `said` notes which, call after call.

    fault: which kind; "" takes all in turn.
    """

    def __init__(self, model: ClipModel, *, share: float = 0.05, seed: int = 0, fault: str = ""):
        self.model, self.share, self.seed, self.fault = model, share, seed, fault
        self.said: list[tuple[int, str]] = []

    @property
    def spec(self) -> ClipSpec:
        return self.model.spec

    def sample(self, request: ClipRequest) -> Clip:
        clip, drawn = self.model.sample(request), draw(self.seed, request)
        kinds = [self.fault] if self.fault else list(FAULTS)
        kind = kinds[drawn // 1000 % len(kinds)] if drawn % 1000 < 1000 * self.share else ""
        self.said.append((request.targets[0], kind))
        frames = FAULTS[kind](clip.frames, request) if kind else clip.frames
        return dataclasses.replace(clip, frames=frames)

    def sample_batch(self, requests: list[ClipRequest]) -> list[Clip]:
        return [self.sample(request) for request in requests]


class Plain:
    """Latents that are the picture."""

    spec = CodecSpec(FRAME[0], 1, 1, (0, 0), "plain")

    def encode(self, video: Tensor) -> Tensor:
        return video

    def decode(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(latents)


class Loudness:
    """A prompt's length is how bright it is asked to be."""

    fingerprint = "loudness"

    def encode(self, prompts: list[str]) -> Tensor:
        return torch.tensor([[len(prompt) / 4.0] for prompt in prompts])


def gaussian_system(
    scheme: str = "autoregressive:window=8,step=4",
    *,
    kernel: Kernel | None = None,
    share: float = 0.05,
    seed: int = 0,
    fault: str = "",
    passage: float = 0.0,
    judge: Any = None,
) -> System:
    """Gaussian processes for pixels, some clips spoilt; a worker can build it, too."""
    inner = GaussianModel(kernel or Matern32(8.0), (None, None, None), 64, "text", 1)
    part = Part(inner.spec, lambda: Spoilt(inner, share=share, seed=seed, fault=fault))
    codec = Part(Plain.spec, Plain)
    stage = Stage(find_scheme(scheme, 64), {"clip": part}, codec, judge=judge)
    return System("gaussian", (stage,), encoder=Loudness(), passage=passage, size=FRAME[1:])


def gaussian_job(
    frames: int = 200,
    scheme: str = "autoregressive:window=8,step=4",
    *,
    cues: int = 1,
    repair: str = "repair",
    seed: int = 0,
    **knobs: Any,
) -> Job:
    """A film of so many shots that flow into each other, made with a `gaussian_system`."""
    words, length = ("calm", "a storm", "the middle of the day"), frames / cues
    said = tuple(
        Cue(n * length, (n + 1) * length, words[n % len(words)], cut=False) for n in range(cues)
    )
    system = gaussian_system(scheme, seed=seed, **knobs)
    return Job(system, frames, FRAME[1:], Fraction(1), seed=seed, cues=said, repair=repair)


def model_of(job: Job) -> Spoilt:
    """What makes its clips."""
    model = job.system.stages[0].models["clip"].made
    assert isinstance(model, Spoilt)
    return model


@dataclasses.dataclass
class Tally:
    """What became of clips: how many were spoilt, caught, sound, and alarmed about."""

    spoilt: int = 0
    caught: int = 0
    sound: int = 0
    alarmed: int = 0
    missed: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    wrongly: list[str] = dataclasses.field(default_factory=list)

    def add(self, job: Job, store: Store | None = None) -> Tally:
        """Makes the film, one step after the other, and counts."""
        calls, model = 0, model_of(job)
        for item in render(job, store or Memory(), Serial()):
            if isinstance(item, Frames):
                continue
            line = item.line()
            rolled = line["event"] == "repaired"
            if not rolled and line["event"] != "finished":
                continue
            place, kind = model.said[calls]
            calls += 1
            self.spoilt, self.caught = (
                self.spoilt + bool(kind),
                self.caught + (rolled and kind != ""),
            )
            if not kind and line.get("attempt", 1) == 1:  # rolls again are judged alike
                self.sound, self.alarmed = self.sound + 1, self.alarmed + rolled
            if kind and not rolled:
                self.missed.append((line["step"], kind))
            if rolled and not kind:
                self.wrongly.append(f"{line['step']}: {line['why']}")
        assert calls == len(model.said)
        return self
