"""Blocks put together: parts, stages, systems, recipes, the check that they fit; and proofs of their claims."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from longtake.clip import Clip, ClipModel, ClipRequest, ClipSpec, Codec, CodecSpec
from longtake.controls import Encoder, Planner
from longtake.errors import FitError, InputError, nearest
from longtake.steps import Scheme

T = TypeVar("T", covariant=True)
S = TypeVar("S")


class Part(Generic[S, T]):
    """A block whose spec is known now and whose weights are read at first use."""

    def __init__(self, spec: S, make: Callable[[], T]) -> None:
        self.spec = spec
        self._make = make

    @cached_property
    def made(self) -> T:
        """The block itself."""
        return self._make()


ModelPart = Part[ClipSpec, ClipModel]
CodecPart = Part[CodecSpec, Codec]


class Select(Protocol):
    """Chooses `count` of the observed frames at run time (adaptive schemes)."""

    def __call__(
        self, candidates: Any, targets: tuple[int, ...], count: int
    ) -> tuple[int, ...]: ...


class Judge(Protocol):
    """A recipe's own scores of a finished clip, such as how well it agrees with its prompt.

    Both are deterministic, and the lower a score the better: one above its limit is a fault.
    """

    @property
    def limits(self) -> Mapping[str, float]:
        """The largest score that is no fault, above 0, by name."""

    def scores(self, clip: Clip, request: ClipRequest) -> Mapping[str, float]:
        """A score for every limit. clip: the answer to `request`, (1, t, *frame), on the CPU."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One pass over the timeline: a scheme, the models its roles call, and the codec of its latents.

    select: for adaptive schemes. judge: more scores of finished steps than those every clip has.
    """

    scheme: Scheme
    models: Mapping[str, ModelPart]
    codec: CodecPart
    select: Select | None = None
    judge: Judge | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise FitError("a stage without models", "Stage")
        for role, model in self.models.items():
            if self.scheme.window > model.spec.window:
                raise FitError(
                    f"the scheme puts {self.scheme.window} frames in a call",
                    f"role {role}",
                    f"window={model.spec.window}",
                )
            channels = model.spec.frame[0] if model.spec.frame else None
            if channels is not None and channels != self.codec.spec.channels:
                raise FitError(
                    f"the model speaks {channels} channels, the codec {self.codec.spec.channels}",
                    f"role {role}",
                )
            if model.spec.codes != self.codec.spec.codes:
                told = " and ".join(
                    f"{who} {f'one of {spec.codes} codes' if spec.codes else 'real numbers'}"
                    for who, spec in (
                        ("the model speaks", model.spec),
                        ("the codec", self.codec.spec),
                    )
                )
                raise FitError(told, f"role {role}", f"codes={self.codec.spec.codes}")

    def model(self, role: str) -> ModelPart:
        """The model of a role; a single model, or else that of `clip`, serves every other role."""
        if role in self.models:
            return self.models[role]
        if len(self.models) == 1:
            return next(iter(self.models.values()))
        if "clip" in self.models:
            return self.models["clip"]
        raise FitError(f"no model for role '{role}'", "Stage", nearest(role, self.models))


@dataclasses.dataclass(frozen=True)
class System:
    """Everything `generate` needs besides the brief.

    fps: frames a second it was made for. canvas: turns a film's (width, height) into the size
    models work at; frames are resized to the film's at the end. passage: seconds in which
    one prompt turns into the next.
    """

    name: str
    stages: tuple[Stage, ...]
    encoder: Encoder | None = None
    planner: Planner | None = None
    fps: float = 10.0
    size: tuple[int, int] = (128, 128)
    canvas: Callable[[tuple[int, int]], tuple[int, int]] = lambda size: size
    passage: float = 0.0

    def __post_init__(self) -> None:
        if not self.stages:
            raise FitError("a system without stages", self.name)

    def frame(self, size: tuple[int, int], stage: int = 0) -> tuple[int, ...]:
        """Shape of a latent frame of a film of `size`."""
        spec = self.stages[stage].codec.spec
        width, height = self.canvas(size)
        return (spec.channels, -(-height // spec.down), -(-width // spec.down))

    def with_scheme(self, scheme: Scheme) -> System:
        """The same system under another scheme (of its first stage)."""
        first = dataclasses.replace(self.stages[0], scheme=scheme)
        return dataclasses.replace(self, stages=(first, *self.stages[1:]))


Recipe = Callable[..., System]

_KINDS: Mapping[type, str] = {int: "a whole number", float: "a finite number"}


def knobs(recipe: Recipe) -> Mapping[str, inspect.Parameter]:
    """A recipe's keyword arguments: its options on the command line."""
    return {
        name: p
        for name, p in inspect.signature(recipe).parameters.items()
        if p.kind != p.VAR_KEYWORD
    }


