"""Worlds: seeded renderers whose law is known, so that a model can be held against the truth."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from longtake.errors import InputError, nearest

__all__ = ["WORLDS", "World", "find"]


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


WORLDS: Mapping[str, str] = {"sky": "longtake.worlds.sky:Sky"}  # name -> module:class


def find(name: str) -> Any:
    """The class of the world called `name`; raises InputError for an unknown name."""
    if name not in WORLDS:
        raise InputError(f"unknown world '{name}'", "worlds", nearest(name, WORLDS))
    module, _, attribute = WORLDS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
