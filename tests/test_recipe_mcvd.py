"""MCVD: four tasks by two coins, slots on channels, both routes, and what counts as good."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from recipe_parts import Bench, check_recipe

import longtake
from longtake.clip import ClipRequest, ClipSpec, Noise
from longtake.controls import Controls
from longtake.errors import InputError
from longtake.models.samplers import Sampling
from longtake.recipes import mcvd


def test_it_stands() -> None:
    check_recipe("mcvd", 120, 350)
    with pytest.raises(InputError, match=r"unknown route 'spating' .*try spatin"):
        longtake.load("mcvd", route="spating")


def test_every_task_is_as_likely() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(mcvd.masks(rng) for _ in range(2000))
    assert set(drawn) == {mcvd.task(*known) for known in mcvd.TASKS.values()}
    assert min(drawn.values()) > 430
    for found in drawn:
        assert found.made == (3, 4, 5, 6, 7)


def test_batches_mix_tasks_and_specialists_share_the_steps() -> None:
    bench: Any = Bench()
    for way in mcvd.ROUTES:
        list(mcvd.learn(bench, way))
    list(mcvd.learn_specialists(bench))
    assert sum(bench.steps[name] for name in mcvd.TASKS) == bench.steps["mcvd"]
    assert bench.steps["spatin"] < bench.steps["mcvd"], "its steps cost more"
    assert sorted(scene.latents.shape[1] for scene in bench.batches["mcvd"](0)) == [5, 8, 11]
    for name, (past, future) in mcvd.TASKS.items():
        (scene,) = bench.batches[name](0)
        assert scene.observed.sum(1).unique().tolist() == [3 * past + 3 * future]


@pytest.mark.parametrize("route", mcvd.ROUTES)
def test_what_is_observed_reaches_the_frames_made(route: str) -> None:
    torch.manual_seed(0)
    net = mcvd.network(route=route)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    seen = torch.tensor([[True] * 3 + [False] * 5 + [True] * 3])
    x, other = torch.randn(2, 1, 11, 8, 8, 8)
    level, times = torch.full((1, 11), 0.5), torch.arange(11)[None] / 10

    def of(clean: torch.Tensor) -> torch.Tensor:
        mixed = torch.where(seen[:, :, None, None, None], clean, x)
        with torch.no_grad():
            found: torch.Tensor = net(
                mixed, level * ~seen, seen.float(), times, torch.zeros(1, 11, 0), clean
            )
        return found

    past, future = x.clone(), x.clone()
    past[:, 0], future[:, -1] = other[:, 0], other[:, -1]
    base = of(x)
    assert not base[:, [0, 1, 2, 8, 9, 10]].any()
    for changed in (past, future):
        assert not torch.allclose(of(changed)[:, 3:8], base[:, 3:8], atol=1e-4)


def test_films_begin_from_nothing() -> None:
    net = mcvd.network()
    model = mcvd.model_of(net, ClipSpec(mcvd.LENGTH, (8, 8, 8), ""), Sampling(steps=1))
    request = ClipRequest(tuple(range(8)), None, Controls(), Noise(1), (8, 8, 8), interval=0.1)
    assert model.sample(request).frames.shape == (1, 8, 8, 8, 8)


def test_what_counts_as_good() -> None:
    special = {"generation": 10.0, "prediction": 20.0, "past prediction": 20.0, "interpolation": 20}
    for change, good in (
        ({}, 4), ({"prediction": 19.85}, 4), ({"prediction": 19.7}, 3),
        ({"generation": 10.4}, 4), ({"generation": 10.6, "interpolation": 19}, 2),
    ):  # fmt: skip
        found = {"mcvd": special | change, "specialists": special}
        assert mcvd.as_good(found, "mcvd") == good
