"""A walk through furnished rooms, drawn by MiniWorld: exact pose and depth, every place seen again."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.errors import InputError
from longtake.worlds.chance import draw
from longtake.worlds.engines import Engine, hushed
from longtake.worlds.maze.plan import Cell, Plan

_BLOCK = 2.0  # metres; a room is two blocks wide, and a little less
_GAP = 0.1  # metres of wall on either side
_DOOR = (1.7, 2.2)  # metres, width and height
_ASIDE = 1.3  # metres from a room's middle to what stands in its corners
_WALLS = (
    "brick_wall",
    "cinder_blocks",
    "concrete",
    "drywall",
    "marble",
    "stucco",
    "wood_planks",
    "metal_grill",
    "rock",
)
_FLOORS = ("wood", "floor_tiles_bw", "concrete_tiles", "grass", "marble", "asphalt", "cardboard")
_ROOFS = ("ceiling_tiles", "concrete", "wood_planks", "white")
THINGS = {  # mesh -> what it is called, and metres high
    "ball_red": ("a red ball", 0.6),
    "ball_blue": ("a blue ball", 0.6),
    "ball_green": ("a green ball", 0.6),
    "ball_yellow": ("a yellow ball", 0.6),
    "barrel": ("a barrel", 1.0),
    "cone": ("a traffic cone", 0.75),
    "duckie": ("a rubber duck", 0.7),
    "key_purple": ("a purple key", 0.6),
    "medkit": ("a first-aid box", 0.5),
    "office_chair": ("an office chair", 1.1),
    "potion": ("a potion", 0.7),
    "tree_pine": ("a pine tree", 1.7),
}
_MESHES = tuple(THINGS)


class Rooms(Engine):
    """A walk through furnished rooms, first person: pose, depth, every place revisited (needs miniworld).

    cells: rooms along a side, 2 to 8. The way is the maze's, lap by lap; lengths are metres.
    """

    name, extra, package = "rooms", "rooms", "MiniWorld"
    _last: weakref.ReferenceType[Rooms] | None = None  # whose walls the graphics library holds

    def __init__(
        self,
        *,
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
        fps: float = 10.0,
        cells: int = 3,
    ) -> None:
        super().__init__(seed=seed, size=size, fps=fps)
        if not 2 <= cells <= 8:
            raise InputError(f"{cells} rooms a side", self.name, "2 to 8")
        self.plan = Plan(seed, cells)
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
        with hushed():
            self.part("pyglet").options["headless"] = True
            self._mesh = self.part("miniworld.entity").MeshEnt
            self._built = _built(self, self.part("miniworld.miniworld").MiniWorldEnv)
        Rooms._last = weakref.ref(self)

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame.

        `pose` (t 3): x, y in metres, yaw in radians from right to down; `action` (t 2): speed and rate of
        turn; `cell` (t 2) and `visits` (t), the times it was entered before; `depth` (t h w) in metres;
        `things` (t 4), what stands in the room, by place in THINGS.
        """
        times = self.seconds(indices).tolist()
        pose = torch.tensor([self.plan.pose(s) for s in times], dtype=torch.float64)
        soon = torch.tensor([self.plan.pose(s + 1e-4) for s in times], dtype=torch.float64)
        moved = soon - pose
        turned = torch.remainder(moved[:, 2] + math.pi, 2 * math.pi) - math.pi
        looking = torch.stack([torch.cos(pose[:, 2]), torch.sin(pose[:, 2])], 1)
        ahead = (moved[:, :2] * looking).sum(1) * _BLOCK
        visits = [self.plan.visit(s) for s in times]
        metres = torch.tensor([_BLOCK, _BLOCK, 1.0])
        return {
            "pose": (pose * metres).float(),
            "action": (torch.stack([ahead, turned], 1) / 1e-4).float(),
            "cell": torch.tensor([cell for cell, _ in visits]),
            "visits": torch.tensor([count for _, count in visits]),
            "depth": torch.stack([torch.from_numpy(self._depth(s)) for s in times]),
            "things": torch.tensor([self.things(cell) for cell, _ in visits]),
        }

    def caption(self, index: int) -> str:
        """The room a frame is in, in words."""
        cell, _ = self.plan.visit(float(self.seconds([index])[0]))
        said = [THINGS[_MESHES[n]][0] for n in sorted(set(self.things(cell)))]
        return (
            f"a room with {', '.join(said[:-1])} and {said[-1]}"
            if said[1:]
            else f"a room with {said[0]}"
        )

    def things(self, cell: Cell) -> list[int]:
        """What stands in the corners of a room, by place in THINGS."""
        return [int(len(_MESHES) * draw(self.seed, "thing", *cell, n)) for n in range(4)]

    def render(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`: uint8, t 3 h w."""
        return self.stacked(self._picture, indices)

    def _picture(self, index: int) -> NDArray[np.uint8]:
        self._stand(float(self.seconds([index])[0]))
        return np.asarray(self._built.render_obs(), dtype=np.uint8)

    def _depth(self, second: float) -> NDArray[np.float32]:
        self._stand(second)
        return np.array(self._built.render_depth()[..., 0], dtype=np.float32)

    def _stand(self, second: float) -> None:
        """Put the camera where it is at a time."""
        x, y, yaw = self.plan.pose(second)
        self._built.agent.pos = np.array([x * _BLOCK, 0.0, y * _BLOCK])
        self._built.agent.dir = -yaw
        if Rooms._last is None or Rooms._last() is not self:
            self._built.shadow_window.switch_to()
            self._built._render_static()  # worlds of one process share a list of walls
            Rooms._last = weakref.ref(self)


def _built(rooms: Rooms, kind: Any) -> Any:
    """The package's world of a plan: rooms, doors and furniture, nothing of it by its own chance."""

    def furnish(env: Any) -> None:
        seed, plan = rooms.seed, rooms.plan
        made = {}
        for cell in plan.ways:
            low_x, low_z = ((2 * n + 0.5) * _BLOCK + _GAP for n in cell)
            wide = 2 * _BLOCK - 2 * _GAP
            looks = {
                f"{part}_tex": names[int(len(names) * draw(seed, part, *cell))]
                for part, names in (("wall", _WALLS), ("floor", _FLOORS), ("ceil", _ROOFS))
            }
            made[cell] = env.add_rect_room(
                min_x=low_x, max_x=low_x + wide, min_z=low_z, max_z=low_z + wide, **looks
            )
        for cell, ways in plan.ways.items():
            for other in ways:
                if other > cell:
                    axis = 1 if other[0] > cell[0] else 0
                    middle = (2 * cell[axis] + 1.5) * _BLOCK
                    low, high = middle - _DOOR[0] / 2, middle + _DOOR[0] / 2
                    name = "xz"[axis]
                    span = {f"min_{name}": low, f"max_{name}": high, "max_y": _DOOR[1]}
                    env.connect_rooms(made[cell], made[other], **span)
        for cell in plan.ways:
            for n, which in enumerate(rooms.things(cell)):
                thing = rooms._mesh(mesh_name=_MESHES[which], height=THINGS[_MESHES[which]][1])
                side = (_ASIDE * (1 if n % 2 else -1), _ASIDE * (1 if n > 1 else -1))
                x, z = ((2 * c + 1.5) * _BLOCK + s for c, s in zip(cell, side, strict=True))
                turn = 2 * math.pi * float(draw(seed, "turn", *cell, n))
                env.place_entity(thing, pos=np.array([x, 0.0, z]), dir=turn)
        env.place_entity(env.agent, pos=np.array([0.0, 0.0, 0.0]), dir=0.0)

    furnished = type("Furnished", (kind,), {"_gen_world": furnish})
    return furnished(
        obs_width=rooms.size[0], obs_height=rooms.size[1], window_width=64, window_height=64
    )


__all__ = ["THINGS", "Rooms"]
