"""The stage: actors on their lines, painted, read back, and judged."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from longtake.errors import InputError
from longtake.worlds.laws import Violation, marked, steps
from longtake.worlds.painting import Painted, colour, in_bytes, lay
from longtake.worlds.reading import HUES, centre_of, tint_cover
from longtake.worlds.script.story import (
    ACTION,
    COLOURS,
    LEVELS,
    SHAPES,
    SLOT,
    STILL,
    VERBS,
    Drawn,
    Event,
    State,
    Story,
    read_story,
)

NAMES = tuple(f"the {name} actor" for name in COLOURS)
_TINTS = tuple(colour(text) for text in HUES)
_HIGH, _LOW, _FLOOR = colour("#f3f1ec"), colour("#e2dfd8"), colour("#c9c5bc")
_TOP, _BOTTOM = 0.04, 0.98  # of the stage, shares of the picture's height
_RADIUS, _FOOT, _LIFT = 0.30, 0.41, 0.22  # of an actor, of its middle over its line, of a jump
_FIELD = 1.25  # a shape's field reaches this far, in radii
_CELLS = 20  # of a read shape, a side
_SURE, _AHEAD = 0.988, 0.002  # cosines: of a shape seen well, and more than that of the usual one
_READING = 0.75  # pixels that a place read back may be off, after lossy coding too


class Script(Painted):
    """Coloured shapes act out a text, or a story of the seed's that never ends.

    text: such as "red square moves left; then blue circle enters", one event in 2.5 s; empty: drawn.
    count: actors of a drawn story, 1 to 4.
    """

    name = "script"
    LAWS: ClassVar[Mapping[str, str]] = {
        "teleport": "an actor moves farther than the fastest event takes it",
        "off-path": "an actor leaves its line otherwise than by a jump",
        "identity": "an actor takes another shape",
        "vanishing": "an actor goes or comes away from the stage's sides",
    }

    def __init__(
        self,
        *,
        seed: int = 0,
        size: tuple[int, int] = (64, 64),
        fps: float = 10.0,
        text: str = "",
        count: int = 3,
    ) -> None:
        super().__init__(seed=seed, size=size, fps=fps)
        if count not in (1, 2, 3, 4):
            raise InputError(f"{count} actors", self.name, "1 to 4")
        self.story: Story = read_story(text) if text.strip() else Drawn(seed, count)
        self.cast = self.story.cast
        self._line = self.extent[1] * (_BOTTOM - _TOP) / len(self.cast)
        self._size = min(_RADIUS * self._line, 0.13 * self.extent[0])

    def event(self, index: int) -> Event | None:
        """What happens at a frame."""
        slot, since = divmod(float(self.seconds([index])[0]), SLOT)
        return self.story.event(int(slot)) if since < ACTION else None

    def caption(self, index: int) -> str:
        """What happens at a frame, in words."""
        event = self.event(index)
        if event is None or event.verb == "waits":
            return STILL
        return event.caption(self.cast[event.actor].name)

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame, in short sides; one column an actor.

        `position` (t n 2) of its middle, `radius`, `angle` in radians, `there`, `colour` and
        `shape` (t n); `box` (t n 4): left, top, right, bottom; `actor` (t), -1: nobody, and `verb`
        (t), a place in VERBS, -1: none.
        """
        rows, acts = [], []
        for second in self.seconds(indices).tolist():
            slot, since = divmod(second, SLOT)
            event = self.story.event(int(slot))
            share = min(since / ACTION, 1.0)
            states = self.story.states(int(slot))
            rows.append(
                [
                    self._pose(n, state, event if event and event.actor == n else None, share)
                    for n, state in enumerate(states)
                ]
            )
            doing = event if event is not None and since < ACTION else None
            acts.append((doing.actor, VERBS.index(doing.verb)) if doing else (-1, -1))
        table = torch.tensor(rows, dtype=torch.float64).float()
        kinds = torch.tensor([(a.colour, a.shape) for a in self.cast]).expand(len(rows), -1, 2)
        doing_ = torch.tensor(acts)
        truth = {
            "position": table[..., :2],
            "radius": table[..., 2],
            "angle": table[..., 3],
            "there": table[..., 4],
            "colour": kinds[..., 0].clone(),
            "shape": kinds[..., 1].clone(),
            "actor": doing_[:, 0],
            "verb": doing_[:, 1],
        }
        truth["box"] = _boxes(truth)
        return truth

    def _pose(
        self, n: int, state: State, event: Event | None, share: float
    ) -> tuple[float, float, float, float, float]:
        """Middle, radius, angle, and whether there is anything of an actor to see."""
        ease = share * share * (3 - 2 * share)
        x, lift, angle, size = self._x(state), 0.0, 0.0, LEVELS[state.level]
        there = state.there
        if event is not None:
            side = -0.2 if event.side < 0 else self.extent[0] + 0.2
            begin = side if event.verb == "enters" else self._x(event.before)
            end = side if event.verb == "leaves" else self._x(event.after)
            x = begin + (end - begin) * ease
            size += (LEVELS[event.after.level] - size) * ease
            lift = _LIFT * abs(math.sin(2 * math.pi * share)) if event.verb == "jumps" else 0.0
            angle = 2 * math.pi * ease if event.verb == "spins" else 0.0
            there = event.after.there if share >= 1 else event.before.there or share > 0
        radius = size * self._size
        there = there and -radius < x < self.extent[0] + radius
        bottom = self.extent[1] * _TOP + (n + 1) * self._line
        y = bottom - (_FOOT + lift) * self._line
        return x, y, radius, angle, float(there)

    def _x(self, state: State) -> float:
        margin = 1.3 * self._size
        return margin + state.x * (self.extent[0] - 2 * margin)

    def compose(self, truth: Mapping[str, Tensor]) -> Tensor:
        """The picture of a few frames in 0..1: t 3 h w."""
        count = truth["position"].shape[1]
        picture = self._ground.expand(len(truth["there"]), 3, *self.size[::-1]).clone()
        for n in range(count):
            seen = truth["there"][:, n].float()[:, None, None]
            x = truth["position"][:, n, 0, None, None]
            floor = self.extent[1] * _TOP + (n + 1) * self._line - 0.05 * self._line
            dx, dy = (self.x - x) / (0.9 * self._size), (self.y - floor) / (0.16 * self._size)
            lay(picture, 0.6 * _FLOOR, (1 - dx * dx - dy * dy).clamp_(0, 1) * (0.5 * seen))
            tints = torch.stack([_TINTS[int(k)] for k in truth["colour"][:, n]])
            inwards = self._inwards(truth, n)
            lay(picture, 0.80 * tints, (inwards * self.scale + 0.5).clamp(0, 1) * seen)
            lay(picture, tints, ((inwards - 0.012) * self.scale + 0.5).clamp_(0, 1) * seen)
        return picture

    def _inwards(self, truth: Mapping[str, Tensor], n: int) -> Tensor:
        """How far inside an actor's edge each pixel lies: t h w."""
        angle, radius = truth["angle"][:, n, None, None], truth["radius"][:, n, None, None]
        dx = self.x - truth["position"][:, n, 0, None, None]
        dy = self.y - truth["position"][:, n, 1, None, None]
        cos, sin = torch.cos(angle), torch.sin(angle)
        grid = torch.stack([dx * cos + dy * sin, dy * cos - dx * sin], -1)
        grid /= (radius * _FIELD)[..., None]
        fields = _fields()[truth["shape"][:, n]][:, None]
        seen = grid_sample(fields, grid, padding_mode="border", align_corners=False)[:, 0]
        return seen * radius

    @functools.cached_property
    def _ground(self) -> Tensor:
        """A bright wall with a line for every actor to stand on: 3 h w."""
        down = (self.y / self.extent[1]).float().expand(1, *self.size[::-1])
        ground = _HIGH + (_LOW - _HIGH) * down
        for n in range(len(self.cast)):
            floor = self.extent[1] * _TOP + (n + 1) * self._line - 0.05 * self._line
            line = ((0.008 - (self.y - floor).abs()) * self.scale + 0.5).clamp(0, 1)
            ground = ground + (_FLOOR - ground) * line
        return ground

    def read(self, frames: Tensor) -> dict[str, Tensor]:
        """`position` (t 5 2), `box` (t 5 4), `there` and `shape` (t 5), by colour, as seen.

        And `likeness` (t 5 5), the cosine with each shape at its best angle; `exact` (t), whether most
        pixels are just the ground's, so that no codec or model has been at work. A part beyond a side
        is cut off, so `shape` is -1 there, as where nothing is seen.
        """
        cover = tint_cover(frames, _TINTS)
        position = centre_of(cover, self.x, self.y)
        area = cover.sum((2, 3)) / self.scale**2
        solid = cover > 0.5
        there = solid.sum((2, 3)) > max(3.0, 0.0006 * self.scale**2)
        cut = solid[..., 0].any(-1) | solid[..., -1].any(-1)
        outline = _outlines(cover, position, area.clamp(min=1e-6).sqrt(), self.extent)
        known, labels = _bank()
        alike = torch.einsum("tnd,kd->tnk", outline, known)
        likeness = torch.stack([alike[..., labels == s].amax(-1) for s in range(len(SHAPES))], -1)
        shape = likeness.argmax(-1).masked_fill(~there | cut, -1)
        across, down = (_ends(solid.any(dim)) / self.scale for dim in (2, 3))
        box = torch.stack([across[0], down[0], across[1], down[1]], -1)
        return {
            "position": position,
            "box": box,
            "there": there,
            "shape": shape,
            "likeness": likeness,
            "exact": (frames == in_bytes(self._ground)).all(1).float().mean((1, 2)) > 0.5,
        }

    def judge(self, state: Mapping[str, Tensor]) -> list[Violation]:
        """The laws that a read course of states breaks."""
        there, place, shape = state["there"], state["position"], state["shape"]
        there_before = torch.cat([there[:1], there[:-1]])
        both = there & there_before
        off = _READING / self.scale
        moved = steps(place)
        fastest = 1.5 * (self.extent[0] + 0.2) / ACTION / self.fps
        hop = 2 * math.pi * _LIFT * self.extent[1] / ACTION / self.fps
        far = (moved[..., 0].abs() > fastest + 2 * off) | (moved[..., 1].abs() > hop + 2 * off)
        found = marked("teleport", far & both, "{who} jumped", NAMES)
        stands = [self._stand(place[there[:, n], n, 1]) for n in range(len(COLOURS))]
        base, lift = torch.tensor(stands).T
        rise = base - place[..., 1]
        away = ((rise < -2 * off) | (rise > lift + 2 * off)) & (shape >= 0)
        found += marked("off-path", away, "{who} left its line", NAMES)
        # A lossy codec leaves small actors like no shape much: those are judged in exact frames alone.
        like = state["likeness"]
        mean = (like * (shape >= 0)[..., None]).sum(0)
        own = like.gather(-1, mean.argmax(-1)[None, :, None].expand(len(like), -1, 1))[..., 0]
        clear = (like.amax(-1) > _SURE) | state["exact"][:, None]
        other = (shape >= 0) & clear & (like.amax(-1) - own > _AHEAD)
        found += marked("identity", other, "{who} has another shape", NAMES)
        # What leaves is seen cut off by a side, or was no farther from it than it moves in a frame.
        widest = min(_RADIUS * self.extent[1] * (_BOTTOM - _TOP), 0.13 * self.extent[0])
        edge = max(LEVELS[-1] * widest, fastest) + 2 * off
        before = torch.cat([place[:1], place[:-1]])
        spot = torch.where(there[..., None], place, before)[..., 0]
        open_ = (spot > edge) & (spot < self.extent[0] - edge)
        gone = (there != there_before) & open_
        if not bool(there.any()):
            found.append(Violation(0, "vanishing", "no actor is ever seen"))
        return found + marked("vanishing", gone, "{who} went or came in the open", NAMES)

    def _stand(self, heights: Tensor) -> tuple[float, float]:
        """Where an actor's middle is when it stands, and how high it jumps, told from where it was.

        Of the lines of casts of every number the one that most is of: heights on it, and within a jump of it.
        """
        off, high = _READING / self.scale, self.extent[1]

        def fit(line: tuple[float, float]) -> float:
            rise = line[0] - heights
            within = (rise > -2 * off) & (rise < line[1] + 2 * off)
            return float(within.float().sum() + (rise.abs() <= off).sum())

        spans = [(n, (_BOTTOM - _TOP) / count) for count in (1, 2, 3, 4) for n in range(count)]
        lines = [(high * (_TOP + (n + 1 - _FOOT) * s), high * _LIFT * s) for n, s in spans]
        return max(lines, key=fit)


