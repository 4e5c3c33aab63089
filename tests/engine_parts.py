"""Parts for the engine's tests: a deterministic model, a codec that sees neighbours, schemes.

Run as a program it makes a film in a run folder and says what happens, to be killed half-way.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec, CodecSpec
from longtake.controls import Cue
from longtake.engine import Frames, Job, Serial, render
from longtake.engine.store import Folder, Store
from longtake.steps import Step, Timeline
from longtake.system import Part, Stage, System

CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class Chain:
    """Each step writes `step` frames given the last `window - step`; in every take anew."""

    window: int = 6
    step: int = 4
    choose: int | None = None

    def steps(self, timeline: Timeline) -> Iterator[Step]:
        for start, take in zip(timeline.starts, timeline.takes(), strict=True):
            for step in self._take(take):
                yield step.moved(start)

    def _take(self, take: Timeline) -> Iterator[Step]:
        known, targets, place = list(take.given), [], 0
        while take.length is None or place < take.length:
            if place not in take.given:
                targets.append(place)
            place += 1
            if len(targets) == self.step or (targets and place == take.length):
                known.sort()
                near = known if self.choose else known[-(self.window - self.step) :]
                yield Step(tuple(targets), tuple(near[-8:]), choose=self.choose)
                known, targets = [*known[-8:], *targets], []


@dataclasses.dataclass(frozen=True)
class Tree:
    """First and last frame, then level by level the middle of every gap."""

    window: int = 4

    def steps(self, timeline: Timeline) -> Iterator[Step]:
        for start, take in zip(timeline.starts, timeline.takes(), strict=True):
            assert take.length is not None
            ends = sorted({0, take.length - 1} - set(take.given))
            if ends:
                yield Step(tuple(ends)).moved(start)
            gaps = [(0, take.length - 1)]
            while gaps:
                halves = []
                for a, b in gaps:
                    middle = (a + b) // 2
                    if a < middle < b:
                        if middle not in take.given:
                            yield Step((middle,), (a, b)).moved(start)
                        halves += [(a, middle), (middle, b)]
                gaps = halves


class ToyModel:
    """Half the mean of what is observed, half noise, the prompt an offset; a count in `carry`."""

    def __init__(self, spec: ClipSpec, *, slow: float = 0.0, die: str = "") -> None:
        self.spec, self.slow, self.die = spec, slow, die
        self.calls: list[int] = []

    def sample(self, request: ClipRequest) -> Clip:
        self.calls.append(1)
        return self._made(request)

    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        self.calls.append(len(requests))
        seen = [None if r.observed is None else r.observed.frames.shape for r in requests]
        assert len({(len(r.targets), shape) for r, shape in zip(requests, seen, strict=True)}) == 1
        return [self._made(request) for request in requests]

    def _made(self, request: ClipRequest) -> Clip:
        time.sleep(self.slow)
        if self.die == "exit" and 8 in request.targets:
            os._exit(9)
        if self.die.startswith(("once:", "hang:")) and 8 in request.targets:
            _trouble(*self.die.split(":", 1))
        if self.die == "memory" and 8 in request.targets:
            raise MemoryError
        noise = request.noise.clip(request.samples, request.targets, request.frame)
        frames, count = 0.5 * noise, torch.zeros(1)
        if request.observed is not None:
            frames = frames + 0.5 * request.observed.frames.mean(1, keepdim=True)
            count = request.observed.carry["count"] if request.observed.carry else count
        if request.start is not None:
            frames = request.strength * frames + (1 - request.strength) * request.start.frames
        tracks = request.controls.at(request.targets)
        if "text" in tracks:
            frames = frames + tracks["text"][None, :, :1, None, None]
        if "source" in tracks:
            frames = 0.1 * frames + tracks["source"][None]
        return Clip(frames, request.targets, {"count": count + 1})


def _trouble(kind: str, mark: str) -> None:
    """Dies or hangs, but not where it did before."""
    if not os.path.exists(mark):
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL if kind == "once" else signal.SIGSTOP)


class ToyCodec:
    """Latents mixed with their neighbours, `stride` times ever brighter, twice as wide."""

    def __init__(self, spec: CodecSpec) -> None:
        self.spec = spec

    def decode(self, latents: Tensor) -> Tensor:
        s, stride = latents.shape[1], self.spec.stride
        before = latents[:, [max(n - 1, 0) for n in range(s)]]
        after = latents[:, [min(n + 1, s - 1) for n in range(s)]]
        mixed = latents / 2 + before / 4 + after / 4
        ramp = torch.arange(stride).repeat(s)[None, :, None, None, None] * 0.01
        wide = mixed.repeat_interleave(stride, 1) + ramp
        wide = wide.repeat_interleave(self.spec.down, -1).repeat_interleave(self.spec.down, -2)
        return torch.sigmoid(wide)

    def encode(self, video: Tensor) -> Tensor:
        b, t, c, h, w = video.shape
        stride, down = self.spec.stride, self.spec.down
        blocks = video.reshape(b, t // stride, stride, c, h // down, down, w // down, down)
        return torch.logit(blocks.mean((2, 5, 7)), 1e-3)


class ToyEncoder:
    """A prompt's length as its meaning."""

    fingerprint = "toy words"

    def encode(self, prompts: Sequence[str]) -> Tensor:
        return torch.tensor([[float(len(p)) / 10] for p in prompts])


