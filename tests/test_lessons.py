"""What a step is trained on: plans, masks, pictures among films, lengths that grow, and own outputs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from test_families import SCHEME, family, moving
from torch import Tensor

from longtake.clip import Clip, ClipRequest
from longtake.controls import Controls
from longtake.errors import InputError
from longtake.schemes import find_scheme
from longtake.steps import Plan, Timeline
from longtake.train import Schedule, fit
from longtake.train.lessons import Growing, Lessons, Masked, Planned, pictures

TREE = find_scheme("hierarchy:levels=2,window=5,step=3")


def films(rng: np.random.Generator, length: int) -> tuple[Tensor, Controls]:
    """Two films whose frames are called by their numbers."""
    return torch.arange(float(length)).expand(2, 1, 1, 1, -1).permute(0, 4, 1, 2, 3), Controls()


class Marker:
    """A model whose frames are those of the truth and a hundred, and a hundred more for each made one it sees."""

    def __init__(self) -> None:
        self.asked: list[ClipRequest] = []

    def sample(self, request: ClipRequest) -> Clip:
        self.asked.append(request)
        seen = 0.0 if request.observed is None else float(request.observed.frames.max() // 100)
        told = torch.tensor(request.targets).float() + 100 * (1 + seen)
        return Clip(told.view(1, -1, 1, 1, 1).expand(2, -1, 1, 1, 1), request.targets)


@pytest.mark.parametrize("scheme", [SCHEME, TREE], ids=["chain", "tree"])
def test_lessons_are_what_the_scheme_will_ask(scheme) -> None:
    plan = Plan.of(scheme, Timeline(13))
    asked = {(step.targets, step.observed) for step in plan.steps}
    lessons, drawn = Lessons(films, {Planned(scheme): 1}, 13), set()
    for number in range(40 * len(asked)):
        request, truth = lessons(number)
        seen = request.observed
        drawn.add((request.targets, () if seen is None else seen.at))
        for clip in (truth, *([] if seen is None else [seen])):
            assert clip.frames[0].flatten().tolist() == list(clip.at), "the film itself"
        assert truth.at == request.targets
    assert drawn == asked


@pytest.mark.parametrize("own", [1, 2])
def test_own_outputs_are_observed_where_the_plan_says(own: int) -> None:
    """A chain whose calls observe the two frames before: made, by the model, out of what it made."""
    model = Marker()
    lessons = Lessons(films, {Planned(SCHEME, own): 1}, 10, model)
    depths = Counter()
    for number in range(60):
        model.asked.clear()
        request, truth = lessons(number)
        begin = request.targets[0]
        depth = min(own, 0 if begin == 0 else (begin - 4) // 2 + 1)
        depths[depth] += 1
        assert len(model.asked) == depth
        assert truth.frames[0].flatten().tolist() == list(truth.at), "the truth stays"
        if depth:
            assert request.observed.at == (begin - 2, begin - 1)
            assert (request.observed.frames // 100).unique().tolist() == [float(depth)]
            assert torch.equal(lessons(number)[0].observed.frames, request.observed.frames)
        for earlier in model.asked[:1]:
            if earlier.observed is not None:
                assert float(earlier.observed.frames.max()) < 100, "the first observes the film"
    assert set(depths) == set(range(own + 1))
    with pytest.raises(InputError, match="model"):
        [Lessons(films, {Planned(SCHEME, 1): 1}, 10)(n) for n in range(9)]


def test_masks_and_shares() -> None:
    masked = Masked(3, alone=0.25)
    lessons = Lessons(films, {masked: 3.0, pictures: 1.0}, 6)
    counts = Counter()
    for number in range(800):
        request, _ = lessons(number)
        seen = () if request.observed is None else request.observed.at
        single = request.targets == (0,) and not seen
        counts["picture" if single else len(seen)] += 1
        assert single or sorted((*seen, *request.targets)) == list(range(6))
    assert 160 <= counts["picture"] <= 240
    assert 110 <= counts[0] <= 190 and set(counts) == {"picture", 0, 1, 2, 3}
    assert all(110 <= counts[n] <= 190 for n in (1, 2, 3))


def test_a_stretch_of_a_longer_film() -> None:
    lessons, begins = Lessons(films, {Masked(2, window=3): 1}, 6), set()
    for number in range(60):
        request, truth = lessons(number)
        begins.add(request.at[0])
        assert request.at == tuple(range(request.at[0], request.at[0] + 3))
        assert truth.frames[0].flatten().tolist() == list(request.targets)
    assert begins == {0, 1, 2, 3}


def test_films_grow() -> None:
    growing = Growing(((0, 4), (10, 8), (25, 16)))
    lessons = Lessons(films, {Masked(2): 1}, growing)
    lengths = [len(lessons(n)[0].at) for n in range(40)]
    assert lengths == [4] * 10 + [8] * 15 + [16] * 15
    for stages in ((), ((1, 4),), ((0, 4), (0, 8))):
        with pytest.raises(InputError, match="stages"):
            Growing(stages)
    with pytest.raises(InputError, match="shares"):
        Lessons(films, {pictures: 0.0}, 4)
    with pytest.raises(InputError, match="role 'none'"):
        Lessons(films, {Planned(SCHEME, role="none"): 1}, 10)(0)


@pytest.mark.parametrize("name", ["diffusion", "tokens"])
def test_killed_amid_own_outputs_it_resumes_to_the_bit(name: str, tmp_path: Path) -> None:
    """Pictures, masks and rollouts in one training; lengths grow; the model samples with the weights of the moment."""
    schedule = Schedule(10, rate=5e-3, warmup=1, save_every=3, log_every=1)

    def trained(folder: str, stop: int = 99):
        made = family(name)

        def clips(rng: np.random.Generator, length: int) -> tuple[Tensor, Controls]:
            video = moving(int(rng.integers(10**6)), 2).repeat(1, 2, 1, 1, 1)[:, :length]
            return made.codec.encode(video), Controls()

        shares = {Planned(SCHEME, own=1): 0.6, Masked(2, window=4): 0.2, pictures: 0.2}
        growing = Growing(((0, 4), (3, 8)))
        lessons = Lessons(clips, shares, growing, made.model, interval=0.4)
        modes = []

        def batch(number: int):
            if number == stop:
                raise KeyboardInterrupt
            found = lessons(number)
            modes.append(made.net.training)
            return found

        try:
            list(fit(made.net, lambda p: made.losses(*p), batch, schedule, tmp_path / folder))
        except KeyboardInterrupt:
            pass
        assert all(modes)
        return made.net

    straight = trained("straight")
    trained("cut", 8)
    resumed = trained("cut")
    for (key, one), other in zip(
        straight.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), key
