"""The law of energy: no disc gains speed that nothing gave it.

A disc that sped up is replayed: the table's own physics, from the places and speeds that were read before, with
the pusher on the way that was read. If no start within what reading can be wrong by gives the disc the speed it
took, nothing gave it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from longtake.worlds.push.physics import EASE, PUSH_SPEED, RADII, TICKS, Physics, State

_SPANS = (0.1, 0.2)  # seconds over which a speed is read, so that rates of frames do not matter
_UNSURE = 1.6  # pixels that a change of way may be read wrong by, after lossy coding too
_OFF = 0.8  # pixels that a place may be, so that things touch or do not
# short sides a second, every second, that the pusher changes speed by at most
_GAIN = EASE * 2 * PUSH_SPEED
_STARTS = 24  # that are tried


def gains(
    place: Tensor,
    pusher: Tensor,
    there: Tensor,
    *,
    extent: tuple[float, float],
    fps: float,
    scale: float,
) -> Tensor:
    """Where a disc sped up unlawfully: t n, of places (t n 2), the pusher's (t 2), and discs seen (t n)."""
    broken = torch.zeros_like(there)
    discs, arm = place.double().numpy(), pusher.double().numpy()
    for k in sorted({max(1, round(span * fps)) for span in _SPANS}):
        for t, n in _sped(place, there, k, _UNSURE / scale):
            near = slice(t - 2 * k - 1, t + 2)
            which = there[t - 2 * k - 1 : t + 1].all(0).nonzero()[:, 0].tolist()
            replay = _Replay(discs[near][:, which], arm[near], which, extent, fps, _OFF / scale)
            if not replay.explains(which.index(n), k, _UNSURE / scale):
                broken[t - k // 2, n] = True  # its middle
    return broken


def _sped(place: Tensor, there: Tensor, k: int, unsure: float) -> list[tuple[int, int]]:
    """Frames and discs whose way over k frames is longer than both ways before it, as far as there are."""
    far = (place[k:] - place[:-k]).norm(dim=-1)  # to frames k, k + 1 ...
    found = []
    for t in range(2 * k + 1, len(place)):
        before = [far[t - n * k] for n in (2, 3) if t >= n * k]
        longer = far[t - k] - torch.stack(before).amax(0) > unsure
        seen = there[max(t - 3 * k, 0) : t + 1].all(0)
        found += [(t, n) for n in (longer & seen).nonzero()[:, 0].tolist()]
    return found


class _Replay(Physics):
    """A table whose pusher goes where it was read.

    place (t n 2), pusher (t 2): from the frame before the start on. which: of the discs. off: what may be wrong.
    """

    def __init__(
        self,
        place: np.ndarray,
        pusher: np.ndarray,
        which: Sequence[int],
        extent: tuple[float, float],
        fps: float,
        off: float,
    ) -> None:
        super().__init__(0, extent, 0)
        self.radii = tuple(RADII[n] for n in which)
        self.masses = [r * r for r in self.radii]
        self.place, self.pusher, self.fps, self.off = place, pusher, fps, off
        self.aside, self.slopes = np.zeros(2), np.zeros_like(pusher)

    def explains(self, disc: int, k: int, unsure: float) -> bool:
        """Whether some start, two ways of k frames before the end, gives a disc the change of way that was read."""
        first, middle, last = self.place[1 : 2 * k + 2 : k, disc]
        way = last - middle
        change = way - (middle - first)
        change /= np.hypot(*change)
        for state in self._starts():
            before = self._gone(state, disc, k)
            made = self._gone(state, disc, k) - before
            if (way - made) @ change < unsure:
                return True
        return False

    def _gone(self, state: State, disc: int, k: int) -> np.ndarray:
        """Where a disc is k frames later."""
        for _ in range(round(k / self.fps * TICKS)):
            self.step(state)
        return np.array([state.x[disc], state.y[disc]])

    def _starts(self) -> Iterator[State]:
        """States that the second frame may have been in: the one read first."""
        rng = np.random.default_rng(0)
        before, here, after = self.place[:3]
        for number in range(_STARTS):
            wide = min(number, 1)
            part = 0.5 + wide * rng.uniform(-0.5, 0.5, (len(here), 1))
            at = here + wide * rng.uniform(-self.off, self.off, here.shape)
            speed = self.fps * (part * (here - before) + (1 - part) * (after - here))
            self.aside = wide * rng.uniform(-self.off, self.off, 2)
            self.slopes = self._slopes(wide * rng.uniform(-1, 1, self.pusher.shape))
            (x, y), (u, v) = at.T.tolist(), speed.T.tolist()
            arm = (self.pusher[1] + self.aside).tolist()
            yield State(0, x, y, u, v, *arm, 0.0, 0.0, [False] * len(x))

    def _slopes(self, part: np.ndarray) -> np.ndarray:
        """The pusher's way at every frame: between its neighbours, and aside by what it can change within one."""
        mean = np.gradient(self.pusher, axis=0) + part * _GAIN / self.fps**2 / 2
        length = np.hypot(*mean.T)[:, None]
        return mean * np.minimum(1, PUSH_SPEED / self.fps / np.maximum(length, 1e-9))

    def _drive(self, s: State, dt: float) -> None:
        """Along a cubic through the places read."""
        place = 1 + (s.tick + 1) * dt * self.fps
        first = min(int(place), len(self.pusher) - 2)
        x = place - first
        here, there = self.pusher[first : first + 2]
        leave, arrive = self.slopes[first : first + 2]
        bend = leave * (1 - x) - arrive * x
        way = here + (there - here) * (3 - 2 * x) * x**2 + bend * x * (1 - x)
        s.pu, s.pv = (way + self.aside - (s.px, s.py)) / dt
