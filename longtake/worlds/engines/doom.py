"""Walks through the maps of Freedoom, drawn by ViZDoom: pose, depth and actions known."""

from __future__ import annotations

import contextlib
import math
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from longtake.errors import InputError
from longtake.worlds.chance import draw
from longtake.worlds.engines import Engine

TICKS = 35  # a second
EPISODE = 12  # seconds of a take
MAPS = 8
_SCREENS = ((160, 120), (320, 240), (640, 480))
_FREE = 14.0  # of the depth buffer's units: nearer than this a wall is turned away from
_TURN, _DRIFT = 5.0, 2.0  # degrees a tick, at a wall and in the open
_MOST = 1_000_000  # seeds of the game


class Doom(Engine):
    """First-person walks through the maps of Freedoom, a new one every twelve seconds (needs vizdoom).

    map: 1 to 8 for good; 0: drawn. A cut is where a walk begins; a leap into one costs the ticks before.
    """

    name, extra, package = "doom", "doom", "ViZDoom"

    def __init__(
        self,
        *,
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
        fps: float = 10.0,
        map: int = 0,
    ) -> None:
        super().__init__(seed=seed, size=size, fps=fps)
        if not 0 <= map <= MAPS:
            raise InputError(f"map {map}", self.name, f"1 to {MAPS}, or 0")
        if fps > TICKS:
            raise InputError(f"fps {fps:g}", self.name, f"at most {TICKS}")
        self.map = map
        self._play = self.part("vizdoom")
        self._folder = tempfile.TemporaryDirectory()  # the game writes settings where it is begun
        self._game = self._started()
        weakref.finalize(self, self._game.close)
        self._at = (-1, -1)  # the walk and the tick that the game is at
        self._did = (0.0, 0.0)  # its last action: ahead, and degrees to the right

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame.

        `pose` (t 3): x, y in the map's units and yaw in radians, from x to y; `action` (t 2): 1 ahead, and
        radians a tick to the right; `map` (t), 1 to 8; `cut` (t), 1 where a walk begins; `depth` (t h w),
        0 near to 255 far.
        """
        rows, depths = [], []
        for index in self._ticks(indices):
            walk, tick = index
            state = self._state(walk, tick)
            x, y, angle = (float(value) for value in state.game_variables)
            ahead, turn = self._did
            first = tick < TICKS / self.fps
            rows.append(
                [x, y, math.radians(angle), ahead, math.radians(turn), self._map(walk), first]
            )
            depths.append(self._fitted(np.asarray(state.depth_buffer)[..., None])[..., 0])
        table = torch.tensor(rows, dtype=torch.float32)
        return {
            "pose": table[:, :3],
            "action": table[:, 3:5],
            "map": table[:, 5].long(),
            "cut": table[:, 6].long(),
            "depth": torch.from_numpy(np.stack(depths)),
        }

    def render(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`: uint8, t 3 h w."""
        return self.stacked(self._picture, indices)

    def _picture(self, index: int) -> NDArray[np.uint8]:
        return self._fitted(np.asarray(self._state(*self._ticks([index])[0]).screen_buffer))

    def _ticks(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """The walk of each frame, and the tick in it."""
        ticks = [math.floor(s * TICKS + 1e-6) for s in self.seconds(indices).tolist()]
        return [divmod(tick, EPISODE * TICKS) for tick in ticks]

    def _map(self, walk: int) -> int:
        return self.map or 1 + int(MAPS * draw(self.seed, "map", walk))

    def _started(self) -> Any:
        play, game = self._play, self._play.DoomGame()
        wads = Path(play.__file__).parent
        screen = next(
            (s for s in _SCREENS if s[0] >= self.size[0] and s[1] >= self.size[1]), (640, 480)
        )
        game.set_doom_game_path(str(wads / "freedoom2.wad"))
        game.set_screen_resolution(getattr(play.ScreenResolution, f"RES_{screen[0]}X{screen[1]}"))
        game.set_screen_format(play.ScreenFormat.RGB24)
        game.set_available_buttons([play.Button.MOVE_FORWARD, play.Button.TURN_LEFT_RIGHT_DELTA])
        names = ("POSITION_X", "POSITION_Y", "ANGLE")
        game.set_available_game_variables([getattr(play.GameVariable, name) for name in names])
        game.set_depth_buffer_enabled(True)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_render_hud(False)
        game.set_render_weapon(False)
        game.set_render_crosshair(False)
        game.set_mode(play.Mode.PLAYER)
        game.set_episode_timeout(0)
        game.add_game_args("-nomonsters +sv_cheats 1")
        with contextlib.chdir(self._folder.name):
            game.init()
        return game

    def _state(self, walk: int, tick: int) -> Any:
        """What the game shows at a tick of a walk; played on from where it is, or from the beginning."""
        if self._at[0] != walk or self._at[1] > tick:
            self._game.set_doom_map(f"map{self._map(walk):02}")
            self._game.set_seed(int(_MOST * draw(self.seed, "walk", walk)))
            self._game.new_episode()
            self._at, self._did = (walk, 0), (0.0, 0.0)
        while self._at[1] < tick:
            self._did = self._chosen(walk, self._at[1])
            self._game.make_action(list(self._did))
            self._at = (walk, self._at[1] + 1)
        return self._game.get_state()

    def _chosen(self, walk: int, tick: int) -> tuple[float, float]:
        """Ahead, drifting as chance has it for half a second; away from what is near."""
        depth = np.asarray(self._game.get_state().depth_buffer, dtype=np.float64)
        high, wide = depth.shape
        belt = depth[high * 2 // 5 : high * 3 // 5]
        left, right = belt[:, : wide // 2].mean(), belt[:, wide // 2 :].mean()
        middle = belt[:, wide * 2 // 5 : wide * 3 // 5].mean()
        half = tick // (TICKS // 2)
        drift = _DRIFT * (2 * float(draw(self.seed, "drift", walk, half)) - 1)
        if middle >= _FREE:
            lean = 2.5 * (right - left) / max(right + left, 1.0)
            return 1.0, drift + lean
        # Which way is kept for a second, or it would turn to and fro in a corner.
        way = 1.0 if draw(self.seed, "way", walk, tick // TICKS) < 0.5 else -1.0
        return 0.0, _TURN * way

    def _fitted(self, picture: NDArray[Any]) -> NDArray[np.uint8]:
        """A picture (h w c) at the world's size, cut to its aspect about the middle."""
        high, wide = picture.shape[:2]
        share = min(wide / self.size[0], high / self.size[1])
        w, h = round(self.size[0] * share), round(self.size[1] * share)
        x, y = (wide - w) // 2, (high - h) // 2
        part = torch.from_numpy(np.ascontiguousarray(picture[y : y + h, x : x + w]))
        whole = part.permute(2, 0, 1)[None].float()
        small = interpolate(
            whole, size=self.size[::-1], mode="bilinear", align_corners=False, antialias=True
        )
        return np.asarray(small[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy())


__all__ = ["EPISODE", "MAPS", "TICKS", "Doom"]
