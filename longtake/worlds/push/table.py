"""The table seen from above: painted, read back, and judged."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.worlds.laws import Violation, marked, steps
from longtake.worlds.painting import Painted, capsule, colour, disc, lay
from longtake.worlds.push.energy import gains
from longtake.worlds.push.physics import (
    PUSH_SPEED,
    PUSHER,
    RADII,
    TICKS,
    TOP_SPEED,
    Course,
    Physics,
    State,
)
from longtake.worlds.reading import centre_of, fit_disc

NAMES = ("the red disc", "the yellow disc", "the green disc", "the blue disc")
_COLOURS = tuple(colour(text) for text in ("#e0453c", "#e9b520", "#35b56a", "#3d7df0"))
_TABLE, _SEAM = colour("#3b4048"), colour("#343940")
_ROD, _TIP, _GRIP = colour("#9aa0a8"), colour("#f6f7f9"), colour("#c9ced6")
_ROD_RADIUS = 0.016
_READING = 0.75  # pixels that a place read back may be off, after lossy coding too


class Push(Painted):
    """An arm pushes discs about a table: inelastic contacts, friction, actions known.

    count: 1 to 4 discs. After the robot pushing sets (Ebert et al., arXiv 1710.05268). A state is
    simulated from the last one kept, so a first leap to frame n costs n frames of physics.
    """

    name = "push"
    LAWS: ClassVar[Mapping[str, str]] = {
        "teleport": "a disc or the pusher moves farther than its greatest speed allows",
        "penetration": "two discs, a disc and the pusher, or a disc and a wall overlap",
        "energy": "a disc speeds up without being touched",
        "identity": "a disc goes, comes or changes colour",
    }

    def __init__(
        self,
        *,
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
        fps: float = 10.0,
        count: int = 4,
    ) -> None:
        super().__init__(seed=seed, size=size, fps=fps)
        if count not in (1, 2, 3, 4):
            raise InputError(f"{count} discs", self.name, "1 to 4")
        self.count = count
        self._course = Course(Physics(seed, self.extent, count))

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame, in short sides and seconds.

        `position`, `velocity` (t n 2); `pusher` (t 2) and `action` (t 2), its velocity; `touched`
        (t n), 1 where the pusher has just touched a disc.
        """
        seconds = self.seconds(indices).tolist()
        rows: list[list[float] | None] = [None] * len(seconds)
        for place in sorted(range(len(seconds)), key=seconds.__getitem__):
            rows[place] = self._row(seconds[place] * TICKS)
        table = torch.tensor(rows, dtype=torch.float64).float()
        discs = table[:, : 5 * self.count].reshape(len(seconds), self.count, 5)
        pusher = table[:, 5 * self.count :]
        return {
            "position": discs[..., :2],
            "velocity": discs[..., 2:4],
            "touched": discs[..., 4],
            "pusher": pusher[:, :2],
            "action": pusher[:, 2:],
        }

    def _row(self, tick: float) -> list[float]:
        """The numbers at a time between two ticks, halfway between those of both."""
        whole = math.floor(tick + 1e-6)
        share = max(0.0, tick - whole)
        early = _numbers(self._course.at(whole))
        if share < 1e-6:
            return early
        late = _numbers(self._course.at(whole + 1))
        return [a + (b - a) * share for a, b in zip(early, late, strict=True)]

    def compose(self, truth: Mapping[str, Tensor]) -> Tensor:
        """The picture of a few frames in 0..1: t 3 h w."""
        position, pusher = truth["position"], truth["pusher"]
        picture = self._ground.expand(len(pusher), 3, *self.size[::-1]).clone()
        for n in range(position.shape[1]):
            place, radius = position[:, n], RADII[n]
            shade = disc(self.x, self.y, place + 0.014, radius + 0.004, self.scale / 3)
            picture *= 1 - 0.35 * shade[:, None]
        for n in range(position.shape[1]):
            place, radius = position[:, n], RADII[n]
            dx = self.x - place[:, 0, None, None]
            dy = self.y - place[:, 1, None, None]
            inwards = radius - (dx * dx + dy * dy).sqrt()
            lay(picture, 0.78 * _COLOURS[n], (inwards * self.scale + 0.5).clamp(0, 1))
            top = ((inwards - 0.014) * self.scale + 0.5).clamp_(0, 1)
            lay(picture, _COLOURS[n], top)
        base = torch.tensor([self.extent[0] / 2, -0.12]).expand_as(pusher)
        lay(picture, _ROD, capsule(self.x, self.y, base, pusher, _ROD_RADIUS, self.scale))
        lay(picture, _TIP, disc(self.x, self.y, pusher, PUSHER, self.scale))
        return picture

    @functools.cached_property
    def _ground(self) -> Tensor:
        """A dark table with faint seams: 3 h w."""
        plank = torch.remainder(self.x / 0.25 + 0.5, 1)
        seam = ((0.02 - (plank - 0.5).abs()) * 0.25 * self.scale + 0.5).clamp(0, 1)
        light = 1.06 - 0.12 * self.y / self.extent[1]
        return ((_TABLE + (_SEAM - _TABLE) * seam) * light).float()

    def read(self, frames: Tensor) -> dict[str, Tensor]:
        """`position` (t 4 2), `there` (t 4) and `pusher` (t 2), as seen."""
        picture = frames.float() / 255
        grey = picture.mean(1, keepdim=True)
        tint = picture - grey
        hues = torch.stack([c - c.mean() for c in _COLOURS])[:, :, 0, 0]
        hues = hues / hues.norm(dim=1, keepdim=True)
        alike = torch.einsum("tchw,nc->tnhw", tint, hues)
        strength = alike.amax(1)
        nearest = alike.argmax(1)
        tip = ((picture.amin(1) - 0.70) / 0.24).clamp(0, 1)
        arm = (picture.amin(1) > 0.40) & (strength < 0.2)
        position, there = [], []
        for n, radius in enumerate(RADII):
            mask = ((nearest == n) & (strength > 0.16)).float()
            area = mask.sum((1, 2)) / self.scale**2
            there.append(area > 0.3 * math.pi * radius**2)
            position.append(fit_disc(mask, ~arm, radius, self.x, self.y, self.scale))
        return {
            "position": torch.stack(position, 1),
            "there": torch.stack(there, 1),
            "pusher": centre_of(tip, self.x, self.y),
        }

    def judge(self, state: Mapping[str, Tensor]) -> list[Violation]:
        """The laws that a read course of states breaks."""
        there, place, pusher = state["there"], state["position"], state["pusher"]
        usual = there.float().mean(0) >= 0.5
        changed = (there != torch.cat([there[:1], there[:-1]])) | (there != usual)
        found = marked("identity", changed, "{who} went, came or changed", NAMES)
        found += marked("identity", ~there.any(1), "no disc is seen")
        off = _READING / self.scale
        both = there & torch.cat([there[:1], there[:-1]])
        moved = steps(place)
        far = (moved.norm(dim=-1) > TOP_SPEED / self.fps + 2 * off) & both
        found += marked("teleport", far, "{who} jumped", NAMES)
        leap = steps(pusher).norm(dim=-1) > 1.5 * PUSH_SPEED / self.fps + 2 * off
        found += marked("teleport", leap, "the pusher jumped")
        found += self._overlaps(place, pusher, there)
        here = {"extent": self.extent, "fps": self.fps, "scale": self.scale}
        gained = gains(place, pusher, there & ~far, **here)
        return found + marked("energy", gained, "{who} sped up untouched", NAMES)

    def _overlaps(self, place: Tensor, pusher: Tensor, there: Tensor) -> list[Violation]:
        off = 2 * _READING / self.scale
        radii = torch.tensor(RADII)
        gaps = torch.cdist(place, place) - radii[:, None] - radii
        both = there[:, :, None] & there[:, None, :]
        deep = ((gaps < -off) & both & torch.tril(torch.ones(4, 4), -1).bool()).any(-1)
        found = marked("penetration", deep, "{who} overlaps another", NAMES)
        gaps = (place - pusher[:, None]).norm(dim=-1) - radii - PUSHER
        found += marked("penetration", (gaps < -off) & there, "{who} overlaps the pusher", NAMES)
        room = torch.tensor(self.extent)
        out = ((place < radii[:, None] - off) | (place > room - radii[:, None] + off)).any(-1)
        return found + marked("penetration", out & there, "{who} is in the wall", NAMES)


def _numbers(state: State) -> list[float]:
    rows = zip(state.x, state.y, state.u, state.v, map(float, state.touched), strict=True)
    return [value for row in rows for value in row] + [state.px, state.py, state.pu, state.pv]
