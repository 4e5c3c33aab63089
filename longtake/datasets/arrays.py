"""Frames that lie as numbers: in memory, or in something that is sliced like an array."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.video import fit_frames


class Frames:
    """Raw frames (t, h, w, 3 or 1) uint8 as footage."""

    def __init__(self, pixels: np.ndarray, fps: Fraction, name: str) -> None:
        if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or pixels.dtype != np.uint8:
            what = f"{pixels.shape} {pixels.dtype} are no frames"
            raise InputError(what, name, "(t, h, w, 3) or (t, h, w, 1) uint8")
        self._pixels, self.fps, self._name = pixels, fps, name

    @property
    def frames(self) -> int:
        return len(self._pixels)

    def read(
        self, numbers: Sequence[int], *, size: tuple[int, int] | None = None, fit: str = "cover"
    ) -> Tensor:
        """The frames of these numbers, (t, 3, h, w) uint8, at `size` if given."""
        if not numbers or not 0 <= min(numbers) <= max(numbers) < self.frames:
            wrong = max(numbers, default=-1)
            raise InputError(f"has no frame {wrong}", self._name, f"0 to {self.frames - 1}")
        chosen = torch.from_numpy(np.ascontiguousarray(self._pixels[list(numbers)]))
        clip = chosen.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous()
        return clip if size is None else fit_frames(clip, size, fit)
