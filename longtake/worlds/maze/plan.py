"""The map and the walk: corridors carved by the seed, and where the camera is at any time."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from longtake.worlds.chance import draw

Cell = tuple[int, int]  # column, row
STRIDE = 1.2  # seconds through a cell
STEP = 2.0  # blocks from cell to cell
_WAYS = ((1, 0), (0, 1), (-1, 0), (0, -1))


class Plan:
    """A perfect maze of `count` by `count` cells on a grid of blocks, and an endless walk in it.

    Between any two cells there is one way (depth-first carving). A lap visits every cell and comes
    back to where it began, a dead end; the order of branches is drawn lap by lap. A lap has always
    as many steps, so any time is found without those before it.
    """

    def __init__(self, seed: int, count: int) -> None:
        self.seed, self.count = seed, count
        self.ways: dict[Cell, list[Cell]] = {(i, j): [] for i in range(count) for j in range(count)}
        self._carve()
        self.root = min(cell for cell, ways in self.ways.items() if len(ways) == 1)
        self.walls: NDArray[np.bool_] = np.ones((2 * count + 1, 2 * count + 1), dtype=bool)
        for cell, ways in self.ways.items():
            self.walls[2 * cell[1] + 1, 2 * cell[0] + 1] = False
            for other in ways:
                self.walls[cell[1] + other[1] + 1, cell[0] + other[0] + 1] = False
        leaves = sum(len(ways) == 1 for ways in self.ways.values())
        self.steps = 2 * (count * count - 1) + leaves  # of a lap; a dead end takes two
        self.lap = functools.lru_cache(maxsize=8)(self._lap)

    def _carve(self) -> None:
        path: list[Cell] = [(0, 0)]
        seen = {(0, 0)}
        turn = 0
        while path:
            i, j = path[-1]
            near = [(i + a, j + b) for a, b in _WAYS]
            free = [cell for cell in near if cell in self.ways and cell not in seen]
            if not free:
                path.pop()
                continue
            chosen = free[int(len(free) * float(draw(self.seed, "carve", turn)))]
            turn += 1
            self.ways[(i, j)].append(chosen)
            self.ways[chosen].append((i, j))
            seen.add(chosen)
            path.append(chosen)

    def _lap(self, lap: int) -> tuple[list[tuple[Cell, Cell, Cell, int]], list[int]]:
        """Visits (cell, from, to, first step), and for every step its visit."""
        order: list[Cell] = []
        stack: list[tuple[Cell, Cell | None]] = [(self.root, None)]
        while stack:
            cell, parent = stack.pop()
            order.append(cell)
            if order.count(cell) > 1:
                continue  # back from a branch: its own children are on the stack already
            children = [other for other in self.ways[cell] if other != parent]
            children.sort(key=lambda c: float(draw(self.seed, "branch", lap, c[0], c[1])))
            for n, child in enumerate(children):
                if n or cell != self.root:
                    stack.append((cell, parent))
                stack.append((child, cell))
        visits: list[tuple[Cell, Cell, Cell, int]] = []
        steps: list[int] = []
        for n, cell in enumerate(order):
            before, after = order[n - 1], order[(n + 1) % len(order)]
            if len(self.ways[cell]) == 1:
                before = after = self.ways[cell][0]
                steps.append(len(visits))
            visits.append((cell, before, after, len(steps) - (before == after)))
            steps.append(len(visits) - 1)
        return visits, steps

    def pose(self, seconds: float) -> tuple[float, float, float]:
        """Where the camera is, in blocks, and where it looks: radians from right to down."""
        at = seconds / STRIDE
        lap, step = divmod(math.floor(at), self.steps)
        visits, steps = self.lap(lap)
        cell, before, after, first = visits[steps[step]]
        share = at - lap * self.steps - first
        return passage(cell, before, after, share)

    def visit(self, seconds: float) -> tuple[Cell, int]:
        """The cell a camera is in, and how many times it has been there before."""
        lap, step = divmod(math.floor(seconds / STRIDE), self.steps)
        visits, steps = self.lap(lap)
        place = steps[step]
        cell = visits[place][0]
        earlier = sum(visit[0] == cell for visit in visits[:place])
        return cell, earlier + lap * sum(visit[0] == cell for visit in visits)


def passage(cell: Cell, before: Cell, after: Cell, share: float) -> tuple[float, float, float]:
    """A way through a cell: straight on, round a corner, or in, about and out (shares 0 to 2)."""
    x, y = 2 * cell[0] + 1.5, 2 * cell[1] + 1.5
    inwards = (cell[0] - before[0], cell[1] - before[1])
    outwards = (after[0] - cell[0], after[1] - cell[1])
    yaw = math.atan2(inwards[1], inwards[0])
    if inwards == outwards:
        return x + inwards[0] * (2 * share - 1), y + inwards[1] * (2 * share - 1), yaw
    if before == after:
        turn = _eased((share - 0.6) / 0.8)
        ins, outs = _eased(share / 0.75), _eased((share - 1.25) / 0.75)
        away = ins - outs - 1
        return x + inwards[0] * away, y + inwards[1] * away, yaw + math.pi * turn
    side = inwards[0] * outwards[1] - inwards[1] * outwards[0]  # 1: to the right, as y is down
    angle = share * math.pi / 2
    ahead, across = math.sin(angle) - 1, 1 - math.cos(angle)
    px = x + inwards[0] * ahead + outwards[0] * across
    py = y + inwards[1] * ahead + outwards[1] * across
    return px, py, yaw + side * angle


def _eased(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
