"""Captioned cut-outs of photographs cross the sky: objects of real texture, told one by one.

The pictures are a folder's: the stamps of Tux Paint where Debian's package puts them, or the user's own.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from longtake.errors import InputError, nearest
from longtake.video import read_cutout
from longtake.worlds.chance import draw
from longtake.worlds.painting import Framed
from longtake.worlds.sky import Sky, draw_script
from longtake.worlds.sky.captions import describe

STAMPS = Path("/usr/share/tuxpaint/stamps")
GROUPS = (  # of the stamps: what may be met with under a sky
    "animals",
    "clothes",
    "food",
    "hobbies",
    "household",
    "plants",
    "sports",
    "vehicles",
)
WAYS = {  # what a thing does -> where it goes, in spans of the picture and of itself
    "moves to the right": (1.0, 0.0),
    "moves to the left": (-1.0, 0.0),
    "rises": (0.0, -1.0),
    "sinks": (0.0, 1.0),
}
_DOES = tuple(WAYS)
_ACT = 9.0  # seconds from outside to outside
_SMALL, _LARGE = 0.28, 0.5  # the longer side of a thing, in short sides
_BOB = 0.03  # short sides that it swings across its way
_DARK, _FULL = 0.3, 0.45  # what night leaves of its light; the sky's brightness that leaves all
_TOLD = 0.2  # the share of a thing that must be seen for it to be told of
_MOST = 5000  # pictures of a folder
_LONGEST = 40  # characters of a name: longer ones are stories


@dataclasses.dataclass(frozen=True)
class Cutout:
    """A picture with an outline, and what it shows: "a carrot"."""

    path: Path
    name: str


class Cutouts(Framed):
    """Captioned cut-outs of photographs cross the sky (needs the stamps of Tux Paint, or `folder`).

    folder: PNG files with an outline (alpha) in it and below; a text file of the same name holds the
    caption, or else the name is. words: only those with one of these words in their caption, between commas.
    things: most that are seen at once.
    """

    name = "cutouts"
    LAWS: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        *,
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
        fps: float = 10.0,
        folder: str = "",
        words: str = "",
        things: int = 2,
    ) -> None:
        super().__init__(seed=seed, size=size, fps=fps)
        if not 1 <= things <= 4:
            raise InputError(f"{things} things", self.name, "1 to 4")
        self.things = things
        self.bank = _chosen(_bank(Path(folder) if folder else None), words)
        script = draw_script(np.random.default_rng(seed), seconds=60, changes=3)
        self._sky = Sky(script, seed=seed, size=size, fps=fps)
        self._sprite = functools.lru_cache(maxsize=64)(self._scaled)

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame, in short sides; one column a thing, the last in front.

        `which` (t n), a place in `bank`; `does` (t n), a place in WAYS; `box` (t n 4): left, top, right,
        bottom, beyond the picture too; `seen` (t n), the share of its own pixels that nothing hides;
        `front` (t h w): which thing a pixel shows, from 1, 0: the sky.
        """
        frames = [self._laid(second) for second in self.seconds(indices).tolist()]
        fronts = [_front([a for _, a in laid], self.size) for laid, _ in frames]
        return {
            "which": torch.tensor([[thing.which for thing in things] for _, things in frames]),
            "does": torch.tensor([[thing.does for thing in things] for _, things in frames]),
            "box": torch.tensor([[self._box(thing) for thing in things] for _, things in frames]),
            "seen": torch.tensor(
                [
                    [self._share(front, n, thing) for n, thing in enumerate(things)]
                    for front, (_, things) in zip(fronts, frames, strict=True)
                ]
            ),
            "front": torch.stack(fronts),
        }

    def caption(self, index: int) -> str:
        """What is seen to cross the sky at a frame, and the sky."""
        truth = self.truth([index])
        seen = (truth["seen"][0] >= _TOLD).nonzero().flatten().tolist()
        said = [
            f"{self.bank[int(truth['which'][0, n])].name} {_DOES[int(truth['does'][0, n])]}"
            for n in seen
        ]
        sky = describe(self._sky.moment(index), random.Random(self.seed), said=("cover", "time"))
        return "; ".join([*said, sky])

    def render(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`: uint8, t 3 h w; a frame alone has its bytes of a run."""
        out = self._sky.render(indices)
        for frame, second in zip(out, self.seconds(indices).tolist(), strict=True):
            picture = frame.float() / 255
            lamp = _DARK + (1 - _DARK) * (picture.mean((1, 2)) / _FULL).clamp(max=1)
            for tints, cover in self._laid(second)[0]:
                picture = picture * (1 - cover) + tints * lamp[:, None, None]
            frame.copy_(picture.mul(255).add(0.5).clamp(0, 255).byte())
        return out

    def _laid(self, second: float) -> tuple[list[tuple[Tensor, Tensor]], list[_Thing]]:
        """The things of a time, each as a layer: colours times cover (3 h w), and cover (h w)."""
        things = [self._thing(slot, second) for slot in range(self.things)]
        return [self._layer(thing) for thing in things], things

    def _thing(self, slot: int, second: float) -> _Thing:
        """What a slot holds at a time: one thing after another, each slot at a time of its own."""
        act, share = divmod(second / _ACT + slot / self.things, 1.0)
        key = (slot, int(act))
        which = int(len(self.bank) * draw(self.seed, "which", *key))
        does = int(len(_DOES) * draw(self.seed, "does", *key))
        size = _SMALL + (_LARGE - _SMALL) * float(draw(self.seed, "size", *key))
        lane = float(draw(self.seed, "lane", *key))
        swing = _BOB * math.sin(2 * math.pi * (2 * share + float(draw(self.seed, "bob", *key))))
        thing = _Thing(which, does, round(size * self.scale), (0.0, 0.0))
        wide, high = (n / self.scale for n in self._sprite(which, thing.longest).shape[:0:-1])
        across, down = WAYS[_DOES[does]]
        spans = self.extent[0] + wide, self.extent[1] + high
        middle = [
            _along(across, share, spans[0], self.extent[0], lane, wide, swing),
            _along(down, share, spans[1], self.extent[1], lane, high, swing),
        ]
        return dataclasses.replace(thing, middle=(middle[0], middle[1]))

    def _box(self, thing: _Thing) -> list[float]:
        high, wide = (n / self.scale for n in self._sprite(thing.which, thing.longest).shape[1:])
        x, y = thing.middle
        return [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]

    def _share(self, front: Tensor, n: int, thing: _Thing) -> float:
        whole = int((self._sprite(thing.which, thing.longest)[3] > 0.5).sum())
        return min(int((front == n + 1).sum()) / max(whole, 1), 1.0)

    def _layer(self, thing: _Thing) -> tuple[Tensor, Tensor]:
        """A thing where it is, to a part of a pixel, on an empty picture."""
        sprite = self._sprite(thing.which, thing.longest)
        left, top = (side * self.scale for side in self._box(thing)[:2])
        x, y = math.floor(left), math.floor(top)
        shift = _shifted(sprite, left - x, top - y)
        layer = torch.zeros(4, self.size[1], self.size[0])
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + shift.shape[2], self.size[0]), min(y + shift.shape[1], self.size[1])
        if x1 > x0 and y1 > y0:
            layer[:, y0:y1, x0:x1] = shift[:, y0 - y : y1 - y, x0 - x : x1 - x]
        return layer[:3], layer[3]

    def _scaled(self, which: int, longest: int) -> Tensor:
        """A cut-out whose longer side is `longest` pixels: colours times cover, and cover (4 h w)."""
        whole = _opened(self.bank[which].path)
        high, wide = whole.shape[1:]
        share = longest / max(high, wide)
        sides = [max(2, round(high * share)), max(2, round(wide * share))]
        small = interpolate(
            whole[None], size=sides, mode="bilinear", align_corners=False, antialias=True
        )
        return small[0].clamp(0, 1)


@dataclasses.dataclass(frozen=True)
class _Thing:
    which: int
    does: int
    longest: int  # pixels of its longer side
    middle: tuple[float, float]  # short sides


def _along(
    way: float, share: float, span: float, side: float, lane: float, own: float, swing: float
) -> float:
    """Where the middle is on one axis: on its way from outside to outside, or in its lane."""
    if way:
        return (share if way > 0 else 1 - share) * span - own / 2
    return own / 2 + _BOB + lane * max(side - own - 2 * _BOB, 0.0) + swing


def _front(covers: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Which cover is in front of each pixel, from 1; 0: none."""
    front = torch.zeros(size[1], size[0], dtype=torch.uint8)
    for n, cover in enumerate(covers, start=1):
        front[cover > 0.5] = n
    return front


def _shifted(sprite: Tensor, right: float, down: float) -> Tensor:
    """A picture (c h w) moved by parts of a pixel, one row and column larger."""
    taps = torch.tensor(
        [[down * right, down * (1 - right)], [(1 - down) * right, (1 - down) * (1 - right)]]
    )
    return conv2d(pad(sprite, (1, 1, 1, 1))[:, None], taps[None, None])[:, 0]


def _opened(path: Path) -> Tensor:
    """Colours times cover, and cover, of a picture cut to its outline: 4 h w in 0..1."""
    values = read_cutout(path).float() / 255
    return torch.cat([values[:3] * values[3:], values[3:]])


@functools.lru_cache(maxsize=4)
def _bank(folder: Path | None) -> tuple[Cutout, ...]:
    """Every cut-out of a folder with a name; of the stamps, what is no letter, sign or drawing."""
    place = folder or STAMPS
    if not place.is_dir():
        hint = (
            "a folder of PNG files"
            if folder
            else "apt install tuxpaint-stamps-default, or folder=DIR"
        )
        raise InputError("no cut-outs", str(place), hint)
    stamps = (place / "animals").is_dir() and (place / "symbols").is_dir()
    found = []
    for path in sorted(place.rglob("*.png"))[:_MOST]:
        parts = path.relative_to(place).parts
        if stamps and (parts[0] not in GROUPS or "cartoon" in parts):
            continue
        name = _name(path)
        if name and (not stamps or path.with_suffix(".txt").exists()):
            found.append(Cutout(path, name))
    if not found:
        raise InputError("no cut-outs", str(place), "PNG files with captions of up to 40 letters")
    return tuple(found)


def _name(path: Path) -> str:
    """What a picture shows, with its article; empty: a story, or nothing."""
    beside = path.with_suffix(".txt")
    if beside.is_file():
        with beside.open(encoding="utf-8", errors="replace") as file:
            said = file.readline(500).strip().rstrip(".!")
    else:
        said = path.stem.replace("_", " ").replace("-", " ").strip()
    if not said or len(said) > _LONGEST or any(mark in said for mark in ".!?;:"):
        return ""
    first, _, rest = said.partition(" ")
    if first.lower() in ("a", "an", "the", "some", "two"):
        return f"{first.lower()} {rest}"
    return f"{'an' if said[0].lower() in 'aeiou' else 'a'} {said[0].lower()}{said[1:]}"


def _chosen(bank: tuple[Cutout, ...], words: str) -> tuple[Cutout, ...]:
    """Those that are told by one of the words, or all."""
    asked = [word.strip().lower() for word in words.split(",") if word.strip()]
    known = {word for one in bank for word in one.name.lower().split()}
    for word in asked:
        if word not in known:
            raise InputError(f"no cut-out of '{word}'", "cutouts", nearest(word, sorted(known)))
    return tuple(one for one in bank if not asked or set(asked) & set(one.name.lower().split()))


__all__ = ["GROUPS", "STAMPS", "WAYS", "Cutout", "Cutouts"]
