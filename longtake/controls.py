"""What the user wants, laid on the timeline: shots, storyboards, and the control tracks made of them.

A track's digest is taken from its sources (words, encoder), so keys need no torch.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from longtake.keys import fingerprint
from longtake.steps import Indices

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Pin:
    """An image or a video fixed in a shot, `at` seconds from its start ("end": it ends with the shot)."""

    at: float | str
    path: str
    kind: str  # "image" or "video"


@dataclasses.dataclass(frozen=True)
class Shot:
    """A stretch of film under one prompt. cut: a new take begins; else it flows on from the shot before.

    seconds: infinitely many (math.inf) where a film's last shot never ends. seed: of its own, instead of
    the film's.
    """

    prompt: str
    seconds: float
    pins: tuple[Pin, ...] = ()
    cut: bool = True
    cast: tuple[str, ...] = ()
    seed: int | None = None


@dataclasses.dataclass(frozen=True)
class Storyboard:
    """Shots in order, and what holds for the whole film (None: the command's or the model's choice)."""

    shots: tuple[Shot, ...]
    seed: int | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None


class Planner(Protocol):
    """Turns a brief into shots."""

    def plan(self, brief: str, seconds: float) -> tuple[Shot, ...]: ...


@runtime_checkable
class PlansFiner(Protocol):
    """A planner that can part a brief at every sentence, for whoever looks at the shots before they are made."""

    def by_sentences(self) -> Planner: ...


class Encoder(Protocol):
    """Turns prompts into rows of a control track.

    One that also has `beside(prompts)` is asked that where a picture of the user's shows the scene. One that has
    `check(prompts)` is shown a film's prompts before anything is made, and raises InputError for what it cannot read.
    """

    @property
    def fingerprint(self) -> str: ...

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(p, d) for p prompts."""


@dataclasses.dataclass(frozen=True)
class Cue:
    """A prompt that holds from `start` to `stop` seconds (None: for ever) of one take's flow.

    pictured: a picture of the user's lies in it, which words about the scene must not fight.
    """

    start: float
    stop: float | None
    prompt: str
    cut: bool = True
    seed: int | None = None
    pictured: bool = False


@dataclasses.dataclass(frozen=True)
class Controls:
    """Control tracks over a stage's timeline.

    cues: in the order of their starts. passage: seconds over which one cue turns into the next where
    no cut parts them. clock: seconds at the centre of an index. TypeError for cues that are no tuple:
    tracks by name are none, and would say nothing.
    """

    cues: tuple[Cue, ...] = ()
    encoder: Encoder | None = None
    passage: float = 0.0
    clock: Clock = dataclasses.field(default_factory=lambda: Clock(((0, 0.0),), 1.0))

    def __post_init__(self) -> None:
        if not isinstance(self.cues, tuple):
            raise TypeError(f"cues of type {type(self.cues).__name__}; try a tuple of Cue")

    def mix(self, index: int) -> tuple[tuple[int, float], ...]:
        """Which cues speak at `index` and how loudly (weights sum to 1)."""
        if not self.cues:
            return ()
        time = self.clock.at(index)
        place = max(bisect_right(self.cues, time, key=lambda cue: cue.start) - 1, 0)
        half = self.passage / 2
        cue = self.cues[place]
        if half and not cue.cut and place and time - cue.start < half:
            late = _smooth((time - cue.start + half) / self.passage)
            return ((place - 1, 1 - late), (place, late))
        if half and place + 1 < len(self.cues):
            after = self.cues[place + 1]
            if not after.cut and after.start - time < half:
                late = _smooth((time - after.start + half) / self.passage)
                return ((place, 1 - late), (place + 1, late))
        return ((place, 1.0),)

    def at(self, indices: Sequence[int]) -> Mapping[str, Tensor]:
        """Track "text", (t, d), at `indices`; empty without an encoder or cues."""
        if self.encoder is None or not self.cues:
            return {}
        import torch

        mixes = [self.mix(index) for index in indices]
        used = sorted({place for mix in mixes for place, _ in mix})
        rows = {n: self._row(self.encoder, self.cues[n]) for n in used}
        mixed = [torch.stack([w * rows[n] for n, w in mix]).sum(0) for mix in mixes]
        return {"text": torch.stack(mixed)}

    def digest(self, indices: Indices) -> str:
        """Of everything that shapes the tracks at `indices`, and of nothing else."""
        if self.encoder is None or not self.cues:
            return ""
        words = [
            [(*self._said(self.cues[n]), round(weight, 6)) for n, weight in self.mix(index)]
            for index in indices
        ]
        return fingerprint([self.encoder.fingerprint, words])

    @staticmethod
    def _row(encoder: Encoder, cue: Cue) -> Tensor:
        """(d,)."""
        encode = getattr(encoder, "beside", encoder.encode) if cue.pictured else encoder.encode
        row: Tensor = encode([cue.prompt])[0]
        return row

    @staticmethod
    def _said(cue: Cue) -> tuple[str, ...]:
        return (cue.prompt, "beside a picture") if cue.pictured else (cue.prompt,)


@dataclasses.dataclass(frozen=True)
class Clock:
    """Seconds at the centre of an index: `starts` holds (first index, its film time) of every take."""

    starts: tuple[tuple[int, float], ...]
    interval: float  # seconds from one index to the next

    def at(self, index: int) -> float:
        """Film time at the middle of `index`."""
        first, time = max((pair for pair in self.starts if pair[0] <= index), default=(0, 0.0))
        return time + (index - first + 0.5) * self.interval


def _smooth(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)
