"""NUWA-XL: the recursion's numbers, the mask condition, prompts, and batches spaced as films are made."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from recipe_parts import Bench

from longtake.lab.scripted import WORDS
from longtake.recipes import nuwa_xl
from longtake.recipes.nuwa_xl import ARMS, FRAMES, SLIDING, SPACINGS
from longtake.schemes import find_scheme
from longtake.steps import Plan, Timeline

L, ARM = nuwa_xl.L, nuwa_xl.ARM


@pytest.mark.parametrize(("window", "depth"), [(8, 3), (4, 4), (16, 3), (8, 1)])
def test_as_many_rounds_as_levels(window: int, depth: int) -> None:
    frames = (window - 1) ** depth + 1
    tree = Plan.of(find_scheme(f"coarse-to-fine:window={window}"), Timeline(frames))
    assert (tree.critical_path, tree.calls) == (depth, sum((window - 1) ** k for k in range(depth)))
    step = window - 2
    chain = Plan.of(find_scheme(f"autoregressive:window={window},step={step}"), Timeline(frames))
    assert chain.critical_path == max(1, -(-(frames - window) // step) + 1)


def test_the_paper_s_length() -> None:
    assert (16 - 1) ** 3 + 1 == 3376 and FRAMES == 344
    chain = Plan.of(find_scheme(ARMS[SLIDING][0]), Timeline(FRAMES))
    assert chain.critical_path == 57
    limits = {(e.quantity, e.less, e.more) for e in nuwa_xl.PROOF.expectations}
    assert {("sequential rounds", ARM, 3.0), ("sequential rounds", 57.0, SLIDING)} <= limits


def test_films_are_made_at_the_spacings_of_training() -> None:
    plan = Plan.of(find_scheme(ARMS[ARM][0]), Timeline(FRAMES))
    met = set()
    for step in plan.steps:
        places = sorted((*step.targets, *step.observed))
        (gap,) = {b - a for a, b in itertools.pairwise(places)}
        met.add(gap)
        assert len(places) == L
        ends = {places[0], places[-1]} if gap < SPACINGS[0] else set()
        assert set(step.observed) == ends, "the neighbours of the level above, and nothing else"
    assert met == set(SPACINGS)


def test_known_frames_reach_the_net_by_the_mask_condition_alone() -> None:
    torch.manual_seed(0)
    net = nuwa_xl.network()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.05)
    known = torch.zeros(1, L, dtype=torch.bool)
    known[:, [0, -1]] = True
    x, clean, other = (torch.randn(1, L, 8, 8, 8) for _ in range(3))
    times, text = torch.arange(L)[None] / 10, torch.zeros(1, L, WORDS)
    level = torch.full((1, L), 0.5)

    def of(x: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = net(x, level, known, times, text, clean)
        return found[:, 1:-1]

    mask = known[:, :, None, None, None]
    base = of(x, clean)
    assert torch.equal(of(torch.where(mask, other, x), clean), base)
    assert torch.equal(of(x, torch.where(mask, clean, other)), base)
    assert not torch.allclose(of(x, torch.where(mask, other, clean)), base, atol=1e-3)


def test_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    bench: Any = Bench()
    told = torch.zeros(4, FRAMES + 56, WORDS)
    monkeypatch.setattr(
        nuwa_xl, "told_takes", lambda lab, *n, **k: (lab.takes("script", *n, **k), told)
    )
    for arm, (_, spacings) in ARMS.items():
        list(nuwa_xl.learn(bench, arm, spacings))
    for step, apart in enumerate(SPACINGS):
        scene = bench.batches[ARM](step)
        assert set(np.diff(scene.latents[:, :, 0, 0, 0], axis=1).ravel()) == {apart}
        assert torch.allclose(scene.times.diff(dim=1), torch.tensor(apart / 10), atol=1e-4)
        known = scene.observed.nonzero()[:, 1].unique().tolist()
        assert known == ([] if apart == SPACINGS[0] else [0, L - 1])
        window = bench.batches[SLIDING](step)
        assert set(np.diff(window.latents[:, :, 0, 0, 0], axis=1).ravel()) == {1}
        assert window.observed.sum(1).unique().tolist()[-1] == nuwa_xl.OVERLAP
        assert not window.observed[:, nuwa_xl.OVERLAP :].any()


def test_the_published_size_stands_on_the_meta_device() -> None:
    with torch.device("meta"):
        large, small = (nuwa_xl.network(size) for size in ("paper", "proof"))
    assert 1.2e9 < sum(p.numel() for p in large.parameters()) < 1.5e9
    assert sum(p.numel() for p in small.parameters()) < 1.5e6


def test_it_is_a_system() -> None:
    system = nuwa_xl.nuwa_xl()
    assert system.stages[0].scheme.window == L and system.encoder is not None
    assert system.encoder.encode(["the Red square jumps"]).sum() == 3
