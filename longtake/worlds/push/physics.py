"""Discs on a table with friction, and a pusher that nothing stops but walls: fixed ticks, plain floats.

Lengths in short sides of the picture, seconds. Contacts are inelastic (Newton's restitution), so
free discs only ever lose energy; overlaps are resolved by projection (Mueller et al., Position
Based Dynamics, 2007).
"""

from __future__ import annotations

import dataclasses
import math

from longtake.worlds.chance import draw

TICKS = 60  # a second
RADII = (0.095, 0.085, 0.078, 0.072)
PUSHER = 0.045  # radius
FRICTION = 0.9  # short sides a second, every second
RESTITUTION = 0.3
PUSH_SPEED = 0.55
EASE = 8.0  # a second: how fast the pusher takes up the speed it wants
TOP_SPEED = 1.0  # of a disc
_AIM = 4.0  # seconds until another disc is chosen
_PASSES = 40


@dataclasses.dataclass
class State:
    """Everything that the next tick depends on; one row a disc."""

    tick: int
    x: list[float]
    y: list[float]
    u: list[float]  # velocity to the right
    v: list[float]  # and down
    px: float
    py: float
    pu: float
    pv: float
    touched: list[bool]  # by the pusher in the tick before

    def copy(self) -> State:
        """The same state, sharing nothing."""
        parts = (list(self.x), list(self.y), list(self.u), list(self.v))
        return State(self.tick, *parts, self.px, self.py, self.pu, self.pv, list(self.touched))


