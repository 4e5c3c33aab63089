"""Worlds that packages render: same frame, same bytes; truth agrees with pixels; a package that is missing is named."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from longtake.cli import cli
from longtake.errors import InputError
from longtake.worlds import World, find, knobs, make

PACKAGES = {"doom": "vizdoom", "mocap": "pybullet", "rooms": "miniworld"}
pytestmark = pytest.mark.usefixtures("one_thread")


def world(name: str, **settings: Any) -> Any:
    if importlib.util.find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{PACKAGES[name]} is not installed")
    few = {"cells": 2} if name == "rooms" else {}
    return make(name, **{"size": (64, 48), **few, **settings})


@pytest.mark.parametrize("name", PACKAGES)
def test_a_frame_alone_has_the_bytes_it_has_in_a_run(name: str) -> None:
    one = world(name, seed=5)
    assert isinstance(one, World)
    run = one.render(range(0, 24, 3))
    assert run.dtype == torch.uint8 and run.shape == (8, 3, 48, 64)
    other = world(name, seed=6)
    apart = other.render([9])[0]
    assert (apart.float() - run[3].float()).abs().mean() > 1, "seeds differ"
    for index in (21, 9, 0):  # with another world alive in the same process
        assert torch.equal(one.render([index])[0], run[index // 3])
    del one
    assert torch.equal(world(name, seed=5).render([9])[0], run[3])
    moved = (run[1:].float() - run[:-1].float()).abs().mean((1, 2, 3))
    assert moved.max() > 1


@pytest.mark.parametrize("name", PACKAGES)
def test_the_truth_is_as_long_as_asked_and_open_at_any_place(name: str) -> None:
    here = world(name, seed=2)
    run = here.truth(range(9))
    assert all(len(value) == 9 for value in run.values())
    some = world(name, seed=2).truth([7, 3])
    for key, value in some.items():
        assert torch.equal(value, run[key][[7, 3]]), key
    with pytest.raises(InputError, match="frame -1"):
        here.render([-1])
    with pytest.raises(InputError, match="size 16x16"):
        world(name, size=(16, 16))


def test_the_figure_stands_where_its_joints_are() -> None:
    here = world("mocap", seed=3, size=(96, 96), action="walk")
    truth = here.truth([6, 14])
    for n in range(2):
        joints = truth["pixels"][n] * 96
        apart = torch.cdist(truth["figure"][n].nonzero().flip(-1) + 0.5, joints)
        assert len(apart) > 100
        assert apart.amin(0).max() < 4 and (apart.amin(1) < 12).float().mean() > 0.95
        body = truth["depth"][n][truth["figure"][n]]
        assert (body - truth["camera"][n, 2]).abs().max() < 0.8
        head, feet = truth["joints"][n, 2], truth["joints"][n, [11, 14]]
        assert 1.2 < head[1] < 1.8 and feet[:, 1].min() < 0.25
    assert here.caption(6) == "a figure walks"
    with pytest.raises(InputError, match="try walk"):
        world("mocap", action="walks")


def test_actions_follow_each_other_without_a_jump() -> None:
    here = world("mocap", seed=4, fps=30, size=(32, 32))
    truth = here.truth(range(150, 300))
    assert len(truth["action"].unique()) > 1
    assert (truth["joints"][1:] - truth["joints"][:-1]).norm(dim=-1).max() * 30 < 16


def test_rooms_are_seen_again_and_depth_is_where_the_walls_are() -> None:
    here = world("rooms", seed=1, cells=2)
    lap = here.plan.steps * 12
    truth = here.truth([3, 3 + lap])
    if torch.equal(truth["pose"][0], truth["pose"][1]):
        pair = here.render([3, 3 + lap])
        assert torch.equal(pair[0], pair[1])
    assert truth["visits"][1] > truth["visits"][0]
    frames = here.truth(range(0, 60, 6))
    assert (frames["depth"] > 0.2).all() and (frames["depth"] < 12).all()
    # Straight ahead: the depth falls by what the camera goes.
    straight = [n for n in range(60) if here.truth([n, n + 1])["action"][:, 1].abs().max() < 1e-3]
    for n in straight[:3]:
        pair = here.truth([n, n + 1])
        gone = (pair["pose"][1, :2] - pair["pose"][0, :2]).norm()
        fell = pair["depth"][0, 24, 32] - pair["depth"][1, 24, 32]
        assert abs(float(fell - gone)) < 0.15 or fell.abs() > 1  # a door's edge came by
    assert here.caption(0).startswith("a room with a")


def test_a_walk_s_actions_lead_from_pose_to_pose() -> None:
    here = world("doom", seed=3, fps=35, map=2)
    truth = here.truth(range(12 * 35 - 3, 12 * 35 + 12))
    assert truth["cut"].tolist() == [0] * 3 + [1] + [0] * 11
    assert (truth["map"] == 2).all()
    turned = truth["pose"][5:, 2] - truth["pose"][4:-1, 2]
    turned = torch.remainder(turned + math.pi, 2 * math.pi) - math.pi
    assert (turned + truth["action"][5:, 1]).abs().max() < 0.02  # to the right is down
    with pytest.raises(InputError, match="at most 35"):
        world("doom", fps=60)


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = importlib.import_module

    def missing(module: str, package: str | None = None) -> Any:
        if not module.startswith("longtake"):
            raise ImportError(module)
        return whole(module, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match=rf"is not installed.*longtake\[{find(name).extra}\]"):
        make(name)
    assert "seed" not in knobs(name)


def test_a_world_without_laws_is_not_checked() -> None:
    assert world("mocap").LAWS == {}
    told = CliRunner().invoke(cli, ["data", "check", "mocap", "--frames", "2", "--size", "32x32"])
    assert told.exit_code == 2 and "no laws" in told.output