def _ends(inked: Tensor) -> Tensor:
    """Where lines of pixels (t n l) begin and end to have ink, in pixels: 2 t n; 0 where they never do."""
    place = torch.arange(inked.shape[-1])
    first = torch.where(inked, place, inked.shape[-1]).amin(-1)
    last = torch.where(inked, place + 1, 0).amax(-1)
    return torch.stack([torch.minimum(first, last), last]).float()


def _boxes(truth: Mapping[str, Tensor]) -> Tensor:
    """Left, top, right and bottom of every actor: t n 4."""
    corners = torch.stack([torch.tensor(_corners(s, 48), dtype=torch.float32) for s in SHAPES])
    points = corners[truth["shape"]] * truth["radius"][..., None, None]
    cos, sin = torch.cos(truth["angle"])[..., None], torch.sin(truth["angle"])[..., None]
    x = points[..., 0] * cos - points[..., 1] * sin + truth["position"][..., 0, None]
    y = points[..., 0] * sin + points[..., 1] * cos + truth["position"][..., 1, None]
    return torch.stack([x.amin(-1), y.amin(-1), x.amax(-1), y.amax(-1)], -1)


def _corners(shape: str, least: int = 0) -> list[tuple[float, float]]:
    """A shape's corners about its middle, none farther than 1; repeated up to `least`."""
    if shape == "circle":
        angles = [2 * math.pi * k / 48 for k in range(48)]
        points = [(math.cos(a), math.sin(a)) for a in angles]
    elif shape == "cross":
        a, b = 0.33, math.sqrt(1 - 0.33**2)
        turns = [(b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a)]
        points = turns + [(-x, -y) for x, y in turns]
    else:
        count, inner, turn = {
            "square": (4, 0.0, 0.5),
            "triangle": (3, 0.0, 0.5),
            "star": (5, 0.42, 0.5),
        }[shape]
        points = []
        for k in range(count):
            angle = (
                math.pi * (2 * (k + turn) / count)
                - math.pi / 2
                - (2 * math.pi * turn / count if count != 4 else 0)
            )
            points.append((math.cos(angle), math.sin(angle)))
            if inner:
                angle += math.pi / count
                points.append((inner * math.cos(angle), inner * math.sin(angle)))
    return points + points[-1:] * max(0, least - len(points))


