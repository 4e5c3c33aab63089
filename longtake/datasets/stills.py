"""Clips out of still pictures: a camera that zooms, pans or turns over them, with parallax where depth is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from longtake.datasets.folders import placed, positive
from longtake.datasets.records import Footage, Found, Index, Layout, Record
from longtake.errors import InputError
from longtake.keys import fingerprint
from longtake.video import IMAGE_SUFFIXES, fit_frames, read_image

MOVES = ("zoom", "pan", "rotate")
_DEPTH = ".depth"
_SHIFT = 0.03  # how far the nearest moves against the farthest, in widths


@dataclasses.dataclass(frozen=True)
class Path2D:
    """A camera's way over a picture: scale of the view (1: all that fits), its centre (-1 to 1 of the room
    left) and its turn in radians, first and last.
    """

    scale: tuple[float, float]
    centre: tuple[tuple[float, float], tuple[float, float]]
    turn: tuple[float, float]

    def at(self, part: float) -> tuple[float, tuple[float, float], float]:
        """Scale, centre and turn after a part, 0 to 1, of the way; slow at both ends."""
        eased = part * part * (3 - 2 * part)

        def between(ends: tuple[float, float]) -> float:
            return ends[0] + eased * (ends[1] - ends[0])

        (x0, y0), (x1, y1) = self.centre
        # A zoom is even when the scale's logarithm is.
        scale = math.exp(between((math.log(self.scale[0]), math.log(self.scale[1]))))
        return scale, (between((x0, x1)), between((y0, y1))), between(self.turn)


def draw_path(seed: int, move: str = "any") -> Path2D:
    """A way for a seed: zoom in or out, pan, or turn while zooming a little."""
    dice = np.random.default_rng([77, seed])
    kind = MOVES[int(dice.integers(len(MOVES)))] if move == "any" else move
    if kind == "zoom":
        ends = (float(dice.uniform(0.9, 1)), float(dice.uniform(0.6, 0.75)))
        spot = (float(dice.uniform(-0.8, 0.8)), float(dice.uniform(-0.8, 0.8)))
        ends = ends if dice.random() < 0.5 else ends[::-1]
        return Path2D(ends, (spot, spot), (0.0, 0.0))
    if kind == "pan":
        angle, scale = float(dice.uniform(0, 2 * math.pi)), float(dice.uniform(0.65, 0.8))
        far = (0.9 * math.cos(angle), 0.9 * math.sin(angle))
        return Path2D((scale, scale), (far, (-far[0], -far[1])), (0.0, 0.0))
    turn = float(dice.uniform(0.06, 0.15)) * (1 if dice.random() < 0.5 else -1)
    return Path2D((0.95, 0.8), ((0.0, 0.0), (0.0, 0.0)), (-turn, turn))


class Moving:
    """A picture (3, H, W) uint8 as footage of `frames` frames; depth: (H, W), 0 far to 1 near.

    The view never leaves the picture: what is left of it around a turned view, and around what
    parallax reads beyond it, is what a centre may move in.
    """

    def __init__(
        self, picture: Tensor, path: Path2D, frames: int, fps: Fraction, depth: Tensor | None = None
    ) -> None:
        self.picture, self.path, self.frames, self.fps, self.depth = (
            picture,
            path,
            frames,
            fps,
            depth,
        )

    def read(
        self, numbers: Sequence[int], *, size: tuple[int, int] | None = None, fit: str = "cover"
    ) -> Tensor:
        """The frames of these numbers, (t, 3, h, w) uint8; by default as large as the picture."""
        if not numbers or not 0 <= min(numbers) <= max(numbers) < self.frames:
            raise InputError(
                f"has no frame {max(numbers, default=-1)}", "still", f"0 to {self.frames - 1}"
            )
        height, width = self.picture.shape[-2:]
        size = size or (width, height)
        # Shrunk first, so that a pixel of the view is about one of the source and nothing aliases.
        small = self.path.at(0.0)[0], self.path.at(1.0)[0]
        share = min(1.0, max(size[0] / (width * min(small)), size[1] / (height * min(small))))
        inner = max(8, round(width * share)), max(8, round(height * share))
        source = fit_frames(self.picture[None], inner, "stretch")[0]
        depth = None
        if self.depth is not None:
            deep = self.depth.clamp(0, 1).mul(255).round().byte().expand(1, 3, height, width)
            depth = fit_frames(deep, inner, "stretch")[0, 0].float() / 255
        return torch.stack([self._view(source, depth, number, size) for number in numbers])

    def _view(
        self, source: Tensor, depth: Tensor | None, number: int, size: tuple[int, int]
    ) -> Tensor:
        scale, (cx, cy), turn = self.path.at(number / max(self.frames - 1, 1))
        wide, high = source.shape[-1], source.shape[-2]
        margin = 0.0 if depth is None else _SHIFT * wide
        # Half sides of the largest view of this aspect whose corners stay inside when it is turned.
        aspect = size[0] / size[1]
        cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
        half = min(
            (wide / 2 - 1 - margin) / (aspect * cos + sin),
            (high / 2 - 1 - margin) / (aspect * sin + cos),
        )
        b = half * scale
        a = aspect * b
        room_x = wide / 2 - 1 - margin - (a * cos + b * sin)
        room_y = high / 2 - 1 - margin - (a * sin + b * cos)
        y, x = torch.meshgrid(_places(size[1], b), _places(size[0], a), indexing="ij")
        u = cx * room_x + x * math.cos(turn) - y * math.sin(turn)
        v = cy * room_y + x * math.sin(turn) + y * math.cos(turn)
        if depth is not None:
            u, v = self._parted(depth, u, v, number, margin)
        grid = torch.stack([u / (wide / 2), v / (high / 2)], -1)[None]
        seen = grid_sample(source[None].float(), grid, padding_mode="border", align_corners=False)
        return seen[0].round().clamp(0, 255).byte()

    def _parted(
        self, depth: Tensor, u: Tensor, v: Tensor, number: int, margin: float
    ) -> tuple[Tensor, Tensor]:
        """What is near moves on against what is far: each place is looked for where it came from."""
        part = number / max(self.frames - 1, 1)
        shift = margin * (2 * part * part * (3 - 2 * part) - 1)
        high, wide = depth.shape
        moved = u
        for _ in range(4):  # the depth is that of the place looked at, which depends on it
            grid = torch.stack([moved / (wide / 2), v / (high / 2)], -1)[None]
            near = grid_sample(depth[None, None], grid, padding_mode="border", align_corners=False)
            moved = u - shift * near[0, 0]
        return moved, v


class Stills(Layout):
    """Pictures anywhere below a folder, each a clip of `frames` frames; `a.depth.png` beside `a.jpg` is its
    depth (white is near), and a text `a.txt` its caption. move: zoom, pan, rotate, or any.
    """

    title = "still pictures, as clips under a moving camera"
    licence = "yours to know"

    def __init__(
        self,
        root: Path,
        *,
        split: str = "",
        frames: str = "32",
        fps: str = "10",
        move: str = "any",
    ) -> None:
        super().__init__(root, split=split)
        if not frames.isdecimal() or not 2 <= int(frames) <= 10_000:
            raise InputError(f"frames is '{frames}'", str(root), "frames=32")
        if move not in (*MOVES, "any"):
            raise self._bad("move", move, (*MOVES, "any"))
        self.frames, self.move, self.fps = int(frames), move, positive(fps, "fps", root)

    def index(self) -> Index:
        found = Found(self.root)
        for place in sorted(p for p in self.root.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
            if place.stem.endswith(_DEPTH):
                continue
            path = place.relative_to(self.root)
            split, label = placed(path)
            text = place.with_suffix(".txt")
            lines = text.read_text("utf-8", "replace").split("\n") if text.is_file() else []
            captions = tuple(line.strip() for line in lines if line.strip())
            name = path.as_posix()
            found.add(Record(name, name, split, None, label, captions), "the folder")
        return found.index()

    def footage(self, record: Record) -> Footage:
        place = self.root / record.path
        picture, depth = read_image(place), None
        beside = place.with_name(f"{place.stem}{_DEPTH}.png")
        if beside.is_file():
            size = picture.shape[-1], picture.shape[-2]
            depth = read_image(beside, size=size, fit="stretch")[0].float() / 255
        path = draw_path(int(fingerprint(record.id)[:8], 16), self.move)
        return Moving(picture, path, self.frames, self.fps, depth)


def _places(count: int, half: float) -> Tensor:
    """Centres of so many pixels over -half to half."""
    return ((torch.arange(count) + 0.5) / count * 2 - 1) * half
