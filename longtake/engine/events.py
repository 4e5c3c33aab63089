"""What happens while a film is made, as data: one stream for all faces, logs and tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened; `line` is its JSON form."""

    def line(self) -> dict[str, Any]:
        """The event as one JSON object, `event` first."""
        fields = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return {"event": type(self).__name__.lower(), **fields}


@dataclasses.dataclass(frozen=True)
class Planned(Event):
    """What will be made; an endless film has None for steps, waves and frames."""

    steps: int | None
    waves: int | None
    frames: int | None
    size: tuple[int, int]
    fps: Fraction


@dataclasses.dataclass(frozen=True)
class Reused(Event):
    """A step was found finished."""

    step: int


@dataclasses.dataclass(frozen=True)
class Started(Event):
    """A step was handed to the executor."""

    step: int


@dataclasses.dataclass(frozen=True)
class Finished(Event):
    """A step is made and stored."""

    step: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Decoded(Event):
    """Film frames [a, b) have been handed over."""

    frames: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Repaired(Event):
    """A step's clip could not be used, made or stored; the step runs again.

    attempt: 0 where the same clip is made again; else another one, out of other noise.
    """

    step: int
    why: str
    attempt: int = 0


@dataclasses.dataclass(frozen=True)
class Suspect(Event):
    """A step's clip is outside its limits and was kept: not to be repaired, or not repairable."""

    step: int
    why: str


@dataclasses.dataclass(frozen=True)
class Chosen(Event):
    """A stretch made again, film frames [a, b), shows this take; 0: what was there before.

    scores: by take, the largest share of a limit among its scores; the lowest is chosen if nobody says.
    """

    frames: tuple[int, int]
    take: int
    scores: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Done(Event):
    """The film is complete. out: filled in by whoever writes the file."""

    out: str
    frames: int
    seconds: float
    ran: int
    reused: int


@dataclasses.dataclass(frozen=True)
class Failed(Event):
    """The film is not complete; whoever catches the error says so with this."""

    error: str


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
