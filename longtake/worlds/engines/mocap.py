"""A figure moves as people were recorded: motion capture, drawn by PyBullet's own software renderer.

The clips are those of DeepMimic (Peng et al., SIGGRAPH 2018) that come with the package.
"""

from __future__ import annotations

import functools
import json
import math
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.errors import InputError, nearest
from longtake.worlds.chance import Floats, draw
from longtake.worlds.engines import Engine, hushed

ACTIONS = {  # name -> whether it goes on into itself; then it is repeated
    "backflip": True,
    "cartwheel": True,
    "crawl": True,
    "dance_a": True,
    "dance_b": True,
    "getup_facedown": False,
    "getup_faceup": False,
    "jump": True,
    "kick": False,
    "punch": False,
    "roll": True,
    "run": True,
    "spin": True,
    "spinkick": True,
    "walk": True,
}
NAMES = tuple(ACTIONS)
_SAID = {
    "backflip": "does backflips",
    "cartwheel": "turns cartwheels",
    "dance_a": "dances",
    "dance_b": "dances on the spot",
    "getup_facedown": "gets up from its belly",
    "getup_faceup": "gets up from its back",
    "spinkick": "kicks in a spin",
    "punch": "punches",
}
_LEAST = 3.5  # seconds of an action
_BLEND = 0.4  # seconds of its end that become the next one's first pose
_SIZE = 0.25  # of the model, which is four times a person
_HINGES = {10: 19, 4: 28, 13: 33, 7: 42}  # joint -> its angle in a pose
_BALLS = {1: 7, 2: 11, 9: 15, 11: 20, 3: 24, 12: 29, 14: 34, 6: 38}  # joint -> its quaternion
_TURNS = (3, *_BALLS.values())  # where quaternions begin; 0 to 2 are the place
_TILES = (0.35, 0.42, 0.48)
_VIEW, _NEAR, _FAR = 50.0, 0.1, 40.0  # degrees; metres


