"""PixelDance: endings that are near, noisy, dropped, heard at first; and clips in a chain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from recipe_parts import Bench, check_recipe
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
from longtake.controls import Controls
from longtake.lab import scripted, tasks
from longtake.models.diffusion import Scene
from longtake.recipes import pixeldance
from longtake.recipes.pixeldance import LENGTH, MADE


def test_it_stands() -> None:
    check_recipe("pixeldance", 500, 1600)


def test_a_quarter_of_clips_has_no_ending() -> None:
    rng = np.random.default_rng(0)
    drawn = [pixeldance.masks()(rng) for _ in range(4000)]
    begun = [task for task in drawn if 0 in task.seen]
    led = [task for task in begun if LENGTH - 1 in task.seen]
    assert abs(len(begun) / 4000 - 0.9) < 0.02 and abs(len(led) / len(begun) - 0.75) < 0.03
    assert all(not task.seen for task in drawn if 0 not in task.seen)
    assert all(task.made == tuple(range(1, MADE + 1)) for task in drawn)


def test_endings_are_one_of_the_last_three_under_noise() -> None:
    torch.manual_seed(0)
    rows = 300
    place = 100 * torch.arange(LENGTH).float()[None, :, None, None, None]
    latents = place.expand(rows, -1, 8, 8, 8)
    seen = torch.zeros(rows, LENGTH, dtype=torch.bool)
    seen[:, 0] = True
    seen[:200, -1] = True
    scene = Scene(latents, seen, torch.zeros(rows, LENGTH), torch.zeros(rows, LENGTH, 0))
    soft = pixeldance.softened(scene)
    assert torch.equal(soft.latents[:, :-1], latents[:, :-1])
    assert torch.equal(soft.latents[200:], latents[200:])
    ending = soft.latents[:200, -1]
    which = (ending.mean((1, 2, 3)) / 100).round().long()
    assert set(which.tolist()) == {LENGTH - 3, LENGTH - 2, LENGTH - 1}
    spread = (ending - 100 * which[:, None, None, None]).std()
    assert abs(float(spread) - pixeldance.SOFT) < 0.02


class Led(torch.nn.Module):
    """A net that says nothing; remembers at which level it was shown an ending."""

    shape = type("Shape", (), {"text": 0})

    def __init__(self) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(()))
        self.saw: list[tuple[float, bool, bool]] = []

    def forward(self, x: Tensor, level: Tensor, observed: Tensor, *told: Tensor) -> Tensor:
        first, last = bool(observed[0, 0]), bool(observed[0, -1])
        self.saw.append((float(level.max()), first, last))
        return torch.zeros_like(x)


@pytest.mark.parametrize(("until", "share"), [(1.0, 0.5), (0.0, 1.0)])
def test_an_ending_is_heard_at_first(until: float, share: float) -> None:
    net: Any = Led()
    model = pixeldance.model_of(net, ClipSpec(LENGTH, (2, 2, 2), ""), until, 30)
    ends = Clip(torch.zeros(1, 2, 2, 2, 2), (0, LENGTH - 1))
    targets = tuple(range(1, LENGTH - 1))
    model.sample(ClipRequest(targets, ends, Controls(), Noise(0), (2, 2, 2)))
    assert all(first for _, first, _ in net.saw), "the first picture always"
    assert len(net.saw) == 30
    for strength, _, last in net.saw:
        assert last == (strength > 1 - share), "until noise and signal are as strong"


def test_clips_are_chained_by_their_last_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Tensor, Any, Tensor]] = []

    def answers(model: Any, task: Any, clip: Tensor, *, text: Tensor, **more: Any) -> Tensor:
        asked.append((clip, task, text))
        step = torch.arange(1, MADE + 1).view(1, 1, -1, 1, 1, 1)
        return (clip[None, :, :1] + step).expand(1, -1, MADE, -1, -1, -1)

    monkeypatch.setattr(tasks, "answers", answers)
    clips = 3
    first = torch.zeros(2, 1, 1, 1)
    sketches = 1000.0 + torch.arange(clips).view(1, -1, 1, 1, 1).expand(2, -1, 1, 1, 1)
    told = torch.arange(2 + clips * MADE).view(1, -1, 1).expand(2, -1, 1)
    lab: Any = type("Lab", (), {"number": lambda self, name: 0})()
    none: Any = None
    film = tasks.chained(lab, none, pixeldance.task(), first, told, interval=0.2, ends=sketches)
    assert film[0].flatten().tolist() == list(range(clips * MADE + 1))
    for n, (clip, task, text) in enumerate(asked):
        assert clip.shape[1] == LENGTH == text.shape[1] and task.seen == (0, LENGTH - 1)
        assert clip[0, 0] == n * MADE and clip[0, -1] == 1000 + n and text[0, 0] == n * MADE
    asked.clear()
    tasks.chained(lab, none, pixeldance.task(last=False), first, told, interval=0.2)
    assert len(asked) == clips and all(task.seen == (0,) for _, task, _ in asked)


def test_arms_are_trained_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    bench: Any = Bench()
    told = torch.zeros(4, 50, scripted.WORDS)
    monkeypatch.setattr(pixeldance, "told_takes", lambda lab, *n: (lab.takes("script", *n), told))
    for arm in pixeldance.PROOF.arms:
        list(pixeldance.learn(bench, arm))
    assert len(set(bench.steps.values())) == 1
    lengths = {
        arm: {scene.latents.shape[1] for step in range(8) for scene in bench.batches[arm](step)}
        for arm in bench.batches
    }
    assert lengths["no ending"] == {MADE, MADE + 1}
    assert lengths["pixeldance"] == {MADE, MADE + 1, LENGTH}
    assert lengths["strict ending"] == {MADE, LENGTH}
