"""MAGVIT: its regions, its conditions, and what each way of giving them may be told."""

from __future__ import annotations

import pytest
import torch
from family_parts import shaken
from recipe_parts import check_recipe

from longtake.lab.regions import FRAMES, TASKS, beyond, filled, given, padded, told
from longtake.models.masked import HIDDEN, HINT, KNOWN, Chances, masked_loss
from longtake.models.revealing import Confidence
from longtake.recipes import magvit


def test_the_proof_and_the_sizes() -> None:
    check_recipe("magvit", 250, 500)
    assert len(TASKS) == magvit.COUNT


@pytest.mark.parametrize("task", TASKS)
def test_what_is_not_given_is_not_seen(task: str) -> None:
    """A padded clip holds the given pixels, and does not change with the others."""
    video, known = torch.rand(2, FRAMES, 3, 64, 64), given(task)[:, None]
    other = torch.where(known, video, torch.rand_like(video))
    assert torch.equal(padded(video, task), padded(other, task))
    assert torch.equal(padded(video, task)[:, known.expand(-1, 3, -1, -1)], video[:, known.expand(-1, 3, -1, -1)])  # fmt: skip
    assert 0.2 < float(given(task).float().mean()) < 0.85
    blocks = told(task)
    assert blocks.shape == (4, 8, 8) and 0 < int(blocks.sum()) < 256
    cells = given(task).unfold(0, 4, 4).unfold(1, 8, 8).unfold(2, 8, 8).flatten(3)
    assert torch.equal(blocks, cells.any(-1))
    if not task.startswith("frame"):
        assert bool((cells.any(-1) & ~cells.all(-1)).any()), "an edge cuts no block"


class Heard(torch.nn.Module):
    """Keeps what it is shown."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net, self.shape = net, net.shape

    def forward(self, codes, places, states, text=None):
        self.codes, self.states = codes, states
        return self.net(codes, places, states, text)


def test_commit_shows_conditions_in_place_of_hidden_codes() -> None:
    codes = torch.randint(512, (2, 4, 1, 8, 8))
    whole = magvit.asked(codes, torch.tensor([3, 6]))
    assert whole.text is not None and whole.text[0, :, 3].all() and whole.text[1, :, 6].all()
    there = torch.stack([told(TASKS[n]).flatten() for n in (3, 6)])
    condition = torch.randint(512, (2, 256)).where(there, -1)
    net = Heard(magvit.network())
    masked_loss(net, whole, condition=condition)
    hinted, hidden = net.states == HINT, net.states == HIDDEN
    assert torch.equal(net.codes[hinted], condition[hinted]) and bool(hinted.any())
    assert not bool((hinted & ~there).any()) and not bool((hidden & there).any())
    own = net.states == KNOWN
    assert torch.equal(net.codes[own], whole.codes[own])


def test_codes_given_as_they_are_are_never_asked_for() -> None:
    """A net that is sure of one wrong code loses at the codes that are asked for, and there alone."""
    whole = magvit.asked(torch.zeros(1, 4, 1, 8, 8, dtype=torch.long), torch.tensor([4]))
    whole.codes[:, :100] = 7
    net = magvit.network()
    with torch.no_grad():
        net.leave.bias[0] = 50.0
    fixed = torch.zeros(1, 256, dtype=torch.bool)
    fixed[:, :100] = True
    everything = Chances(torch.zeros(1), *torch.rand(3, 1, 256))
    with torch.no_grad():
        assert float(masked_loss(net, whole, chances=everything)) > 10
        assert float(masked_loss(net, whole, chances=everything, fixed=fixed)) < 1e-3


def test_hints_may_be_changed_and_known_codes_may_not() -> None:
    net = shaken(magvit.network(), 0.3)
    shown = torch.randint(512, (1, 4, 1, 8, 8))
    there, whole = told(TASKS[2])[None, :, None], magvit.asked(shown, torch.tensor([2]))
    kept, refined = (
        filled(net, whole, TASKS[2], state, Confidence(12), seed=1) for state in (KNOWN, HINT)
    )
    assert torch.equal(kept[there], shown[there])
    assert not torch.equal(refined[there], shown[there])


def test_codes_beyond_a_region_are_counted_alone() -> None:
    """A net that says the same of every code: only the share of that code beyond the region counts."""
    net = magvit.network()
    with torch.no_grad():
        net.leave.bias[5] = 20.0
    codes = torch.where(told(TASKS[4])[None, :, None], 1, 5)
    whole = magvit.asked(codes, torch.tensor([4]))
    assert beyond(net, whole, TASKS[4], HINT, codes) < 1e-3
    assert beyond(net, whole, TASKS[4], HINT, 6 - codes) > 19
