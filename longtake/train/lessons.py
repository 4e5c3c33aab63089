"""What a step is trained on: requests drawn from schemes and masks, pictures among films, ever longer, on own outputs.

Numbered batches for `fit`, each a request and its truth. All that is drawn belongs to the batch's
number, so a training that was killed is given the same lessons again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from longtake.clip import Clip, ClipModel, ClipRequest, Noise
from longtake.controls import Controls
from longtake.errors import InputError
from longtake.steps import Plan, Scheme, Step, Timeline
from longtake.train.cost import nets_of

Films = Callable[
    [np.random.Generator, int], tuple[Tensor, Controls]
]  # frames a film -> (b, t, *frame)


@dataclasses.dataclass(frozen=True)
class Lesson:
    """A step to learn in a film of `length` frames; before: steps that the model takes itself first."""

    step: Step
    length: int
    before: tuple[Step, ...] = ()


Drawn = Callable[[np.random.Generator, int], Lesson]  # chance, frames a film


def pictures(rng: np.random.Generator, length: int) -> Lesson:
    """A single frame that observes nothing: of images and videos together, the images (Ho et al. 2022)."""
    return Lesson(Step((0,)), 1)


@dataclasses.dataclass(frozen=True)
class Masked:
    """Any 1 to `most` frames are observed, the others made; none in a share `alone` (Hoppe et al. 2022, RaMViD).

    window: of a longer film, a stretch of so many frames.
    """

    most: int
    alone: float = 0.25
    window: int | None = None

    def __call__(self, rng: np.random.Generator, length: int) -> Lesson:
        size = min(length, self.window or length)
        begin = int(rng.integers(length - size + 1))
        count = 0 if rng.random() < self.alone else int(rng.integers(1, self.most + 1))
        seen = set((begin + rng.choice(size, min(count, size - 1), replace=False)).tolist())
        targets = tuple(n for n in range(begin, begin + size) if n not in seen)
        return Lesson(Step(targets, tuple(sorted(seen))), length)


class Planned:
    """Steps of a scheme's own plan for a film, all alike: what the model will be asked.

    own: how many generations of steps behind one the model takes itself, and observes what it made
    (rollout: the errors of calls that follow one another are then seen in training; Huang et al.
    2025, "Self Forcing", and the scheduled sampling of Bengio et al. 2015). role: its steps only.
    """

    def __init__(self, scheme: Scheme, own: int = 0, role: str | None = None) -> None:
        if own < 0:
            raise InputError(f"own={own}", "Planned", "0 or more")
        self.scheme, self.own, self.role = scheme, own, role
        self._plans: dict[int, Plan] = {}

    def __call__(self, rng: np.random.Generator, length: int) -> Lesson:
        if length not in self._plans:
            self._plans[length] = Plan.of(self.scheme, Timeline(length))
        plan = self._plans[length]
        mine = [n for n, step in enumerate(plan.steps) if self.role in (None, step.role)]
        if not mine:
            raise InputError(f"no step of role '{self.role}'", "Planned", plan.steps[0].role)
        number = mine[int(rng.integers(len(mine)))]
        behind, edge = set[int](), {number}
        for _ in range(self.own):
            edge = {need for n in edge for need in plan.needs[n]} - behind
            behind |= edge
        before = tuple(_chosen(plan.steps[n], rng) for n in sorted(behind))
        return Lesson(_chosen(plan.steps[number], rng), length, before)


def _chosen(step: Step, rng: np.random.Generator) -> Step:
    """A step that picks at run time observes any of its candidates."""
    if step.choose is None or step.choose >= len(step.observed):
        return step
    places = rng.choice(len(step.observed), step.choose, replace=False)
    seen = tuple(step.observed[n] for n in sorted(places.tolist()))
    return dataclasses.replace(step, observed=seen, choose=None)


@dataclasses.dataclass(frozen=True)
class Growing:
    """Frames a film by batch number: (0, 4), (1000, 8) are 4 frames, 8 from batch 1000 on."""

    stages: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        begins = [begin for begin, _ in self.stages]
        if not begins or begins[0] != 0 or begins != sorted(set(begins)):
            raise InputError(f"stages {self.stages}", "Growing", "((0, 4), (1000, 8))")

    def at(self, number: int) -> int:
        """Frames of a film in batch `number`."""
        return [length for begin, length in self.stages if begin <= number][-1]


class Lessons:
    """Numbered batches: `Lessons(films, {Planned(scheme): 0.7, Masked(4): 0.2, pictures: 0.1}, length)`.

    films: draws so many frames of some films, and their controls. drawn: by what requests are drawn,
    and each one's share. model: takes the steps that lessons take first; with weights in shards its
    calls would have to be the same in all processes, and are not. interval: seconds from frame to
    frame. What the model made is observed as it is, without a gradient.
    """

    def __init__(
        self,
        films: Films,
        drawn: Mapping[Drawn, float],
        length: int | Growing,
        model: ClipModel | None = None,
        seed: int = 0,
        interval: float = 1.0,
    ) -> None:
        shares = list(drawn.values())
        if not shares or min(shares) < 0 or sum(shares) <= 0:
            raise InputError(f"shares {shares}", "Lessons", "above 0")
        self.films, self.drawn, self.seed = films, list(drawn), seed
        self.shares = np.array(shares) / sum(shares)
        self.length = length if isinstance(length, Growing) else Growing(((0, length),))
        self.model, self.interval = model, interval

    def __call__(self, number: int) -> tuple[ClipRequest, Clip]:
        """The request and its truth of batch `number`."""
        rng = np.random.default_rng([self.seed, number])
        draw = self.drawn[int(rng.choice(len(self.drawn), p=self.shares))]
        lesson = draw(rng, self.length.at(number))
        frames, controls = self.films(rng, lesson.length)
        film = Clip(frames, tuple(range(lesson.length)))
        noise = Noise(int(rng.integers(2**40)))

        def asked(step: Step, made: Clip) -> ClipRequest:
            seen = made.pick(step.observed) if step.observed else None
            samples, frame = tuple(range(len(frames))), tuple(frames.shape[2:])
            return ClipRequest(step.targets, seen, controls, noise, frame, samples, self.interval)

        made = film
        if lesson.before and self.model is None:
            raise InputError("steps to take first, and no model", "Lessons", "model=...")
        nets = list(nets_of(self.model)) if lesson.before else []
        with torch.no_grad(), as_they_were(nets):
            for step in lesson.before:
                found = self.model.sample(asked(step, made))  # type: ignore[union-attr]
                rest = [n for n in made.at if n not in found.at]
                made = Clip.join([made.pick(rest), Clip(found.frames.to(frames), found.at)])
        return asked(lesson.step, made), film.pick(lesson.step.targets)


@contextmanager
def as_they_were(nets: Sequence[nn.Module]) -> Iterator[None]:
    """Networks that sampling turns to `eval` train on as before."""
    modes = {part: part.training for net in nets for part in net.modules()}
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
