"""Sizes, ways to fit them, and the turn of a stored picture. No torch."""

from __future__ import annotations

from typing import Literal, NamedTuple

from longtake.errors import InputError, nearest
from longtake.video.files import PIXEL_LIMIT

Fit = Literal["cover", "contain", "stretch"]
FITS: tuple[Fit, ...] = ("cover", "contain", "stretch")


class Turn(NamedTuple):
    """How a stored picture becomes upright: swap the axes first, then mirror x and y."""

    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def clockwise(self) -> int:
        """Degrees clockwise; what is mirrored besides is left out."""
        return (270 if self.mirror_y else 90) if self.swap else 180 * self.mirror_y


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """`size` (width, height) as two positive integers within the pixel limit, or `InputError`."""
    width, height = (int(side) for side in size)
    if width < 1 or height < 1:
        raise InputError("a size needs two positive sides", f"{width}x{height}", "128x128")
    if width * height > PIXEL_LIMIT:
        limit = f"at most {PIXEL_LIMIT // 1_000_000} million pixels"
        raise InputError("the size is too large", f"{width}x{height}", limit)
    return width, height


def check_fit(fit: str) -> Fit:
    """`fit` as one of the three known ways, or `InputError` with the nearest."""
    for known in FITS:
        if fit == known:
            return known
    raise InputError(f"no such fit: {fit}", "fit", nearest(str(fit), FITS))


def shown_size(width: int, height: int, turn: Turn, aspect: float = 1.0) -> tuple[int, int]:
    """The (width, height) shown for stored pixels of this aspect (width over height) and turn."""
    wide = max(1, round(width * aspect))
    return (height, wide) if turn.swap else (wide, height)
