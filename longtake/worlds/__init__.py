"""Worlds: seeded renderers whose law is known, so that a model can be held against the truth."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from longtake.errors import InputError, nearest

__all__ = ["ENGINES", "WORLDS", "World", "find", "knobs", "make"]

_COMMON = ("seed", "size", "fps")


@runtime_checkable
class World(Protocol):
    """One endless take, open at any place.

    A frame's bytes depend on the world and its index alone: not on which other frames are asked
    for, nor in what order.
    """

    size: tuple[int, int]  # width, height
    fps: float

    def render(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`: uint8, t 3 h w."""
        ...

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame, by name; every tensor is t long in its first axis."""
        ...


WORLDS: Mapping[str, str] = {  # name -> module:class
    "digits": "longtake.worlds.digits:Digits",
    "maze": "longtake.worlds.maze:Maze",
    "push": "longtake.worlds.push:Push",
    "script": "longtake.worlds.script:Script",
    "sky": "longtake.worlds.sky:Sky",
    "walker": "longtake.worlds.walker:Walker",
}
ENGINES: Mapping[str, str] = {  # the same, of those that a package renders
    "cutouts": "longtake.worlds.engines.cutouts:Cutouts",
    "doom": "longtake.worlds.engines.doom:Doom",
    "mocap": "longtake.worlds.engines.mocap:Mocap",
    "rooms": "longtake.worlds.engines.rooms:Rooms",
}
_KNOWN = {**WORLDS, **ENGINES}


def find(name: str) -> Any:
    """The class of the world called `name`; raises InputError for an unknown name."""
    if name not in _KNOWN:
        raise InputError(f"unknown world '{name}'", "worlds", nearest(name, _KNOWN))
    module, _, attribute = _KNOWN[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def knobs(name: str) -> dict[str, Any]:
    """What a world takes beside seed, size and rate, with the defaults."""
    known = inspect.signature(find(name)).parameters.values()
    return {p.name: p.default for p in known if p.name not in _COMMON and p.kind == p.KEYWORD_ONLY}


def make(
    name: str,
    *,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    fps: float = 10.0,
    **settings: Any,
) -> World:
    """The world called `name`, everything the seed's choice that `settings` leave open.

    size: width, height; the world's own by default. A setting given as text is read as its
    default's type. Raises InputError for an unknown name or knob, or a value out of range.
    """
    kind, known = find(name), knobs(name)
    for key, value in settings.items():
        if key not in known:
            raise InputError(f"{name} knows no '{key}'", "worlds", nearest(key, known) or "none")
        settings[key] = _read(value, known[key], key) if isinstance(value, str) else value
    asked = {} if size is None else {"size": size}
    if name == "sky":
        settings["script"] = _drawn(seed)
    world: World = kind(seed=seed, fps=fps, **asked, **settings)
    return world


def _read(text: str, default: Any, key: str) -> Any:
    """A setting given as text."""
    if isinstance(default, bool):
        answers = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        if text.lower() not in answers:
            raise InputError(f"{key} is '{text}'", "worlds", "true or false")
        return answers[text.lower()]
    if isinstance(default, int):
        try:
            return int(text)
        except ValueError:
            raise InputError(f"{key} is '{text}'", "worlds", f"{key}={default}") from None
    return text


def _drawn(seed: int) -> Any:
    """A minute of changing sky; its last state holds for ever."""
    import numpy as np

    from longtake.worlds.sky import draw_script

    return draw_script(np.random.default_rng(seed), seconds=60, changes=3)