@functools.cache
def _fields() -> Tensor:
    """The distance inwards from each shape's edge on a grid over +-_FIELD: shapes h w."""
    axis = ((np.arange(96) + 0.5) / 96 * 2 - 1) * _FIELD
    px, py = np.meshgrid(axis, axis)
    fields = []
    for shape in SHAPES:
        if shape == "circle":
            fields.append(1 - np.hypot(px, py))
            continue
        points = _corners(shape)
        far = np.full(px.shape, np.inf)
        inside = np.zeros(px.shape, dtype=bool)
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
            wx, wy = bx - ax, by - ay
            along = np.clip(((px - ax) * wx + (py - ay) * wy) / (wx * wx + wy * wy), 0, 1)
            far = np.minimum(far, np.hypot(px - ax - along * wx, py - ay - along * wy))
            if ay != by:
                inside ^= ((ay > py) != (by > py)) & (px < ax + (py - ay) / (by - ay) * wx)
        fields.append(np.where(inside, far, -far))
    return torch.from_numpy(np.stack(fields)).float()


def _outlines(cover: Tensor, place: Tensor, size: Tensor, extent: tuple[float, float]) -> Tensor:
    """What is seen about each place, at a common area and of length 1: t n d."""
    t, n = cover.shape[:2]
    axis = ((torch.arange(_CELLS) + 0.5) / _CELLS * 2 - 1) * 1.05
    reach = axis * size.reshape(-1, 1)
    x = (place[..., 0].reshape(-1, 1) + reach)[:, None, :] / extent[0] * 2 - 1
    y = (place[..., 1].reshape(-1, 1) + reach)[:, :, None] / extent[1] * 2 - 1
    shape = (t * n, _CELLS, _CELLS)
    grid = torch.stack([x.expand(shape), y.expand(shape)], -1)
    patch = grid_sample(cover.reshape(t * n, 1, *cover.shape[2:]), grid, align_corners=False)
    return normalize(patch.reshape(t, n, -1), dim=-1)


