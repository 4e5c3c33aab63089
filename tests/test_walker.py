"""Walker: six actions at known joints, marks read from pixels, planted breaks found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from planting import Truth, caught, false_alarms, pick, sign

from longtake.errors import InputError
from longtake.worlds import make
from longtake.worlds.walker import ACTIONS, SEGMENT


def world(seed: int = 0, **settings: Any) -> Any:
    return make("walker", seed=seed, **settings)


def test_bones_keep_their_length_and_feet_the_ground() -> None:
    for action in ACTIONS[:3]:
        here = world(1, action=action, fps=50)
        joints = here.truth(range(400))["joints"].double()
        for side in (0, 1):
            for a, b in ((9 + side, 3 + side), (7 + side, 1 + side)):
                bone = (joints[:, a] - joints[:, b]).norm(dim=-1) / here.height
                assert bone.max() < 0.24
        lowest = joints[:, 3:5, 1].amax(1)
        assert lowest.max() - lowest.min() < 0.03
        assert (joints[1:] - joints[:-1]).norm(dim=-1).max() * 50 < 5.0


def test_actions_follow_each_other_without_a_jump() -> None:
    here = world(3, fps=100)
    truth = here.truth(range(int(100 * SEGMENT * 5)))
    assert len(truth["action"].unique()) > 2
    assert (truth["joints"][1:] - truth["joints"][:-1]).norm(dim=-1).max() * 100 < 5.0
    assert here.caption(0) == f"a figure is {ACTIONS[int(truth['action'][0])]}"


def test_only_who_walks_moves_on() -> None:
    for n, action in enumerate(ACTIONS):
        truth = world(2, action=action).truth(range(75))
        hips = truth["joints"][:, 6, 0]
        assert (float(hips.max() - hips.min()) > 0.3) == (n < 3)
        assert (truth["action"] == n).all()


@pytest.mark.parametrize("grey", [False, True])
def test_pixels_tell_the_truth(grey: bool) -> None:
    right = total = 0
    for seed, size in enumerate([(64, 64), (96, 64), (64, 128), (128, 128)]):
        here = world(seed, size=size, grey=grey)
        truth = here.truth(range(0, 600, 8))
        seen = here.read(here.render(range(0, 600, 8)))
        off = (seen["marks"] - truth["joints"][:, :5]).norm(dim=-1) * here.scale
        assert seen["there"][:, 0].all()
        assert grey or seen["there"].float().mean() > 0.9
        right += int((off < 0.75)[seen["there"]].sum())
        total += int(seen["there"].sum())
    assert right / total >= 0.99, (right, total)


def test_grey_is_grey() -> None:
    frames = world(1, grey=True).render([5])
    assert (frames[:, 0] == frames[:, 1]).all() and (frames[:, 0] == frames[:, 2]).all()
    with pytest.raises(InputError, match="jogging"):
        world(action="joging")


def teleport(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    """A figure that stands still is elsewhere."""
    joints = truth["joints"]
    joints[:] = joints[at].clone()
    away = 0.3 if float(joints[at, 6, 0]) < here.extent[0] / 2 else -0.3
    joints[at:, :, 0] += away


def float_(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    truth["joints"][at:, :, 1] -= 0.08


def stretch(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    """Arms of three times their length, held out."""
    joints = truth["joints"]
    side = sign(rng)
    hand = 1 if side < 0 else 2
    joints[at:, hand, 0] = joints[at:, 0, 0]
    joints[at:, hand, 1] = joints[at:, 0, 1] + 0.44 * here.height / 0.74 + 0.1
    joints[at:, 3:5, 0] = joints[at:, :1, 0] + torch.tensor([-0.15, 0.15])


def identity(here: Any, truth: Truth, at: int, rng: torch.Generator) -> None:
    joints = truth["joints"]
    ground = here._floor - 0.042
    joints[at:, :, 1] = ground - (ground - joints[at:, :, 1]) * (0.72 + 0.02 * pick(rng, 3))


BREAKS = {"teleport": teleport, "off-path": float_, "stretch": stretch, "identity": identity}


@pytest.mark.parametrize("law", BREAKS)
@pytest.mark.parametrize("size", [(64, 64)])
def test_planted_breaks_are_found(law: str, size: tuple[int, int]) -> None:
    hits, _ = caught("walker", law, BREAKS[law], films=30, frames=40, size=size)
    assert hits == 30


@pytest.mark.parametrize("settings", [{}, {"grey": True}, {"size": (128, 96)}])
def test_lawful_films_pass(settings: dict[str, Any]) -> None:
    assert len(false_alarms("walker", films=6, **settings)) == 0  # of 600 frames