class Mocap(Engine):
    """A recorded person walks, runs, jumps, dances or fights, seen by a slow camera (needs pybullet).

    action: one of the clips for good; empty: drawn, one after another. The camera follows.
    """

    name, extra, package = "mocap", "mocap", "pybullet"

    def __init__(
        self,
        *,
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
        fps: float = 10.0,
        action: str = "",
    ) -> None:
        super().__init__(seed=seed, size=size, fps=fps)
        if action and action not in ACTIONS:
            raise InputError(f"unknown action '{action}'", self.name, nearest(action, ACTIONS))
        self.action = action
        with hushed():
            self._bullet = self.part("pybullet")
        folder = Path(self.part("pybullet_data").getDataPath())
        self._clips = [_read(folder, name) for name in NAMES]
        with hushed():  # the package tells of every joint
            self._client = self._bullet.connect(self._bullet.DIRECT)
            self._body = self._furnished(folder)
        weakref.finalize(self, self._bullet.disconnect, self._client)
        self._acts: list[int] = []
        self._begins, self._places = [0.0], [np.zeros(3)]  # of each action

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame; lengths in metres, y up, about the point the camera looks at.

        `joints` (t 15 3) of the body's parts, `pixels` (t 15 2) where they are seen, in short sides; `action`
        (t), a place in NAMES; `phase` (t) of the clip; `camera` (t 3): yaw, pitch in degrees, distance;
        `depth` (t h w) in metres and `figure` (t h w), whether a pixel shows the body.
        """
        shots = [self._shot(float(second)) for second in self.seconds(indices)]
        rows = [self._posed(float(second)) for second in self.seconds(indices)]
        joints = [self._joints(place, pose) for place, pose, *_ in rows]
        cameras = [self._camera(float(second)) for second in self.seconds(indices)]
        seen = [self._seen(points, camera) for points, camera in zip(joints, cameras, strict=True)]
        return {
            "joints": torch.from_numpy(np.stack(joints)).float(),
            "pixels": torch.from_numpy(np.stack(seen)).float(),
            "action": torch.tensor([act for _, _, act, _ in rows]),
            "phase": torch.tensor([phase for *_, phase in rows]),
            "camera": torch.tensor(cameras),
            "depth": torch.from_numpy(np.stack([depth for _, depth, _ in shots])).float(),
            "figure": torch.from_numpy(np.stack([figure for *_, figure in shots])),
        }

    def caption(self, index: int) -> str:
        """What the figure does at a frame."""
        name = NAMES[self._posed(float(self.seconds([index])[0]))[2]]
        return f"a figure {_SAID.get(name, name + 's')}"

    def render(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`: uint8, t 3 h w."""
        return self.stacked(self._picture, indices)

    def _picture(self, index: int) -> NDArray[np.uint8]:
        return self._shot(float(self.seconds([index])[0]))[0]

    def _shot(self, second: float) -> tuple[NDArray[np.uint8], Floats, NDArray[np.bool_]]:
        """The picture (h w 3) of a time, its depth in metres, and where the body is."""
        place, pose, *_ = self._posed(second)
        self._take(place, pose)
        view, lens = self._matrices(self._camera(second))
        _, _, *made = self._bullet.getCameraImage(
            *self.size,
            view,
            lens,
            lightDirection=self._light,
            shadow=1,
            renderer=self._bullet.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )
        wide, high = self.size
        pixels, deep, whose = (np.asarray(part).reshape(high, wide, -1) for part in made)
        depth = _NEAR * _FAR / (_FAR - (_FAR - _NEAR) * deep[..., 0].astype(np.float64))
        return pixels[..., :3].astype(np.uint8), depth, whose[..., 0] == self._body

    def _furnished(self, folder: Path) -> int:
        """A floor and a body, in the seed's colours."""
        bullet, client = self._bullet, self._client
        lying = bullet.getQuaternionFromEuler([-math.pi / 2, 0, 0])
        floor = bullet.loadURDF(
            str(folder / "plane.urdf"), [0, 0, 0], lying, physicsClientId=client
        )
        tint = [_TILES[int(3 * draw(self.seed, "floor", n))] + 0.5 for n in range(3)]
        bullet.changeVisualShape(floor, -1, rgbaColor=[*tint, 1], physicsClientId=client)
        body = bullet.loadURDF(
            str(folder / "humanoid" / "humanoid.urdf"),
            [0, 1, 0],
            globalScaling=_SIZE,
            useFixedBase=True,
            physicsClientId=client,
        )
        suit, trousers = (draw(self.seed, name, np.arange(3)) for name in ("suit", "trousers"))
        for link in range(-1, bullet.getNumJoints(body, physicsClientId=client)):
            rgb = 0.15 + 0.8 * (trousers if link >= 9 else suit)
            if link == 2:
                rgb = np.array([0.85, 0.68, 0.55])
            bullet.changeVisualShape(body, link, rgbaColor=[*rgb, 1], physicsClientId=client)
        turn = 2 * math.pi * float(draw(self.seed, "light", 0))
        self._light = [3 * math.cos(turn), 5.0, 3 * math.sin(turn)]
        return int(body)

    def _camera(self, second: float) -> tuple[float, float, float]:
        """Yaw, pitch in degrees and distance: a slow way round."""
        drawn = [float(draw(self.seed, "camera", n)) for n in range(4)]
        yaw = 360 * drawn[0] + 10 * (drawn[1] - 0.5) * second
        return yaw % 360, -8 - 18 * drawn[2], 2.5 + 0.9 * drawn[3]

    def _matrices(self, camera: tuple[float, float, float]) -> tuple[Any, Any]:
        yaw, pitch = (math.radians(angle) for angle in camera[:2])
        level = camera[2] * math.cos(pitch)
        eye = [
            level * math.sin(yaw),
            0.8 - camera[2] * math.sin(pitch),
            level * math.cos(yaw),
        ]
        view = self._bullet.computeViewMatrix(eye, [0, 0.8, 0], [0, 1, 0])
        wide = self.size[0] / self.size[1]
        return view, self._bullet.computeProjectionMatrixFOV(_VIEW, wide, _NEAR, _FAR)

    def _seen(self, points: Floats, camera: tuple[float, float, float]) -> Floats:
        """Where points are in the picture, in short sides."""
        view, lens = (np.reshape(m, (4, 4)).T for m in self._matrices(camera))
        whole = np.concatenate([points, np.ones((len(points), 1))], 1) @ (lens @ view).T
        flat = whole[:, :2] / whole[:, 3:] * [1, -1]
        return np.asarray((flat + 1) / 2 * self.extent)

    def _joints(self, place: Floats, pose: Floats) -> Floats:
        """Where the body's parts are: 15 3."""
        self._take(place, pose)
        bullet, client, body = self._bullet, self._client, self._body
        links = range(bullet.getNumJoints(body, physicsClientId=client))
        states = bullet.getLinkStates(
            body, links, computeForwardKinematics=True, physicsClientId=client
        )
        return np.array([state[4] for state in states])

    def _take(self, place: Floats, pose: Floats) -> None:
        """Give the body a pose. It stays in the middle; what goes on is the floor under it."""
        bullet, client, body = self._bullet, self._client, self._body
        root = [0.0, float(pose[1]), 0.0]
        bullet.resetBasePositionAndOrientation(body, root, _xyzw(pose, 3), physicsClientId=client)
        for joint, at in _HINGES.items():
            bullet.resetJointState(body, joint, float(pose[at]), physicsClientId=client)
        for joint, at in _BALLS.items():
            bullet.resetJointStateMultiDof(body, joint, _xyzw(pose, at), physicsClientId=client)
        lying = bullet.getQuaternionFromEuler([-math.pi / 2, 0, 0])
        floor = [-float(place[0]) % 2 - 1, 0.0, -float(place[2]) % 2 - 1]  # tiles repeat
        bullet.resetBasePositionAndOrientation(0, floor, lying, physicsClientId=client)

    def _posed(self, second: float) -> tuple[Floats, Floats, int, float]:
        """Place, pose, action and phase at a time."""
        while self._begins[-1] <= second:
            act = self._act(len(self._acts))
            self._acts.append(act)
            lasts, moved = self._whole(act)
            self._begins.append(self._begins[-1] + lasts)
            self._places.append(self._places[-1] + moved)
        n = int(np.searchsorted(self._begins, second, side="right")) - 1
        act, since = self._acts[n], second - self._begins[n]
        place, pose, phase = self._clip(act, since)
        left = self._begins[n + 1] - second
        if left < _BLEND:
            share = 1 - left / _BLEND
            following = self._clips[self._act(n + 1)].poses[0]
            pose = _between(pose, following, share * share * (3 - 2 * share))
        return self._places[n] + place, pose, act, phase

    def _act(self, n: int) -> int:
        if self.action:
            return NAMES.index(self.action)
        return int(len(NAMES) * draw(self.seed, "action", n))

    def _whole(self, act: int) -> tuple[float, Floats]:
        """How long an action takes, and how far it goes."""
        clip = self._clips[act]
        rounds = max(1, math.ceil(_LEAST / clip.seconds)) if ACTIONS[NAMES[act]] else 1
        held = 0.0 if ACTIONS[NAMES[act]] else _BLEND
        return rounds * clip.seconds + held, rounds * clip.moved

    def _clip(self, act: int, since: float) -> tuple[Floats, Floats, float]:
        """Place, pose and phase of an action; one that does not repeat holds its last pose."""
        clip = self._clips[act]
        rounds, inside = divmod(since, clip.seconds)
        if not ACTIONS[NAMES[act]] and rounds:
            rounds, inside = 0.0, clip.seconds
        pose = clip.at(inside)
        return rounds * clip.moved + pose[:3] * [1, 0, 1], pose, inside / clip.seconds


