"""RaMViD: random clean frames, no loss on them, and what the baselines are trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recipe_parts import Bench, check_recipe

from longtake.lab.tasks import always
from longtake.models.diffusion import Scene, flow_loss
from longtake.recipes import ramvid


def test_it_stands() -> None:
    check_recipe("ramvid", 30, 400)


def test_masks_leave_none_to_four_frames_clean() -> None:
    rng = np.random.default_rng(0)
    drawn = [ramvid.masks()(rng) for _ in range(3000)]
    counts = np.bincount([len(task.seen) for task in drawn], minlength=5)
    assert abs(counts[0] / 3000 - 0.25) < 0.03
    assert len(counts) == 5 and (abs(counts[1:] / 3000 - 0.75 / 4) < 0.03).all()
    places = np.bincount([place for task in drawn for place in task.seen], minlength=12)
    assert places.min() > 0.7 * places.mean(), "anywhere"
    assert all(task.at == tuple(range(12)) for task in drawn)
    assert not any(ramvid.masks(unconditional=1)(rng).seen for _ in range(50))


def test_clean_frames_are_learned_from_and_not_towards() -> None:
    torch.manual_seed(0)
    net = ramvid.network()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    seen = torch.zeros(1, 12, dtype=torch.bool)
    seen[:, [2, 7]] = True
    said: list[torch.Tensor] = []

    def heard(*asked: torch.Tensor) -> torch.Tensor:
        said.append(net(*asked))
        said[-1].retain_grad()
        return said[-1]

    heard.shape = net.shape  # type: ignore[attr-defined]
    x, noise = torch.randn(2, 1, 12, 8, 8, 8)
    times, text = torch.arange(12)[None] / 10, torch.zeros(1, 12, 0)
    net_: Any = heard
    level = torch.where(seen, 0.0, 0.5)
    flow_loss(net_, Scene(x, seen, times, text), noise, level).sum().backward()
    grad = said[0].grad
    assert grad is not None and not grad[seen].any() and grad[~seen].all(-1).any()
    other = x.clone()
    other[:, 2] += 1
    flow_loss(net_, Scene(other, seen, times, text), noise, level)
    near, far = (said[1] - said[0]).detach().abs().amax((0, 2, 3, 4))[[3, 11]]
    assert near > 1e-4 and far < near, "its neighbours know"
    assert net.shape.extra == 0, "no channel is added"


def test_arms_are_trained_alike() -> None:
    bench: Any = Bench()
    list(ramvid.learn(bench))
    list(ramvid.learn(bench, "specialist", always(ramvid.tasks()["prediction"])))
    list(ramvid.learn(bench, "replacement", ramvid.masks(unconditional=1)))
    assert set(bench.steps) == set(ramvid.PROOF.arms) and len(set(bench.steps.values())) == 1
    (scene,) = bench.batches["specialist"](0)
    assert scene.observed.float().mean(0).tolist() == [1.0] * 4 + [0.0] * 8
    (scene,) = bench.batches["replacement"](0)
    assert not scene.observed.any()
