"""Beyond a single clip: its proof, what it learns from, and its layouts."""

from __future__ import annotations

import numpy as np
import torch
from recipe_parts import check_recipe

from longtake.lab.script import CHANNELS, layout
from longtake.recipes import beyond_clip
from longtake.schemes import find_scheme
from longtake.steps import Plan, Timeline


def test_the_proof_and_the_sizes() -> None:
    check_recipe("beyond_clip", 100, 500)


def test_it_learns_from_the_calls_that_its_schemes_make() -> None:
    rng = np.random.default_rng(0)
    learned = set()
    for _ in range(200):
        near, observed = beyond_clip.places(rng)
        assert len(near) == len(set(near)) <= beyond_clip.WINDOW and observed < len(near)
        learned.add((tuple(near[:observed]), tuple(near[observed:])))
    for scheme in (beyond_clip.HOLISTIC, beyond_clip.SLIDING):
        plan = Plan.of(find_scheme(scheme), Timeline(beyond_clip.LENGTH + 1, (0,)))
        for step in plan.steps:
            first = min(*step.observed, *step.targets)
            seen, wanted = (tuple(n - first for n in row) for row in (step.observed, step.targets))
            assert (seen, wanted) in learned, step
    keys = Plan.of(find_scheme(beyond_clip.HOLISTIC), Timeline(beyond_clip.LENGTH + 1)).steps[0]
    assert keys.targets == tuple(range(0, 33, 4)), "all keys are written in one call"


def test_a_share_of_the_layout_is_told() -> None:
    shares = torch.tensor([0.0, 0.5, 1.0])
    told = beyond_clip.told_of(np.random.default_rng(0), 3, 33, shares)
    assert told.shape == (3, 33, 5) and not told[0].any() and told[2].all()
    assert 0.3 < float(told[1].float().mean()) < 0.7
    assert torch.equal(told[:, 0], told[:, beyond_clip.BLOCK - 1])


def test_a_layout_says_where_and_what_and_of_whom() -> None:
    truth = {
        "box": torch.tensor([[[[0.25, 0.5, 0.5, 1.0], [0.0, 0.0, 0.25, 0.25]]]]),
        "there": torch.ones(1, 1, 2),
        "colour": torch.tensor([[[1.0, 4.0]]]),
        "shape": torch.tensor([[[2.0, 0.0]]]),
    }
    told = torch.tensor([[[False, True, False, False, False]]])
    raster = layout(truth, told)
    assert raster.shape == (1, 1, 8, 8, CHANNELS) and CHANNELS == beyond_clip.CHANNELS
    inside = torch.zeros(8, 8)
    inside[4:, 2:4] = 1
    assert torch.equal(raster[0, 0, :, :, 1], inside)  # its colour
    assert torch.equal(raster[0, 0, :, :, 5 + 2], inside)  # its shape
    assert not raster[..., 4].any() and not raster[..., 5].any(), "an actor not told of shows"
    assert raster[..., 10 + 1].all() and not raster[..., 10 + 4].any()
    truth["box"][0, 0, 0] = torch.tensor([0.25, 0.5, 0.3125, 0.75])
    assert torch.equal(layout(truth, told)[0, 0, 4:6, 2:4, 1], torch.tensor([[0.5, 0.0]] * 2))
