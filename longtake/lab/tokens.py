"""Experiments on codes: takes as sheets of tokens, and the films that come of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from longtake.lab.films import shown
from longtake.lab.shared import codec
from longtake.models.sheets import Sheet, laid

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.lab.bench import Lab
    from longtake.lab.takes import Takes

FRAME = (1, 8, 8)  # of the shared codec of codes


def told(
    takes: Takes, rows: Tensor, at: Tensor, observed: int = 0, track: Tensor | None = None
) -> Sheet:
    """Frames `at` (b, t) of takes `rows` (b,), the first ones observed.

    track: of all takes, (n, s, d) or (n, s, h, w, d).
    """
    text = None if track is None else track[rows[:, None], at]
    return laid(takes.at(rows, at), at, observed, text)


def pictures(
    lab: Lab, world: str, arm: str, make: Callable[[], Tensor], fps: float = 10.0
) -> Tensor:
    """An arm's films (n, t, 3, h, w) in bytes, from codes that are made once; with a contact sheet."""
    made = lab.kept(f"films/{arm}", lambda: {"codes": make()})
    video = shown(codec(world, "vq"), made["codes"])
    lab.sheet(arm, video, fps=fps)
    return video
