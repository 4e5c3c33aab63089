"""Laws: what is read back from pixels, held against what can happen in a world."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from longtake.errors import InputError

_CHUNK = 32  # frames read together


@dataclasses.dataclass(frozen=True)
class Violation:
    """A law broken on the way to `frame`, and how."""

    frame: int
    law: str
    what: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a check has found in `frames` frames."""

    frames: int
    violations: tuple[Violation, ...]

    def per_thousand(self) -> dict[str, float]:
        """Frames with a violation per 1,000 frames, by law; `all` counts a frame once."""
        places = {(v.law, v.frame) for v in self.violations}
        counts = Counter(law for law, _ in places)
        counts["all"] = len({frame for _, frame in places})
        return {law: 1000 * n / max(self.frames, 1) for law, n in sorted(counts.items())}


@runtime_checkable
class Lawful(Protocol):
    """A world that can read its state back from pixels, and knows what cannot happen."""

    size: tuple[int, int]
    fps: float
    LAWS: ClassVar[Mapping[str, str]]  # law -> what it forbids

    def read(self, frames: Tensor) -> dict[str, Tensor]:
        """The state that frames (uint8, t 3 h w) show, named and shaped as in `truth`."""
        ...

    def judge(self, state: Mapping[str, Tensor]) -> list[Violation]:
        """The laws that a read course of states breaks."""
        ...


def check(world: Lawful, frames: Iterable[Tensor] | Tensor) -> Verdict:
    """Read a film, (t 3 h w) or frame by frame (3 h w), uint8 at the world's size; judge it.

    Pictures are let go as they are read: memory grows by the numbers of a state alone. Raises
    InputError for frames of another kind or size.
    """
    parts: list[dict[str, Tensor]] = []
    held: list[Tensor] = []
    count = 0
    for frame in frames:
        held.append(_checked(frame, world.size))
        count += 1
        if len(held) == _CHUNK:
            parts.append(world.read(torch.stack(held)))
            held = []
    if held:
        parts.append(world.read(torch.stack(held)))
    if not parts:
        raise InputError("no frames", "check", "a film of one frame or more")
    state = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    found = sorted(world.judge(state), key=lambda v: (v.frame, v.law))
    return Verdict(count, tuple(found))


def _checked(frame: Tensor, size: tuple[int, int]) -> Tensor:
    if frame.dtype != torch.uint8 or tuple(frame.shape) != (3, size[1], size[0]):
        given = f"{tuple(frame.shape)} {frame.dtype}"
        raise InputError("not a frame of this world", given, f"(3, {size[1]}, {size[0]}) uint8")
    return frame


def marked(law: str, broken: Tensor, what: str, subjects: Sequence[str] = ()) -> list[Violation]:
    """A violation for every True of `broken` (t, or t n for n `subjects`); `what` may say {who}."""
    if broken.ndim == 1:
        return [Violation(int(n), law, what) for n in torch.nonzero(broken)[:, 0]]
    return [
        Violation(int(n), law, what.format(who=subjects[int(k)])) for n, k in torch.nonzero(broken)
    ]


def steps(values: Tensor) -> Tensor:
    """The change on the way to each frame, as long as `values` (t ...); none to the first."""
    return torch.cat([torch.zeros_like(values[:1]), values[1:] - values[:-1]])