class _Clip:
    """Recorded poses (n 43): place, then the quaternions (w x y z) and angles of the joints."""

    def __init__(self, times: Floats, poses: Floats) -> None:
        self.times, self.poses = times, poses
        self.seconds = float(times[-1])
        self.moved = (poses[-1, :3] - poses[0, :3]) * [1, 0, 1]

    def at(self, second: float) -> Floats:
        n = min(int(np.searchsorted(self.times, second, side="right")) - 1, len(self.times) - 2)
        share = (second - self.times[n]) / (self.times[n + 1] - self.times[n])
        return _between(self.poses[n], self.poses[n + 1], float(share))


@functools.cache
def _read(folder: Path, name: str) -> _Clip:
    path = folder / "data" / "motions" / f"humanoid3d_{name}.txt"
    try:
        table = np.array(json.loads(path.read_text(encoding="utf-8"))["Frames"], dtype=np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"no motion '{name}'", str(path), "pip install pybullet==3.2.7") from error
    times = np.concatenate([[0.0], np.cumsum(table[:-1, 0])])
    return _Clip(times, table[:, 1:])


def _between(one: Floats, two: Floats, share: float) -> Floats:
    """A pose between two: quaternions on the shorter way, normalised (Shoemake, SIGGRAPH 1985)."""
    two = two.copy()
    for at in _TURNS:
        if one[at : at + 4] @ two[at : at + 4] < 0:
            two[at : at + 4] *= -1
    mixed = one + (two - one) * share
    for at in _TURNS:
        mixed[at : at + 4] /= np.linalg.norm(mixed[at : at + 4])
    return np.asarray(mixed)


def _xyzw(pose: Floats, at: int) -> list[float]:
    return [*pose[at + 1 : at + 4].tolist(), float(pose[at])]


__all__ = ["ACTIONS", "NAMES", "Mocap"]
