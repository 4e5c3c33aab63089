"""Experiments on codes: takes as sheets of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtake.models.sheets import Sheet, laid

if TYPE_CHECKING:
    from torch import Tensor

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
