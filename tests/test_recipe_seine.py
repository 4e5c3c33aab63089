"""SEINE: Bernoulli masks, five tasks, captions beside the frames, and the cross-fade."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from recipe_parts import Bench, check_recipe

from longtake.lab import scripted
from longtake.lab.tasks import always
from longtake.recipes import seine


def test_it_stands() -> None:
    check_recipe("seine", 500, 1600)


def test_every_frame_is_known_by_itself() -> None:
    rng = np.random.default_rng(0)
    drawn = [seine.masks(rng) for _ in range(4000)]
    known = np.array([[place in task.seen for place in range(16)] for task in drawn])
    assert (abs(known.mean(0) - seine.KNOWN) < 0.03).all()
    apart = np.corrcoef(known.T) - np.eye(16)
    assert abs(apart).max() < 0.08, "independent of one another"
    assert all(task.made for task in drawn)
    short = {seine.prefixes(rng).seen for _ in range(200)}
    assert short == {tuple(range(count)) for count in range(5)}


def test_a_fade_goes_from_end_to_end() -> None:
    clips = torch.randn(2, 16, 3, 2, 2)
    faded = seine.crossfade(clips)
    torch.testing.assert_close(faded[:, [0, -1]], clips[:, [0, -1]])
    steps = faded.diff(dim=1)
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))


def test_batches_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    bench: Any = Bench()
    told = torch.rand(4, 50, scripted.WORDS)
    monkeypatch.setattr(seine, "told_takes", lambda lab, *n: (lab.takes("script", *n), told))
    list(seine.learn(bench))
    for name, task in seine.tasks().items():
        list(seine.learn(bench, name, always(task), seine.STEPS // len(seine.SEEN)))
    assert sum(bench.steps[name] for name in seine.SEEN) == bench.steps["seine"]
    (scene,) = bench.batches["seine"](0)
    heard = scene.text.flatten(1).any(1)
    places = scene.latents[:, :, 0, 0, 0].long()
    for row in torch.nonzero(heard)[:, 0]:
        assert any(torch.equal(scene.text[row], told[n, places[row]]) for n in range(4))
    (scene,) = bench.batches["transition"](1)
    assert scene.observed.nonzero()[:, 1].unique().tolist() == [0, 15]
    assert torch.allclose(scene.times[0].diff(), torch.tensor(1 / scripted.FPS))