def nearest_first(candidates: Clip, targets: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The brightest candidates: a choice that depends on what was made."""
    light = candidates.frames.mean((0, 2, 3, 4))
    return tuple(candidates.at[n] for n in light.topk(count).indices.tolist())


def toy_system(
    *,
    stride: int = 4,
    scheme: Any = None,
    window: int = 16,
    slow: float = 0.0,
    die: str = "",
    stages: int = 1,
    fingerprint: str = "toy model",
    encoder: bool = True,
) -> System:
    """A system of toy parts; the canvas is made of whole eights."""
    spec = ClipSpec(window, (CHANNELS, None, None), fingerprint)
    codec_spec = CodecSpec(CHANNELS, 2, stride, (1, 1), f"toy codec {stride}")
    stage = Stage(
        scheme or Chain(),
        {"clip": Part(spec, lambda: ToyModel(spec, slow=slow, die=die))},
        Part(codec_spec, lambda: ToyCodec(codec_spec)),
        nearest_first,
    )
    return System(
        "toy",
        tuple(dataclasses.replace(stage) for _ in range(stages)),
        encoder=ToyEncoder() if encoder else None,
        canvas=lambda size: (-(-size[0] // 8) * 8, -(-size[1] // 8) * 8),
    )


def toy_job(frames: int | None = 100, **changes: Any) -> Job:
    """A job on a toy system; keywords of `toy_system` and of `Job`."""
    fields = {field.name for field in dataclasses.fields(Job)}
    mine = {name: changes.pop(name) for name in tuple(changes) if name in fields}
    mine.setdefault("system", toy_system(**changes))
    mine.setdefault("size", (16, 8))
    mine.setdefault("cues", (Cue(0.0, None, "calm sea"),))
    return Job(frames=frames, **{"fps": Fraction(10), "seed": 1, **mine})


def made(job: Job, store: Store, executor: Any = None) -> tuple[Tensor, list[dict[str, Any]]]:
    """The whole film and its events."""
    parts, events = [], []
    for item in render(job, store, executor or Serial()):
        if isinstance(item, Frames):
            assert item.first == sum(len(part) for part in parts)
            parts.append(item.pixels)
        else:
            events.append(item.line())
    return torch.cat(parts), events


def count(events: Sequence[Mapping[str, Any]], name: str) -> int:
    """How many events of a kind."""
    return sum(event["event"] == name for event in events)


def main(run: str, out: str, slow: str) -> None:
    """Makes a film of two takes into the file `out`."""
    torch.set_num_threads(1)
    cues = (Cue(0.0, 8.0, "calm sea"), Cue(8.0, None, "a storm"))
    job = toy_job(160, slow=float(slow), cues=cues, cuts=(80,))
    with Path(out).open("wb") as file:
        for item in render(job, Folder(run), Serial()):
            if isinstance(item, Frames):
                file.write(item.pixels.numpy().tobytes())
            else:
                print(json.dumps(item.line()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
