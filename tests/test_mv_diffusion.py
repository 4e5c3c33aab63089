"""MV-Diffusion: what a block sees, whence motion is counted, flow of joints, arms that differ in flow alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake.lab.motion import motion
from longtake.nets.routes import Given, Route, Trajectory, Trend
from longtake.nets.unet import Told
from longtake.recipes import mv_diffusion
from longtake.recipes.mv_diffusion import (
    ARMS,
    BLOCK,
    FAR,
    GIVEN,
    PAST,
    SCHEME,
    drawn,
    network,
)
from longtake.steps import Plan, Timeline
from longtake.worlds import make


@pytest.mark.parametrize(
    "timeline",
    [Timeline(45, tuple(range(GIVEN))), Timeline(43), Timeline(60, cuts=(20,)), Timeline(3)],
)
def test_a_block_sees_its_past_and_the_first_frame_of_its_take(timeline: Timeline) -> None:
    plan = Plan.of(SCHEME, timeline)
    assert all(len(step.targets) <= BLOCK and step.size <= PAST + BLOCK for step in plan.steps)
    for step in plan.steps:
        first = max(start for start in timeline.starts if start <= step.targets[0])
        head = step.targets[0]
        if head == first:
            assert step.observed == ()
        else:
            assert step.observed == tuple(
                sorted({first, *range(max(first, head - PAST + 1), head)})
            )


def test_an_endless_film_keeps_its_reference() -> None:
    steps = SCHEME.steps(Timeline(None))
    for _ in range(500):
        step = next(steps)
    assert step.observed[0] == 0 and step.observed[1] > 2000


def test_training_clips_are_as_films_ask() -> None:
    rng = np.random.default_rng(0)
    clips = [drawn(rng, 72) for _ in range(400)]
    for reference, *rest in clips:
        assert rest == list(range(rest[0], rest[0] + PAST - 1 + BLOCK)) and rest[-1] < 72
        assert max(0, rest[0] - FAR) <= reference < rest[0]
    gaps = [rest[0] - reference for reference, *rest in clips]
    assert min(gaps) == 1 and max(gaps) > FAR - 5


def given_of(frames: Tensor, observed: list[int]) -> Given:
    flags = torch.tensor([observed], dtype=torch.float32)
    clean = frames * flags[:, :, None, None, None]
    level = torch.zeros(flags.shape)
    return Given(torch.zeros_like(frames), level, level, clean, Told(flags), {})


@pytest.mark.parametrize(("kind", "moved"), [(Trajectory, [0, 1, 3, 0]), (Trend, [0, 1, 2, 0])])
def test_whence_motion_is_counted(kind: type[Trajectory], moved: list[float]) -> None:
    values = torch.tensor([5.0, 6.0, 8.0, 40.0])
    frames = values[None, :, None, None, None].expand(1, 4, 8, 4, 4)
    route: Route = kind(lambda a, b: (b - a)[:, :2], grid=2)
    found = route(given_of(frames, [1, 1, 1, 0]))
    assert found.x.shape[2] == 8 + route.extra
    assert found.x[0, :, -1, 0, 0].tolist() == moved
    assert found.told.context is not None and found.told.context.shape[-1] == route.context


def test_flow_of_a_figure() -> None:
    joints = torch.rand(3, 11, 2) * 0.4 + 0.3
    step = torch.tensor([0.25, -0.125])  # two places right, one up
    flow = motion(joints, joints + step)
    inside = flow.abs().sum(1) > 0
    assert flow.shape == (3, 2, 8, 8) and 0.1 < inside.float().mean() < 0.7
    assert torch.allclose(flow.permute(0, 2, 3, 1)[inside], torch.tensor([-1.0, 2.0]), atol=1e-5)
    place = (joints[0, 4] * 8).long()
    assert inside[0, place[1], place[0]], "rows are y"


def test_flow_of_the_world_s_walker() -> None:
    world = make("walker", seed=1, size=(64, 64), action="walking")
    joints = world.truth(list(range(0, 40, 10)))["joints"]
    still, gone = motion(joints, joints), motion(joints[:1], joints[2:3])
    assert not still.any() and gone.abs().max() > 0.5


def test_arms_differ_in_flow_alone() -> None:
    torch.manual_seed(0)
    sizes, answers = set(), {}
    x, clean = torch.randn(2, 10, 8, 8, 8), torch.randn(2, 10, 8, 8, 8)
    known = torch.arange(10).expand(2, -1) < PAST
    call = (torch.full((2, 10), 0.5), known, torch.arange(10.0).expand(2, -1) / 10)
    for arm in ARMS:
        torch.manual_seed(1)
        net = network(arm)
        sizes.add(sum(p.numel() for p in net.parameters() if p.requires_grad))
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.05 if p.requires_grad else 0.3)
        with torch.no_grad():
            answers[arm] = net(x, *call, torch.zeros(2, 10, 0), clean)
        assert not answers[arm][:, :PAST].any(), "nothing is said of what is known"
    assert len(sizes) == 1 and sizes.pop() < 3e6
    assert not torch.allclose(answers["global"], answers["local"], atol=1e-4)
    assert not torch.allclose(answers["global"], answers["none"], atol=1e-4)


def test_the_published_size_stands_on_the_meta_device() -> None:
    with torch.device("meta"):
        large = network("global", "paper")
    assert 1.2e8 < sum(p.numel() for p in large.parameters()) < 3e8


def test_it_is_a_system() -> None:
    system = mv_diffusion.mv_diffusion()
    assert system.stages[0].scheme == SCHEME
    assert next(iter(system.stages[0].models.values())).spec.window == PAST + BLOCK
