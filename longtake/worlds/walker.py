"""An articulated figure does what the people of KTH do, at known joints.

The six actions of Schuldt, Laptev and Caputo (ICPR 2004), as closed-form gaits and gestures.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from longtake.errors import InputError, nearest
from longtake.worlds.chance import Floats, Ints, draw
from longtake.worlds.laws import Violation, marked, steps
from longtake.worlds.painting import Painted, capsule, colour, disc, lay
from longtake.worlds.reading import HUES, centre_of, fit_disc, tint_cover

ACTIONS = ("walking", "jogging", "running", "boxing", "handclapping", "handwaving")
JOINTS = (
    "head",
    "right hand",
    "left hand",
    "right foot",
    "left foot",
    "neck",
    "hip",
    "right elbow",
    "left elbow",
    "right knee",
    "left knee",
)
NAMES = tuple(f"the {name}" for name in JOINTS[:5])
SEGMENT = 8.0  # seconds of one action
_BLEND = 0.6  # seconds from one to the next
_HEIGHT, _GROUND = 0.74, 0.10  # of a figure; of the ground over the lower side
_TRUNK, _THIGH, _SHIN, _ARM, _NECK = 0.30, 0.235, 0.235, 0.165, 0.135  # shares of the height
_MARKS = (0.062, 0.040, 0.040, 0.042, 0.042)  # radii of head, gloves and shoes, short sides
_TINTS = tuple(colour(HUES[n]) for n in (1, 0, 3, 4, 2))  # head, right and left hand, feet
_SUITS = ("#2f3640", "#3d3833", "#33403a", "#403a45")
_WALL, _WALL_LOW, _FLOOR = colour("#969aa0"), colour("#82868c"), colour("#6c6f74")
# Strides a second, metres being short sides: speed, stride, and the swing of legs, knees and arms.
_GAITS = {
    0: (0.30, 0.44, 0.42, 0.55, 0.40),
    1: (0.55, 0.58, 0.55, 1.0, 0.6),
    2: (0.9, 0.8, 0.8, 1.5, 0.9),
}
_SHARP = 0.97  # of turning round at the ends: 1 would be at once
_FASTEST = (2.2, 4.5, 4.5, 5.0, 5.0)  # short sides a second, of the marks
_READING = 0.75  # pixels that a place read back may be off


class Walker(Painted):
    """A figure walks, jogs, runs, boxes, claps and waves, an action in eight seconds.

    action: one of ACTIONS for good; empty: drawn. grey: without colours, as KTH; then only the
    head can be read back.
    """

    name = "walker"
    LAWS: ClassVar[Mapping[str, str]] = {
        "teleport": "a head, hand or foot moves farther than the fastest action takes it",
        "off-path": "the figure floats over the ground or sinks into it",
        "stretch": "a limb is longer than its bones",
        "identity": "the figure becomes one of another height",
    }

    def __init__(
        self,
        *,
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
        fps: float = 10.0,
        action: str = "",
        grey: bool = False,
    ) -> None:
        super().__init__(seed=seed, size=size, fps=fps)
        if action and action not in ACTIONS:
            raise InputError(f"unknown action '{action}'", self.name, nearest(action, ACTIONS))
        self.action, self.grey = action, grey
        self.height = _HEIGHT * (0.9 + 0.14 * float(draw(seed, "height", 0)))
        self._suit = [colour(_SUITS[int(4 * draw(seed, "suit", n))]) for n in range(2)]
        self._reach = min(max(self.extent[0] / 2 - 0.2, 0.25), 0.9)
        self._floor = self.extent[1] - _GROUND

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame, in short sides.

        `joints` (t 11 2), in the order of JOINTS; `action` (t), a place in ACTIONS; `facing` (t),
        -1 left to 1 right; `phase` (t) of the action, 0 to 1.
        """
        seconds = self.seconds(indices).numpy()
        shifted = seconds / SEGMENT + 0.5 * _BLEND / SEGMENT
        late = np.floor(shifted).astype(np.int64)
        share = np.clip((shifted - late) * SEGMENT / _BLEND, 0, 1)
        share = np.where(late == 0, 1.0, share * share * (3 - 2 * share))
        one, two = self._actions(np.maximum(late - 1, 0)), self._actions(late)
        early = seconds - (late - 1) * SEGMENT
        a = self._posed(one, early)
        b = self._posed(two, early - SEGMENT)
        x, facing, joints = (
            u + (v - u) * share.reshape(-1, *[1] * (u.ndim - 1))
            for u, v in zip(a[:3], b[:3], strict=True)
        )
        lift = self._floor - _MARKS[3] - joints[:, 3:5, 1].max(1)
        hop = a[4] + (b[4] - a[4]) * share
        joints = joints + np.stack([x, lift - hop], -1)[:, None]
        return {
            "joints": torch.from_numpy(joints).float(),
            "action": torch.from_numpy(np.where(share < 0.5, one, two)),
            "facing": torch.from_numpy(facing).float(),
            "phase": torch.from_numpy(np.where(share < 0.5, a[3], b[3])).float(),
        }

    def caption(self, index: int) -> str:
        """What the figure does at a frame."""
        return f"a figure is {ACTIONS[int(self.truth([index])['action'][0])]}"

    def _actions(self, segment: Ints) -> Ints:
        if self.action:
            return np.full_like(segment, ACTIONS.index(self.action))
        return (6 * draw(self.seed, "action", segment)).astype(np.int64)

    def _posed(self, action: Ints, since: Floats) -> tuple[Floats, ...]:
        """Place, facing, joints about the hip (t 11 2), phase and hop, `since` seconds in."""
        x = np.full(len(since), self.extent[0] / 2)
        facing, phase, hop = np.ones(len(since)), np.zeros(len(since)), np.zeros(len(since))
        joints = np.zeros((len(since), len(JOINTS), 2))
        for kind in np.unique(action):
            which = action == kind
            time = since[which]
            if kind in _GAITS:
                away, facing[which], gone = self._course(time, _GAITS[kind][0])
                x[which] += away
                turns = gone / _GAITS[kind][1]
                joints[which] = self._gait(_GAITS[kind], turns, facing[which])
                hop[which] = (0.0, 0.010, 0.022)[kind] * np.sin(2 * np.pi * turns) ** 2
            else:
                turns = time * (1.5, 1.25, 0.75)[int(kind) - 3]
                joints[which] = self._gesture(int(kind), turns)
            phase[which] = turns % 1
        return x, facing, joints * self.height, phase, hop

    def _course(self, time: Floats, speed: float) -> tuple[Floats, Floats, Floats]:
        """Place about the middle, facing, and distance gone, to and fro; whole rounds a segment."""
        rounds = max(1, round(speed * SEGMENT / (4 * self._reach)))
        turn = 2 * np.pi * rounds * time / SEGMENT
        swing = np.arcsin(_SHARP * np.sin(turn)) / math.asin(_SHARP)
        facing = np.cos(turn) / np.sqrt(1 - (_SHARP * np.sin(turn)) ** 2)
        half = np.floor(turn / np.pi + 0.5)
        gone = self._reach * (2 * half + np.where(half % 2 == 0, swing, -swing))
        return self._reach * swing, facing, gone

    def _gait(self, gait: tuple[float, ...], turns: Floats, facing: Floats) -> Floats:
        """Joints about the hip, seen from the side, in heights."""
        _, _, legs, knees, arms = gait
        lean = 0.10 * legs
        parts: dict[str, Floats] = {"hip": _at(np.zeros(len(turns)), np.zeros(len(turns)))}
        parts["neck"] = _bone(parts["hip"], np.pi + lean + 0 * turns, _TRUNK, mirrored=True)
        parts["head"] = _bone(parts["neck"], np.pi + 0.5 * lean + 0 * turns, _NECK, mirrored=True)
        for side, offset in (("right", 0.0), ("left", 0.5)):
            angle = 2 * np.pi * (turns + offset)
            thigh = legs * np.sin(angle) + 0.1 * legs
            bend = 0.1 + knees * np.clip(np.cos(angle), 0, None) ** 1.5
            parts[f"{side} knee"] = _bone(parts["hip"], thigh, _THIGH)
            parts[f"{side} foot"] = _bone(parts[f"{side} knee"], thigh - bend, _SHIN)
            swing = -arms * np.sin(angle)
            parts[f"{side} elbow"] = _bone(parts["neck"], swing, _ARM)
            parts[f"{side} hand"] = _bone(parts[f"{side} elbow"], swing + 0.25 + arms, _ARM)
        joints = np.stack([parts[name] for name in JOINTS], 1)
        joints[..., 0] *= facing[:, None]
        wide = (
            0.07 * np.sqrt(np.clip(1 - facing**2, 0, 1))[:, None]
        )  # seen from the front in a turn
        joints[:, [1, 3, 7, 9], 0] -= wide
        joints[:, [2, 4, 8, 10], 0] += wide
        return joints

    def _gesture(self, kind: int, turns: Floats) -> Floats:
        """Joints about the hip of who stands and boxes, claps or waves, in heights."""
        zero = 0 * turns
        parts: dict[str, Floats] = {"hip": _at(zero, zero), "neck": _at(zero, zero - _TRUNK)}
        parts["head"] = _at(zero, zero - _TRUNK - _NECK)
        for side, sign, offset in (("right", -1.0, 0.0), ("left", 1.0, 0.5)):
            stand = 0.10 if kind != 3 else 0.16
            parts[f"{side} knee"] = _bone(
                _at(zero + 0.03 * sign, zero), stand * sign + zero, _THIGH
            )
            parts[f"{side} foot"] = _bone(parts[f"{side} knee"], stand * sign + zero, _SHIN)
            shoulder = parts["neck"] + _at(zero + (0.0 if kind == 3 else 0.07 * sign), zero + 0.01)
            wave = 0.5 - 0.5 * np.cos(2 * np.pi * (turns + (offset if kind == 3 else 0.0)))
            if kind == 3:  # a fist at a time, to the right
                upper, lower = 0.5 + 1.0 * wave, 2.4 - 0.8 * wave
            elif kind == 4:  # hands meet before the chest
                upper, lower = sign * (0.35 + 0.75 * wave), sign * (-1.75 + 3.1 * wave)
            else:  # from the hips to over the head
                upper, lower = sign * (0.7 + 1.7 * wave), sign * (0.9 + 1.9 * wave)
            parts[f"{side} elbow"] = _bone(shoulder, upper, _ARM)
            parts[f"{side} hand"] = _bone(parts[f"{side} elbow"], lower, _ARM)
        return np.stack([parts[name] for name in JOINTS], 1)

    def compose(self, truth: Mapping[str, Tensor]) -> Tensor:
        """The picture of a few frames in 0..1: t 3 h w."""
        joint = {name: truth["joints"][:, n] for n, name in enumerate(JOINTS)}
        picture = self._ground.expand(len(truth["joints"]), 3, *self.size[::-1]).clone()
        middle = joint["hip"][:, 0, None, None]
        dx, dy = (self.x - middle) / 0.2, (self.y - self._floor + 0.005) / 0.028
        lay(picture, 0.5 * _FLOOR, (1 - dx * dx - dy * dy).clamp_(0, 1) * 0.6)
        scale = self.scale
        for side, shade in (("left", 0.72), ("right", 1.0)):
            near = shade * self._suit[0]
            if side == "right":
                trunk = capsule(self.x, self.y, joint["neck"], joint["hip"], 0.062, scale)
                lay(picture, 0.88 * self._suit[0], trunk)
                lay(
                    picture,
                    0.88 * self._suit[0],
                    capsule(self.x, self.y, joint["neck"], joint["head"], 0.024, scale),
                )
            legs = shade * self._suit[1]
            for start, end, tint, radius in (
                ("hip", f"{side} knee", legs, 0.036),
                (f"{side} knee", f"{side} foot", legs, 0.030),
                ("neck", f"{side} elbow", near, 0.027),
                (f"{side} elbow", f"{side} hand", near, 0.024),
            ):
                lay(picture, tint, capsule(self.x, self.y, joint[start], joint[end], radius, scale))
        for n in (4, 3, 0, 2, 1):
            lay(picture, _TINTS[n], disc(self.x, self.y, joint[JOINTS[n]], _MARKS[n], scale))
        if self.grey:
            light = picture * torch.tensor([0.299, 0.587, 0.114])[:, None, None]
            picture = light.sum(1, keepdim=True).expand_as(picture).clone()
        return picture

    @functools.cached_property
    def _ground(self) -> Tensor:
        """A wall and a floor: 3 h w."""
        down = (self.y / self.extent[1]).float().expand(1, *self.size[::-1])
        edge = self._floor - 0.06
        floor = ((down * self.extent[1] - edge) * self.scale + 0.5).clamp(0, 1)
        wall = _WALL + (_WALL_LOW - _WALL) * down
        return wall + (_FLOOR * (0.9 + 0.2 * down) - wall) * floor

    def read(self, frames: Tensor) -> dict[str, Tensor]:
        """`marks` (t 5 2), the first five of JOINTS, and `there` (t 5): seen for the most part."""
        if self.grey:
            cover = ((frames[:, 0].float() / 255 - 0.645) / 0.08).clamp(0, 1)
            place = centre_of(cover, self.x, self.y)[:, None].expand(-1, 5, 2).clone()
            there = torch.zeros(len(frames), 5, dtype=torch.bool)
            there[:, 0] = cover.sum((1, 2)) > 0.4 * math.pi * (_MARKS[0] * self.scale) ** 2
            return {"marks": place, "there": there}
        cover = tint_cover(frames, _TINTS)
        places, shares = [], []
        for n, radius in enumerate(_MARKS):
            others = cover.sum(1) - cover[:, n] < 0.3
            places.append(fit_disc(cover[:, n], others, radius, self.x, self.y, self.scale))
            shares.append(cover[:, n].sum((1, 2)) / (math.pi * (radius * self.scale) ** 2))
        return {"marks": torch.stack(places, 1), "there": torch.stack(shares, 1) > 0.6}

    def judge(self, state: Mapping[str, Tensor]) -> list[Violation]:
        """The laws that a read course of states breaks."""
        place, there = state["marks"], state["there"]
        off = 2 * _READING / self.scale
        both = there & torch.cat([there[:1], there[:-1]])
        far = steps(place).norm(dim=-1) > torch.tensor(_FASTEST) / self.fps + off
        found = marked("teleport", far & both, "{who} jumped", NAMES)
        found += marked("identity", ~there[:, 0], "no head is seen")
        feet = there[:, 3] & there[:, 4]
        lowest = place[:, 3:5, 1].amax(1) + _MARKS[3] - self._floor
        wrong = ((lowest < -0.022 - off) | (lowest > off)) & feet
        found += marked("off-path", wrong, "the figure left the ground")
        tall = _HEIGHT * 1.04
        spans = (place[:, 1:] - place[:, :1]).norm(dim=-1)
        arm, leg = (_NECK + 0.08 + 2 * _ARM) * tall, (_NECK + _TRUNK + 0.04 + _THIGH + _SHIN) * tall
        long = spans > torch.tensor([arm, arm, leg, leg]) + off
        found += marked(
            "stretch", long & there[:, 1:] & there[:, :1], "{who} is torn off", NAMES[1:]
        )
        return found + self._other_heights(place[:, 0, 1], there[:, 0], off)

    def _other_heights(self, head: Tensor, there: Tensor, off: float) -> list[Violation]:
        """Heads higher than anybody's, lower than any action takes them, or at another height."""
        height = self._floor - head
        known = height[there]
        usual = known.median() if len(known) else torch.tensor(0.0)
        odd = ((height / usual - 1).abs() > 0.14 + off) & there
        return marked("identity", odd, "the figure has another height")


def _at(x: Floats, y: Floats) -> Floats:
    return np.stack([x, y], -1)


def _bone(start: Floats, angle: Floats, length: float, mirrored: bool = False) -> Floats:
    """The end of a bone; the angle is from straight down, forwards."""
    forward = -np.sin(angle) if mirrored else np.sin(angle)
    return start + length * np.stack([forward, np.cos(angle)], -1)