def turn(recipe: Recipe, settings: Mapping[str, str]) -> System:
    """Calls a recipe with knobs given as text, each read as its default's type."""
    known = knobs(recipe)
    values: dict[str, Any] = {}
    for name, text in settings.items():
        if name not in known:
            raise InputError(f"unknown knob '{name}'", "--set", nearest(name, known))
        default = known[name].default
        kind = type(default) if default not in (None, inspect.Parameter.empty) else str
        try:
            values[name] = text.lower() in ("1", "true", "yes") if kind is bool else kind(text)
            if kind is float and not math.isfinite(values[name]):
                raise ValueError(text)
        except (TypeError, ValueError):
            raise InputError(
                f"{name}={text} is not {_KINDS.get(kind, kind.__name__)}",
                "--set",
                f"{name}={default}",
            ) from None
    return recipe(**values)


@dataclasses.dataclass(frozen=True)
class Measured:
    """A number an experiment has found. quantity: what, with its unit; arm: of which system."""

    quantity: str
    arm: str
    value: float

    def line(self) -> dict[str, Any]:
        """For `--json`."""
        return {"event": "measured", **vars(self)}


@dataclasses.dataclass(frozen=True)
class Curve:
    """Numbers along an axis, for the proof's plot: `y` of `quantity` at `x` of `axis`."""

    quantity: str
    arm: str
    axis: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def line(self) -> dict[str, Any]:
        """For `--json`."""
        return {"event": "curve", **vars(self)}


@dataclasses.dataclass(frozen=True)
class Expectation:
    """One inequality of a claim, written down before anything is run: `less` <= `factor` * `more`.

    less, more: arms whose `quantity` is compared, or numbers. factor: the least effect that counts.
    """

    quantity: str
    less: str | float
    more: str | float
    factor: float = 1.0
    why: str = ""

    def sides(self, found: Mapping[tuple[str, str], float]) -> tuple[float, float]:
        """`less` and `factor` * `more`, of values by (quantity, arm); what was not found is no number."""
        left, right = (
            side if not isinstance(side, str) else found.get((self.quantity, side), math.nan)
            for side in (self.less, self.more)
        )
        return left, self.factor * right

    def holds(self, found: Mapping[tuple[str, str], float]) -> bool:
        """Whether it does; a value that is no number never does."""
        left, right = self.sides(found)
        return left <= right

    def words(self) -> str:
        """As a line: `tfvd: hierarchy <= 0.8 x autoregressive`."""
        times = f"{self.factor:g} x " if self.factor != 1 and isinstance(self.more, str) else ""
        more = self.more if isinstance(self.more, str) else f"{self.factor * self.more:g}"
        return f"{self.quantity}: {self.less} <= {times}{more}"


@dataclasses.dataclass(frozen=True)
class Proof:
    """A paper's headline claim as an experiment on a world.

    arms: the system, its ablations and baselines by name, and what each is; equal compute unless
    said. minutes: what it takes on two cores. experiment: given a bench (`longtake.lab.Lab`),
    trains and measures, yielding training curves, `Measured` and `Curve`s. system: the arm whose
    weights the recipe makes films with; the recipe's own name if empty.
    """

    claim: str
    world: str
    arms: Mapping[str, str]
    expectations: tuple[Expectation, ...]
    experiment: Callable[[Any], Iterator[Any]]
    minutes: float = 20.0
    system: str = ""
