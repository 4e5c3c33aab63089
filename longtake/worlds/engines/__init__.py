"""Worlds that a package renders: richer pictures, truth of every frame, no laws read back from pixels."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.errors import InputError
from longtake.worlds.painting import Framed


class Engine(Framed):
    """A world whose pictures another program makes."""

    LAWS: ClassVar[Mapping[str, str]] = {}
    extra: ClassVar[str]  # of longtake, which installs the package
    package: ClassVar[str]

    def part(self, name: str) -> Any:
        """A module of the package; InputError if it is not installed."""
        try:
            return importlib.import_module(name)
        except ImportError:
            what = f"{self.package} is not installed"
            raise InputError(what, self.name, f"pip install 'longtake[{self.extra}]'") from None

    def stacked(
        self, picture: Callable[[int], NDArray[np.uint8]], indices: Sequence[int]
    ) -> Tensor:
        """Pictures (h w 3) of frames, each made alone: t 3 h w."""
        self.seconds(indices)
        frames = np.stack([picture(int(index)) for index in indices])
        return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Nothing comes out of a package that talks past Python's own streams."""
    sys.stdout.flush()
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
