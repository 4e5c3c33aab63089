"""Stochastic bouncing digits: straight flight, and a new speed after every wall.

After Moving MNIST (Srivastava et al., arXiv 1502.04681) and its stochastic variant (Denton and
Fergus, arXiv 1802.07687), with digits written by the seed instead of scans.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool2d, normalize

from longtake.errors import InputError
from longtake.worlds.chance import Floats, draw
from longtake.worlds.glyphs import REACH, Glyph, write
from longtake.worlds.laws import Violation, marked, steps
from longtake.worlds.painting import Painted, colour

HEIGHT = 0.36  # of a digit, short sides
SPEED = 0.45  # the mean of an axis, short sides a second
FASTEST = 2 * SPEED
NAMES = ("the red digit", "the green digit", "the blue digit")

# Light of the three digits adds up and stays below white, so pixels can be told apart exactly.
_LIGHT = torch.tensor([[0.80, 0.16, 0.14], [0.12, 0.62, 0.18], [0.08, 0.24, 0.66]])
_TOP, _BOTTOM = colour("#070912"), colour("#10131f")
_CELLS = 24  # of a read glyph, a side
_PRESENT = 0.25  # share of the ink of the thinnest digit
_THINNEST = 0.060  # ink of a 1 in the thinnest hand, squares of digit heights
_READING = 0.3  # pixels that a place read back may be off, after lossy coding too
_WRITTEN = 0.6  # cosine with the nearest digit, at least; a patch full of light has 0.5
_ALIKE = 0.90  # cosine between two readings of one glyph, at least


class Digits(Painted):
    """Stochastic bouncing digits, written by the seed, in three lights that add up.

    count: 1 to 3 digits.
    """

    name = "digits"
    LAWS: ClassVar[Mapping[str, str]] = {
        "teleport": "a digit moves farther than the greatest speed allows",
        "off-path": "a digit turns or changes speed away from the walls",
        "identity": "a digit becomes another",
        "vanishing": "a digit goes or comes",
    }

    def __init__(
        self,
        *,
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
        fps: float = 10.0,
        count: int = 2,
    ) -> None:
        super().__init__(seed=seed, size=size, fps=fps)
        if count not in (1, 2, 3):
            raise InputError(f"{count} digits", self.name, "1, 2 or 3")
        self.count = count
        self.digits = [int(10 * u) for u in draw(seed, "digit", np.arange(count))]
        self._ground = _TOP + (_BOTTOM - _TOP) * (self.y / self.extent[1])

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame; places are centres of ink.

        `position` (t n 2) in short sides; `velocity` (t n 2) in short sides a second; `digit`
        (t n), 0 to 9.
        """
        seconds = self.seconds(indices).numpy()
        position = np.empty((len(seconds), self.count, 2))
        velocity = np.empty_like(position)
        for n, digit in enumerate(self.digits):
            box = self._glyph(n, digit).box
            for axis in (0, 1):
                low = -box[axis] * HEIGHT
                high = self.extent[axis] - box[axis + 2] * HEIGHT
                flown = _flight(self.seed, 2 * n + axis, seconds, high - low)
                position[:, n, axis], velocity[:, n, axis] = low + flown[0], flown[1]
        return {
            "position": torch.from_numpy(position).float(),
            "velocity": torch.from_numpy(velocity).float(),
            "digit": torch.tensor(self.digits).expand(len(seconds), self.count).clone(),
        }

    def compose(self, truth: Mapping[str, Tensor]) -> Tensor:
        """The picture of a few frames in 0..1: t 3 h w."""
        position, digit = truth["position"], truth["digit"]
        picture = self._ground.expand(len(position), 3, *self.size[::-1]).clone()
        for n in range(position.shape[1]):
            for value in sorted(set(digit[:, n].tolist())):
                which = digit[:, n] == value
                field = self._glyph(n, int(value)).field
                ink = self._ink(field, position[which, n])
                picture[which] += _LIGHT[n][:, None, None] * ink
        return picture

    def read(self, frames: Tensor) -> dict[str, Tensor]:
        """`position` (t 3 2), `digit` (t 3; -1: none there), `glyph` (t 3 d) and `gap`, as seen.

        `gap` (t 3 2): short sides from the ink to the nearer wall of each axis.
        """
        light = frames.float() / 255 - self._ground
        ink = torch.einsum("tchw,cn->tnhw", light, torch.linalg.inv(_LIGHT)).clamp_(0, 1)
        # Where a codec has halved the colours, edges of one light leave up to 0.35 of another.
        ink = ink * (max_pool2d(ink, 3, 1, 1) > 0.45)
        mass = ink.sum((2, 3))
        centre = torch.stack([(ink * self.x).sum((2, 3)), (ink * self.y).sum((2, 3))], -1)
        position = centre / mass.clamp(min=1e-6)[..., None]
        glyph = self._patches(ink, position)
        known, labels = _bank()
        alike = torch.einsum("tnd,kd->tnk", glyph, known)
        there = mass > _PRESENT * _THINNEST * (HEIGHT * self.scale) ** 2
        there &= alike.amax(-1) > _WRITTEN
        digit = labels[alike.argmax(-1)].masked_fill(~there, -1)
        gaps = [self._gap(ink.amax(dim) > 0.5) for dim in (2, 3)]
        return {"position": position, "digit": digit, "glyph": glyph, "gap": torch.stack(gaps, -1)}

    def judge(self, state: Mapping[str, Tensor]) -> list[Violation]:
        """The laws that a read course of states breaks."""
        position, digit, glyph = state["position"], state["digit"], state["glyph"]
        there = digit >= 0
        usual = there.float().mean(0) >= 0.5
        there_before = torch.cat([there[:1], there[:-1]])
        alike = torch.cat([torch.ones_like(digit[:1]), (glyph[1:] * glyph[:-1]).sum(-1)])
        before = torch.cat([digit[:1], digit[:-1]])
        both = there & there_before
        off = _READING / self.scale
        moved = steps(position)
        far = (moved.abs() > FASTEST / self.fps + 2 * off).any(-1)
        found = marked("teleport", far & both, "{who} jumped", NAMES)
        turned = (steps(moved).abs() > 4 * off) & ~self._may_bounce(state["gap"], moved)
        turned[:2] = False
        steady = both & torch.cat([both[:1], both[:-1]]) & ~far & ~torch.cat([far[:1], far[:-1]])
        found += marked("off-path", turned.any(-1) & steady, "{who} turned in the open", NAMES)
        changed = (digit != before) & (alike < _ALIKE) & both
        found += marked("identity", changed, "{who} is another", NAMES)
        swapped = (there != there_before) | ((there != usual) & (steps(there.float()) == 0))
        swapped[0] = there[0] != usual
        found += marked("vanishing", ~there.any(1), "no digit is seen")
        return found + marked("vanishing", swapped, "{who} went or came", NAMES)

    def _gap(self, inked: Tensor) -> Tensor:
        """Short sides from ink to the nearer end, for lines of pixels (t n l) with ink or not."""
        place = torch.arange(inked.shape[-1])
        first = torch.where(inked, place, inked.shape[-1]).amin(-1)
        last = torch.where(inked, place, -1).amax(-1)
        return torch.minimum(first, inked.shape[-1] - 1 - last).clamp(min=0) / self.scale

    def _may_bounce(self, gap: Tensor, moved: Tensor) -> Tensor:
        """Whether a wall was within reach on one of the last two ways: t n 2.

        A bounce on the way to frame n lies no farther from frame n - 1 than the way before was
        long; one on the way to n - 1 no farther than the way after.
        """
        before = torch.cat([moved[:1], moved[:-1]]).abs()
        gap = torch.cat([gap[:1], gap[:-1]])
        return gap <= torch.maximum(before, moved.abs()) + 1.5 / self.scale

    def _ink(self, field: Tensor, position: Tensor) -> Tensor:
        """The share of every pixel under ink: t 1 h w."""
        across = (self.x - position[:, 0, None, None]) / (HEIGHT * REACH)
        down = (self.y - position[:, 1, None, None]) / (HEIGHT * REACH)
        shape = (len(position), self.size[1], self.size[0])
        grid = torch.stack([across.expand(shape), down.expand(shape)], -1)
        seen = grid_sample(
            field.expand(len(position), 1, *field.shape),
            grid,
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        return seen.mul_(HEIGHT * self.scale).add_(0.5).clamp_(0, 1)

    def _patches(self, ink: Tensor, position: Tensor) -> Tensor:
        """What is written about each place, at a common size and of length 1: t n d."""
        t, n = ink.shape[:2]
        axis = ((torch.arange(_CELLS) + 0.5) / _CELLS * 2 - 1) * HEIGHT * REACH
        x = (position[..., 0].reshape(-1, 1, 1) + axis[None, None]) / self.extent[0] * 2 - 1
        y = (position[..., 1].reshape(-1, 1, 1) + axis[None, :, None]) / self.extent[1] * 2 - 1
        shape = (t * n, _CELLS, _CELLS)
        grid = torch.stack([x.expand(shape), y.expand(shape)], -1)
        patch = grid_sample(ink.reshape(t * n, 1, *ink.shape[2:]), grid, align_corners=False)
        return normalize(patch.reshape(t, n, -1), dim=-1)

    @functools.lru_cache(maxsize=30)  # noqa: B019 - thirty small fields, and worlds are few
    def _glyph(self, slot: int, digit: int) -> Glyph:
        return write(digit, self.seed, slot)


def _flight(seed: int, axis: int, seconds: Floats, room: float) -> tuple[Floats, Floats]:
    """Place between two walls and velocity, in closed form.

    Bounce k happens at (k + u_k / 2) periods, u_k drawn for it alone; so the way from wall to wall
    takes between half a period and one and a half, and no bounce needs those before it.
    """
    period = room / SPEED
    clock = seconds / period + 1 + 8 * float(draw(seed, "phase", axis))
    k = np.floor(clock).astype(np.int64)
    k -= clock < k + draw(seed, "bounce", axis, k) / 2
    begin = k + draw(seed, "bounce", axis, k) / 2
    takes = k + 1 + draw(seed, "bounce", axis, k + 1) / 2 - begin
    share = (clock - begin) / takes
    away = np.where(k % 2 == 0, share, 1 - share)
    sign = np.where(k % 2 == 0, 1.0, -1.0)
    return away * room, sign * room / (takes * period)


@functools.cache
def _bank() -> tuple[Tensor, Tensor]:
    """Glyphs in many hands, at the size and length of a reading (k d), and their digits (k)."""
    glyphs, labels = [], []
    cell = _CELLS // 2 / REACH
    for digit in range(10):
        for hand in range(24):
            field = write(digit, 2**62, hand).field
            ink = (field * 2 * cell * 2 + 0.5).clamp(0, 1)
            glyphs.append(ink.reshape(_CELLS, 4, _CELLS, 4).mean((1, 3)).flatten())
            labels.append(digit)
    return normalize(torch.stack(glyphs), dim=-1), torch.tensor(labels)
