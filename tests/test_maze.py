"""Maze: exact poses and depths, places revisited, poses found again in pixels, planted breaks found."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.worlds import make
from longtake.worlds.laws import check
from longtake.worlds.maze.plan import Plan
from longtake.worlds.maze.walk import across


def world(seed: int = 0, **settings: Any) -> Any:
    return make("maze", seed=seed, **settings)


@pytest.mark.parametrize("cells", [3, 6, 9])
def test_a_lap_visits_every_cell_and_never_crosses_a_wall(cells: int) -> None:
    plan = Plan(cells, cells)
    assert sum(len(ways) for ways in plan.ways.values()) == 2 * (cells * cells - 1)  # a tree
    for lap in (0, 1, 7):
        visits, steps = plan.lap(lap)
        assert len(steps) == plan.steps
        assert {cell for cell, *_ in visits} == set(plan.ways)
        for (cell, _, after, _), (then, before, _, _) in zip(visits, visits[1:], strict=False):
            assert after == then and before == cell and then in plan.ways[cell]
    assert plan.lap(0)[0] != plan.lap(1)[0] or cells == 3


def test_the_camera_flows_on_through_free_blocks() -> None:
    plan = Plan(4, 5)
    before = plan.pose(0.0)
    for n in range(1, 12_000):
        pose = plan.pose(n / 60)
        assert math.dist(pose[:2], before[:2]) < 0.05
        assert abs(math.remainder(pose[2] - before[2], 2 * math.pi)) < 0.09
        for dx, dy in ((0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)):
            assert not plan.walls[int(pose[1] + dy), int(pose[0] + dx)]
        before = pose


def test_places_are_revisited_and_look_the_same() -> None:
    here = world(1, cells=3)
    span = here.plan.steps * 12  # frames of a lap
    truth = here.truth(range(span * 2))
    pose, visits = truth["pose"], truth["visits"]
    assert visits[0] == 0 and visits.max() >= 3
    turned = torch.stack([pose[:, 2].cos(), pose[:, 2].sin()], 1)
    state = torch.cat([pose[:, :2], turned], 1)
    apart = torch.cdist(state[:span], state[span:])
    first, later = divmod(int(apart.argmin()), span)
    assert apart.min() < 1e-4
    frames = here.render([first, span + later]).float()
    assert (frames[0] - frames[1]).abs().mean() < 0.5


def test_depth_is_where_the_walls_are() -> None:
    here = world(2)
    truth = here.truth([30, 77])
    middle = here.size[0] // 2
    for n in range(2):
        x, y, yaw = (float(v) for v in truth["pose"][n])
        across = (middle + 0.5 - here.size[0] / 2) / (0.62 * here.scale)
        dx, dy = math.cos(yaw) - across * math.sin(yaw), math.sin(yaw) + across * math.cos(yaw)
        depth = 0.0
        while not here.plan.walls[int(y + depth * dy), int(x + depth * dx)]:
            depth += 1e-3
        assert abs(float(truth["depth"][n, here.size[1] // 2, middle]) - depth) < 5e-3
    assert truth["depth"].shape == (2, 64, 64)


def test_actions_lead_from_pose_to_pose() -> None:
    truth = world(3, fps=50).truth(range(1000))
    pose, action = truth["pose"].double(), truth["action"].double()
    moved = (pose[1:, :2] - pose[:-1, :2]).norm(dim=1) * 50
    assert (moved - (action[1:, 0] + action[:-1, 0]).abs() / 2).abs().median() < 0.02
    turned = torch.remainder(pose[1:, 2] - pose[:-1, 2] + math.pi, 2 * math.pi) - math.pi
    assert (turned * 50 - (action[1:, 1] + action[:-1, 1]) / 2).abs().median() < 0.02


def test_pixels_tell_the_pose() -> None:
    right = total = 0
    for seed, size in enumerate([(64, 64), (96, 64), (64, 80), (64, 64)]):
        here = world(20 + seed, size=size)
        places = range(7 * seed, 7 * seed + 25 * 15, 15)
        pose, seen = here.truth(places)["pose"], here.read(here.render(places))["pose"]
        off = (seen[:, :2] - pose[:, :2]).norm(dim=1)
        turned = torch.remainder(seen[:, 2] - pose[:, 2] + math.pi, 2 * math.pi) - math.pi
        right += int(((off < 0.1) & (turned.abs() < 0.1)).sum())
        total += len(off)
    assert right / total >= 0.99, (right, total)


def planted(law: str, seed: int) -> tuple[Any, Tensor]:
    """Twelve frames of a walk, with a law broken on the way to the seventh."""
    here = world(40 + seed)
    first = 90 * seed
    while (
        here.truth([first + 3])["action"][0, 1] != 0
        or here.truth([first + 12])["action"][0, 1] != 0
    ):
        first += 3
    pose = here.truth(range(first, first + 12))["pose"]
    if law == "teleport":
        pose[6:] = here.truth(range(first + 80, first + 86))["pose"]
    if law == "spin":
        pose[6:, 2] += math.pi / 2 * (1 if seed % 2 else -1)
    if law == "off-path":
        pose[6:, 0] += 0.36 * pose[6:, 2].sin()
        pose[6:, 1] -= 0.36 * pose[6:, 2].cos()
    frames = here.paint({"pose": pose})
    if law == "identity":
        frames[6:] = world(41 + seed).paint({"pose": pose[6:]})
    return here, frames


@pytest.mark.parametrize("law", ["teleport", "spin", "off-path", "identity"])
def test_planted_breaks_are_found(law: str) -> None:
    for seed in range(4):
        found = check(*planted(law, seed)).violations
        assert any(v.law == law and abs(v.frame - 6) <= 1 for v in found), (seed, found)
        assert not any(v.frame < 6 for v in found), (seed, found)


def test_a_slide_onto_another_lawful_way_is_found() -> None:
    pose = torch.tensor([[1.5, y / 6, -math.pi / 2] for y in range(12, 6, -1)])
    pose[3:, 0] += 0.31
    moved = across(pose)
    assert moved[3] == pytest.approx(0.31, abs=1e-5) and moved[[0, 1, 2, 4, 5]].max() < 1e-5
    for fps in (4, 10):
        assert across(world(70, fps=fps).truth(range(400))["pose"]).max() < 0.03


def test_lawful_walks_pass() -> None:
    for seed in range(3):
        here = world(60 + seed)
        assert not check(here, here.render(range(40 * seed, 40 * seed + 40))).violations


def test_a_maze_has_limits() -> None:
    with pytest.raises(InputError, match="3 to 15"):
        world(cells=2)