class Physics:
    """The laws of one table: a state of tick k gives that of tick k + 1, and nothing else does."""

    def __init__(self, seed: int, extent: tuple[float, float], count: int) -> None:
        self.seed, self.extent = seed, extent
        self.radii = RADII[:count]
        self.masses = [r * r for r in self.radii]

    def begin(self) -> State:
        """Discs apart from each other, the pusher at the upper edge."""
        wide, high = self.extent
        count = len(self.radii)
        x: list[float] = []
        y: list[float] = []
        attempt = 0
        while len(x) < count:
            u = draw(self.seed, "place", attempt, 0), draw(self.seed, "place", attempt, 1)
            r = self.radii[len(x)]
            cx = r + 0.02 + float(u[0]) * (wide - 2 * r - 0.04)
            cy = 0.2 + float(u[1]) * (high - 0.22 - r)
            gaps = [
                math.hypot(cx - a, cy - b) - r - q
                for a, b, q in zip(x, y, self.radii, strict=False)
            ]
            attempt += 1
            if all(gap > 0.02 for gap in gaps):
                x.append(cx)
                y.append(cy)
        zeros = [0.0] * count
        return State(
            0, x, y, zeros, list(zeros), wide / 2, PUSHER + 0.02, 0.0, 0.0, [False] * count
        )

    def step(self, s: State) -> None:
        """One tick on, in place."""
        dt = 1 / TICKS
        self._drive(s, dt)
        before = (s.px, s.py)
        s.px += s.pu * dt
        s.py += s.pv * dt
        for i in range(len(s.x)):
            speed = math.hypot(s.u[i], s.v[i])
            if speed > 0:
                left = min(max(0.0, speed - FRICTION * dt), TOP_SPEED) / speed
                s.u[i] *= left
                s.v[i] *= left
                s.x[i] += s.u[i] * dt
                s.y[i] += s.v[i] * dt
            s.touched[i] = False
        self._contacts(s)
        s.pu, s.pv = (s.px - before[0]) / dt, (s.py - before[1]) / dt
        s.tick += 1

    def _drive(self, s: State, dt: float) -> None:
        """Steer the pusher: behind a chosen disc, then through it; speeds change smoothly."""
        aim = int(s.tick / (TICKS * _AIM))
        u = [float(draw(self.seed, "aim", aim, k)) for k in range(2)] if s.tick else [0.0, 0.0]
        i = int(u[0] * len(s.x))
        wide, high = self.extent
        toward_x = wide * (0.3 + 0.4 * ((u[0] * 7) % 1)) - s.x[i]
        toward_y = high * (0.3 + 0.4 * u[1]) - s.y[i]
        norm = max(math.hypot(toward_x, toward_y), 1e-6)
        nx, ny = toward_x / norm, toward_y / norm
        behind = self.radii[i] + PUSHER + 0.05
        bx, by = s.x[i] - nx * behind, s.y[i] - ny * behind
        along = (s.px - s.x[i]) * nx + (s.py - s.y[i]) * ny
        across = abs((s.px - s.x[i]) * ny - (s.py - s.y[i]) * nx)
        if along < 0 and across < 0.5 * self.radii[i]:
            bx, by = s.x[i] + nx * 0.2, s.y[i] + ny * 0.2
        wx, wy = bx - s.px, by - s.py
        far = max(math.hypot(wx, wy), 1e-9)
        speed = min(PUSH_SPEED, 4 * far)
        ease = 1 - math.exp(-EASE * dt)
        s.pu += (wx / far * speed - s.pu) * ease
        s.pv += (wy / far * speed - s.pv) * ease

    def _contacts(self, s: State) -> None:
        """No overlap left, and no two things moving into each other."""
        for n in range(_PASSES):
            worst = self._walls(s)
            worst = max(worst, self._pairs(s))
            worst = max(worst, self._pushed(s, yielding=n >= 8))
            if worst < 1e-6:
                return

    def _walls(self, s: State) -> float:
        wide, high = self.extent
        worst = 0.0
        for i, r in enumerate(self.radii):
            for place, speed, most in ((s.x, s.u, wide), (s.y, s.v, high)):
                inside = min(max(place[i], r), most - r)
                if inside != place[i]:
                    worst = max(worst, abs(inside - place[i]))
                    if (inside - place[i]) * speed[i] < 0:
                        speed[i] *= -RESTITUTION
                    place[i] = inside
        s.px = min(max(s.px, PUSHER), wide - PUSHER)
        s.py = min(max(s.py, PUSHER), high - PUSHER)
        return worst

    def _pairs(self, s: State) -> float:
        worst = 0.0
        for i in range(len(s.x)):
            for j in range(i):
                nx, ny = s.x[i] - s.x[j], s.y[i] - s.y[j]
                far = math.hypot(nx, ny)
                deep = self.radii[i] + self.radii[j] - far
                if deep <= 0:
                    continue
                worst = max(worst, deep)
                nx, ny = (nx / far, ny / far) if far > 0 else (1.0, 0.0)
                share = self.masses[j] / (self.masses[i] + self.masses[j])
                s.x[i] += nx * deep * share
                s.y[i] += ny * deep * share
                s.x[j] -= nx * deep * (1 - share)
                s.y[j] -= ny * deep * (1 - share)
                closing = (s.u[i] - s.u[j]) * nx + (s.v[i] - s.v[j]) * ny
                if closing < 0:
                    push = -(1 + RESTITUTION) * closing
                    s.u[i] += push * share * nx
                    s.v[i] += push * share * ny
                    s.u[j] -= push * (1 - share) * nx
                    s.v[j] -= push * (1 - share) * ny
        return worst

    def _pushed(self, s: State, yielding: bool) -> float:
        """Discs give way to the pusher; it gives way where they cannot."""
        worst = 0.0
        for i, r in enumerate(self.radii):
            nx, ny = s.x[i] - s.px, s.y[i] - s.py
            far = math.hypot(nx, ny)
            deep = PUSHER + r - far
            if deep <= 0:
                continue
            worst = max(worst, deep)
            s.touched[i] = True
            nx, ny = (nx / far, ny / far) if far > 0 else (0.0, 1.0)
            if yielding:
                s.px -= nx * deep
                s.py -= ny * deep
            else:
                s.x[i] += nx * deep
                s.y[i] += ny * deep
            closing = (s.u[i] - s.pu) * nx + (s.v[i] - s.pv) * ny
            if closing < 0:
                s.u[i] -= closing * nx
                s.v[i] -= closing * ny
        return worst


class Course:
    """States by tick, any tick at any time, in bounded memory.

    At most `room` states are kept, evenly spread: when they are full every second one goes. A tick
    is simulated from the last state kept before it, or from where the last question ended.
    """

    def __init__(self, physics: Physics, room: int = 256) -> None:
        self.physics, self.room, self.stride = physics, room, 10 * TICKS
        self.kept = {0: physics.begin()}
        self.cursor = self.kept[0].copy()

    def at(self, tick: int) -> State:
        """The state of a tick; the caller must not change it."""
        base = min(tick, max(self.kept)) // self.stride * self.stride
        if not base <= self.cursor.tick <= tick:
            self.cursor = self.kept[base].copy()
        while self.cursor.tick < tick:
            self.physics.step(self.cursor)
            if self.cursor.tick % self.stride == 0 and self.cursor.tick not in self.kept:
                self._keep()
        return self.cursor

    def _keep(self) -> None:
        self.kept[self.cursor.tick] = self.cursor.copy()
        if len(self.kept) > self.room:
            self.stride *= 2
            self.kept = {tick: s for tick, s in self.kept.items() if tick % self.stride == 0}