@functools.cache
def _bank() -> tuple[Tensor, Tensor]:
    """Every shape as seen, small, at many angles and places between pixels (k d); and which (k)."""
    rows, labels = [], []
    for shape in range(len(SHAPES)):
        for radius in (0.065, 0.09, 0.15):
            stage = Script(size=(64, 64), text="red circle waits")
            angles = torch.linspace(0, 2 * math.pi, 73)[:-1, None]
            count = len(angles)
            place = 0.5 + 0.016 * torch.linspace(0, 7, count).frac()[:, None].repeat(1, 2)
            truth = {
                "position": place[:, None],
                "radius": torch.full((count, 1), radius),
                "angle": angles,
                "there": torch.ones(count, 1),
                "colour": torch.zeros(count, 1, dtype=torch.long),
                "shape": torch.full((count, 1), shape),
            }
            frames = stage.paint(truth)
            cover = torch.cat([tint_cover(frames, _TINTS), tint_cover(_halved(frames), _TINTS)])[
                :, :1
            ]
            size = cover.sum((2, 3)).sqrt() / stage.scale
            middle = centre_of(cover, stage.x, stage.y)
            rows.append(_outlines(cover, middle, size, stage.extent)[:, 0])
            labels += [shape] * len(cover)
    return torch.cat(rows), torch.tensor(labels)


def _halved(frames: Tensor) -> Tensor:
    """Frames whose colours have half the resolution of their light, as video codecs leave them."""
    grey = frames.float().mean(1, keepdim=True)
    tint = torch.nn.functional.avg_pool2d(frames.float() - grey, 2)
    return (grey + tint.repeat_interleave(2, 2).repeat_interleave(2, 3)).clamp(0, 255).byte()
