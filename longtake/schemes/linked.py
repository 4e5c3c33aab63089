"""Chains with trees under their links: sparse key frames one after the other, filled in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from longtake.errors import PlanError, nearest
from longtake.schemes.base import Stepping, unique
from longtake.schemes.chain import Autoregressive, Landmarked
from longtake.schemes.tree import Cell, Tree, seen_from, snapped
from longtake.steps import Indices, Step, Timeline


class Grid:
    """Key places of a take: every `spacing`-th, moved to given frames nearby, and the last place.

    The ends of every run of given frames are keys too: what is made beside them has to see them.
    """

    def __init__(self, take: Timeline, spacing: int) -> None:
        self.spacing, self.length = spacing, take.length
        end = take.length
        if end is None:
            end = (take.given[-1] // spacing + 2) * spacing if take.given else spacing
        places = [*range(0, end, spacing)]
        if take.length is not None:
            places.append(end - 1)
        given = set(take.given)
        ends = (i for i in take.given if i - 1 not in given or i + 1 not in given)
        self._head = unique((*snapped(places, spacing, take.given, -1, end), *ends))
        self._begin = end - len(self._head) * spacing  # of the regular places past the head
        ours = tuple(n for n, place in enumerate(self._head) if place in given)
        self.timeline = Timeline(None if take.length is None else len(self._head), ours)

    def at(self, number: int) -> int:
        """Place of key `number`."""
        if number < len(self._head):
            return self._head[number]
        return self._begin + number * self.spacing


def keys_and_cells(chain: Autoregressive, grid: Grid, tree: Tree) -> Iterator[Step | Cell]:
    """Key calls in their order, and after each the cells of all links that it completes."""
    known = set(grid.timeline.given)
    head = 0

    def links() -> Iterator[Cell]:
        nonlocal head
        while head in known:
            yield from tree.cells(grid.at(head - 1) if head else -1, grid.at(head))
            known.discard(head - 1)
            head += 1

    yield from links()
    for step in chain.take(grid.timeline):
        targets = tuple(grid.at(n) for n in step.targets)
        yield Step(targets, tuple(grid.at(n) for n in step.observed), "keys")
        known.update(step.targets)
        yield from links()
    if grid.length is not None:
        yield from tree.cells(grid.at(head - 1), grid.length)


@dataclasses.dataclass(frozen=True)
class KeysThenFill(Stepping):
    """Key frames by autoregression, every `spacing`-th, then between each two the frames that both ends show.

    As in Blattmann et al. 2023 and Hong et al. 2022. A link is filled as soon as its two keys exist; links
    do not depend on one another. spacing: None is window - 1, a link that one call fills.
    """

    name: ClassVar[str] = "keys-then-fill"
    endless: ClassVar[bool] = True
    least: ClassVar[int] = 3

    spacing: int | None = None

    @property
    def reach(self) -> int:
        """The links of all the keys that one call writes are filled before the next call."""
        return 2 * self.window * (self.spacing or self.window - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spacing is not None and self.spacing < 2:
            raise PlanError(f"spacing={self.spacing}", self.name, "spacing=2 or more")

    def take(self, take: Timeline, start: int = 0) -> Iterator[Step]:
        """Steps of one take."""
        grid = Grid(take, self.spacing or self.window - 1)
        tree = Tree(self.window, self.window - 2, take.length, take.given)
        chain = Autoregressive(self.window, self.step)
        for item in keys_and_cells(chain, grid, tree):
            if isinstance(item, Step):
                yield item
                continue
            spare = (self.window - len(item.targets) - len(item.observed)) // 2
            seen = seen_from(item, take.given, spare if item.whole else 0)
            yield Step(item.targets, seen, "fill")


JOINS = ("none", "weave", "chain")


@dataclasses.dataclass(frozen=True)
class Unified(Stepping):
    """A chain of sparse key frames with long memory, and a tree of infill under each link.

    Key calls observe the latest keys, landmarks back to the first, and the next given key if there is one.
    A link is filled as soon as its keys exist, so the film's beginning is final while later keys are not
    begun. `overlap` frames beyond each end of a leaf may be seen, so that motion runs on across keys:

    - joins="none": leaves see keys only. Shortest critical path; motion may break at a key.
    - joins="weave": every second leaf is made first, the others see frames of both neighbours. One round
      more, whatever the length; a woven leaf waits for the leaf after it.
    - joins="chain": each leaf sees the end of the one before. The critical path grows with the film.

    spacing: places from key to key; None is the most that one call can fill with its overlap.
    """

    name: ClassVar[str] = "unified"
    endless: ClassVar[bool] = True
    least: ClassVar[int] = 4

    spacing: int | None = None
    overlap: int = 2
    joins: str = "weave"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spacing is not None and self.spacing < 2:
            raise PlanError(f"spacing={self.spacing}", self.name, "spacing=2 or more")
        if self.joins not in JOINS:
            raise PlanError(f"joins={self.joins}", self.name, nearest(self.joins, JOINS))
        if self.overlap < 0:
            raise PlanError(f"overlap={self.overlap}", self.name, "overlap=0 or more")

    @property
    def reach(self) -> int:
        """The links of all the keys that one call writes are filled before the next call."""
        return 2 * self.window * (self.spacing or self.leaf + 1)

    @property
    def leaf(self) -> int:
        """Targets of a leaf: what its ends and overlaps leave of the window."""
        return self.window - 2 - 2 * self._overlap

    @property
    def _overlap(self) -> int:
        return min(self.overlap, (self.window - 3) // 2)

    def take(self, take: Timeline, start: int = 0) -> Iterator[Step]:
        """Steps of one take."""
        grid = Grid(take, self.spacing or self.leaf + 1)
        tree = Tree(self.window, self.leaf, take.length, take.given)
        items = keys_and_cells(Landmarked(self.window, self.step), grid, tree)
        before: Cell | None = None
        held: tuple[Cell, Cell | None] | None = None
        second = False
        for item in items:
            if isinstance(item, Step):
                yield item
            elif not item.whole:
                yield Step(item.targets, item.observed, "fill")
            elif self.joins == "weave" and second:
                held, before, second = (item, before), item, False
            else:
                yield self._leaf(item, before, None, take.given, self.joins == "chain")
                if held:
                    yield self._leaf(*held, item, take.given, True)
                held, before, second = None, item, True
        if held:
            yield self._leaf(*held, None, take.given, True)

    def _leaf(
        self, cell: Cell, before: Cell | None, after: Cell | None, given: Indices, joined: bool
    ) -> Step:
        """The call of a leaf; joined: it sees frames of its neighbours, else only their keys."""
        size = self._overlap
        seen = set(seen_from(cell, given, size))
        if joined and before and before.right == cell.left:
            seen.update(range(max(before.left, cell.left - size, 0), cell.left))
        if joined and after and after.left == cell.right:
            stop = min(after.right, cell.right + size)
            seen.update(i for i in range(cell.right + 1, stop + 1) if i in after.targets)
        if before and before.right == cell.left and before.left >= 0:
            if len(seen) + len(cell.targets) < self.window:
                seen.add(before.left)
        return Step(cell.targets, unique(seen), "fill")
