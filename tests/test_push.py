"""Push: physics that only loses energy, states read from pixels, planted breaks found."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from planting import Truth, caught, false_alarms, pick, sign

from longtake.worlds import make
from longtake.worlds.push.physics import PUSHER, RADII, TOP_SPEED, Course, Physics


def world(seed: int = 0, **settings: Any) -> Any:
    return make("push", seed=seed, **settings)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_overlaps_and_free_discs_only_slow_down(seed: int) -> None:
    truth = world(seed, fps=60).truth(range(3000))
    place, pusher = truth["position"].double(), truth["pusher"].double()
    radii = torch.tensor(RADII).double()
    gaps = (place[:, :, None] - place[:, None]).norm(dim=-1) - radii[:, None] - radii
    gaps += 9 * torch.eye(4)
    assert gaps.min() > -1e-3
    assert ((place - pusher[:, None]).norm(dim=-1) - radii - PUSHER).min() > -1e-3
    assert (place - radii[:, None]).min() > -1e-3 and (place + radii[:, None]).max() < 1.001
    energy = (truth["velocity"].double() ** 2).sum(-1) @ radii**2
    alone = truth["touched"].sum(1) == 0
    assert (energy[1:] - energy[:-1])[alone[1:]].max() <= 1e-9
    assert 0.02 < truth["touched"].mean() < 0.6 and energy.max() > 1e-4
    moved = (place[6:] - place[:-6]).norm(dim=-1)
    assert moved.max() * 10 < 1.1 * TOP_SPEED


def test_pixels_tell_the_truth() -> None:
    right = total = 0
    for seed, size in enumerate([(64, 64), (96, 64), (64, 128), (128, 128)]):
        here = world(seed, size=size, count=1 + seed % 4)
        truth = here.truth(range(0, 300, 6))
        seen = here.read(here.render(range(0, 300, 6)))
        off = (seen["position"][:, : here.count] - truth["position"]).norm(dim=-1) * here.scale
        tip = (seen["pusher"] - truth["pusher"]).norm(dim=-1) * here.scale
        right += int((off < 0.5).sum()) + int((tip < 0.5).sum())
        right += int((seen["there"][:, here.count :] == 0).sum())
        total += 5 * len(tip)
    assert right / total >= 0.99, (right, total)


def test_memory_is_bounded_and_any_tick_is_the_same() -> None:
    course = Course(Physics(3, (1.0, 1.0), 2), room=4)
    far = course.at(20_000).copy()
    assert len(course.kept) <= 5
    assert course.at(150).copy() == Course(Physics(3, (1.0, 1.0), 2)).at(150)
    assert course.at(20_000) == far == Course(Physics(3, (1.0, 1.0), 2)).at(20_000)


def test_actions_move_the_pusher() -> None:
    truth = world(2, fps=60).truth(range(600))
    moved = (truth["pusher"][1:] - truth["pusher"][:-1]) * 60
    assert (moved - truth["action"][1:]).abs().max() < 1e-3


def teleport(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    place = truth["position"]
    n = pick(rng, place.shape[1])
    spots = torch.rand(200, 2, generator=rng) * 0.8 + 0.1
    others = torch.cat([place[at:, :n], place[at:, n + 1 :], truth["pusher"][at:, None]], 1)
    room = (spots[:, None] - others.reshape(-1, 2)).norm(dim=-1).amin(1)
    far = (spots - place[at - 1, n]).norm(dim=-1)
    place[at:, n] = spots[(room * (far > 0.2)).argmax()]


def penetrate(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    place = truth["position"]
    i = pick(rng, 4)
    j = (i + 1 + pick(rng, 3)) % 4
    way = torch.randn(2, generator=rng)
    gap = 0.6 * (RADII[i] + RADII[j])
    spot = place[at - 1, j] + way / way.norm() * gap
    middle = torch.tensor([0.5, 0.5]) - place[at - 1, j]
    spot = spot if bool(way @ middle > 0) else place[at - 1, j] - way / way.norm() * gap
    for n in (i, j):
        place[at - 2 :, n] = place[at - 1, n]
    place[at:, i] = spot


def gain(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    """A lone disc at rest starts to move."""
    place = truth["position"]
    n = pick(rng, 4)
    spots = torch.tensor([(x / 10, y / 10) for x in (2, 3, 5, 7, 8) for y in (2, 4, 5, 7, 8)])
    others = torch.cat([place[:, :n], place[:, n + 1 :], truth["pusher"][:, None]], 1)
    near = others[max(at - 4, 0) : at + 4].reshape(-1, 2)
    room = (spots[:, None] - near).norm(dim=-1).amin(1)
    spot = spots[int(room.argmax())]
    place[:, n] = spot
    inward = torch.where(spot > 0.5, -1.0, 1.0) * torch.tensor([1.0, 0.3 * sign(rng)])
    later = torch.arange(1, len(place) - at + 1).clamp(max=3).float()
    place[at:, n] += 0.06 * later[:, None] * inward
    for other in range(4):
        if other != n:
            place[:, other] = place[max(at - 4, 0), other]


def identity(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    truth["position"][at:, pick(rng, 4)] = -9.0


def start_near(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    """A disc at rest moves off towards the pusher, which is near and at rest too, but does not touch it."""
    place, pusher = truth["position"], truth["pusher"]
    n = pick(rng, 4)
    gap, side = 0.15, sign(rng)
    place[:] = torch.tensor([(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)])
    place[:, n] = torch.tensor([0.5, 0.5])
    pusher[:] = torch.tensor([0.5 + side * (RADII[n] + PUSHER + gap), 0.5])
    later = (torch.arange(1, len(place) - at + 1) / here.fps).clamp(max=0.2)
    place[at:, n, 0] += side * 0.6 * later


def shove(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    """Two discs that lie together at rest part by themselves: no sum of what they had."""
    place = truth["position"]
    place[:] = torch.tensor([(0.35, 0.5), (0.0, 0.5), (0.2, 0.85), (0.8, 0.85)])
    place[:, 1, 0] = 0.35 + RADII[0] + RADII[1] + 0.01
    truth["pusher"][:] = torch.tensor([0.5, 0.06])
    later = (torch.arange(1, len(place) - at + 1) / here.fps).clamp(max=0.3)
    place[at:, 1, 0] += 0.5 * later
    place[at:, 0, 0] -= 0.2 * later


def kick(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    """A disc that nothing touches speeds up for a while, any way that is free, whatever is near it."""
    place, touched = truth["position"], truth["touched"][at - 2 :].any(0)
    gone = (torch.arange(1, len(place) - at + 1) / here.fps).clamp(max=0.2)
    for _ in range(5000):
        n, angle = pick(rng, 4), float(torch.rand(1, generator=rng)) * 2 * math.pi
        way = torch.tensor([math.cos(angle), math.sin(angle)])
        pace = float(truth["velocity"][at - 1, n].norm()) + 0.3
        pace += 0.5 * float(torch.rand(1, generator=rng))
        course = place[at - 1, n] + pace * gone[:, None] * way
        pairs = [(place[at:, m], RADII[m]) for m in range(4) if m != n]
        pairs.append((truth["pusher"][at:], PUSHER))
        free = all(((course - other).norm(dim=-1) > RADII[n] + r).all() for other, r in pairs)
        if free and not touched[n] and 0.1 < course.min() and course.max() < 0.9:
            place[at:, n] = course
            return
    raise AssertionError("no room for a kick")


BREAKS = {"teleport": teleport, "penetration": penetrate, "energy": gain, "identity": identity}


@pytest.mark.parametrize("law", BREAKS)
def test_planted_breaks_are_found(law: str) -> None:
    hits, _ = caught("push", law, BREAKS[law], films=40, frames=24)
    assert hits == 40


@pytest.mark.parametrize("fps", [10.0, 20.0])
@pytest.mark.parametrize("plant", [start_near, shove])
def test_gains_beside_other_things_are_found(plant: Any, fps: float) -> None:
    hits, _ = caught("push", "energy", plant, films=12, frames=32, fps=fps)
    assert hits == 12


@pytest.mark.parametrize("fps", [5.0, 12.0, 25.0])
def test_kicks_are_found_wherever_they_are(fps: float) -> None:
    hits, _ = caught("push", "energy", kick, films=14, frames=24, fps=fps)
    assert hits == 14


@pytest.mark.parametrize("size", [(64, 64), (128, 96)])
def test_lawful_films_pass(size: tuple[int, int]) -> None:
    assert len(false_alarms("push", films=8, size=size)) == 0  # of 800 frames
