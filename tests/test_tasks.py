"""Tasks by mask: scenes, answers, blocks for nets of fixed slots, frames put back, captions, readings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake import worlds
from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
from longtake.controls import Controls
from longtake.errors import InputError
from longtake.lab import measures, scripted, tasks
from longtake.lab.takes import Takes
from longtake.lab.tasks import Task
from longtake.models.gaussian import GaussianModel, OrnsteinUhlenbeck
from longtake.models.replacing import ReplacingModel
from longtake.models.samplers import Sampling
from longtake.models.wrappers import InBlocks


def numbered(count: int = 3, frames: int = 20) -> Takes:
    """Takes whose frame f of take n holds 100 n + f."""
    number = 100 * torch.arange(count)[:, None] + torch.arange(frames)
    return Takes(number[..., None, None, None].float().expand(-1, -1, 2, 2, 2), {}, ())


def test_scenes_hold_what_tasks_say() -> None:
    kinds = (Task((2, 3)), Task((2, 3), (0, 1)), Task((1, 2), (0, 3)))
    asked: list[Task] = []

    def masks(rng: np.random.Generator) -> Task:
        asked.append(kinds[int(rng.integers(3))])
        return asked[-1]

    text = numbered().latents[..., :1, 0, 0] + torch.tensor([1.0])
    batch = tasks.scenes(
        numbered(), masks, seed=1, rows=40, length=4, interval=0.5, text=text, untold=0.25
    )
    scenes, first = batch(7), list(asked)
    assert [scene.latents.shape[1] for scene in scenes] == [2, 4]
    assert sum(len(scene.latents) for scene in scenes) == 40
    for scene in scenes:
        own = [task for task in first if len(task.at) == scene.latents.shape[1]]
        for row, task in enumerate(own):
            assert scene.observed[row].tolist() == [place in task.seen for place in task.at]
            assert scene.times[row].tolist() == [place / 2 for place in task.at]
            value = scene.latents[row, :, 0, 0, 0]
            assert (value - value[0]).tolist() == [place - task.at[0] for place in task.at]
            assert scene.text[row, 0, 0] in (0, value[0] + 1)
    told = torch.cat([scene.text[:, 0, 0] != 0 for scene in scenes]).float().mean()
    assert 0.5 < told < 0.95
    again = batch(7)
    assert torch.equal(again[1].latents, scenes[1].latents)
    assert not torch.equal(batch(8)[1].latents[:5], scenes[1].latents[:5])


def test_answers_are_the_model_s_and_the_best_is_counted() -> None:
    law = GaussianModel(OrnsteinUhlenbeck(scale=5.0), (3, 8, 8), window=4)
    task = Task.among(4, (0, 3))
    assert (task.made, task.seen, task.at) == ((1, 2), (0, 3), (0, 1, 2, 3))
    clips = torch.randn(5, 4, 3, 8, 8)
    made = tasks.answers(law, task, clips, seed=4, interval=1.0, tries=2)
    assert made.shape == (2, 5, 2, 3, 8, 8) and not torch.allclose(made[0], made[1])
    alone = law.sample(
        ClipRequest((1, 2), Clip(clips[1:2, [0, 3]], (0, 3)), Controls(), Noise(4), (3, 8, 8), (6,))
    )
    torch.testing.assert_close(made[1, 1], alone.frames[0])
    whole = tasks.filled(task, made[0], clips)
    assert torch.equal(whole[:, [0, 3]], clips[:, [0, 3]])
    assert torch.equal(whole[:, [1, 2]], made[0])


class Plain:
    """Latents are pictures."""

    spec: Any = None

    def __init__(self) -> None:
        from longtake.clip import CodecSpec

        self.spec = CodecSpec(3, 1, 1, (0, 0), "plain")

    def decode(self, latents: Tensor) -> Tensor:
        return latents


def test_the_best_try_of_every_clip() -> None:
    truth = torch.zeros(2, 1, 3, 8, 8, dtype=torch.uint8)
    off = torch.tensor([[51.0, 102.0], [153.0, 25.5]])[..., None, None, None, None] / 255
    made = off.expand(2, 2, 1, 3, 8, 8)
    best = [-20 * np.log10(error / 255) for error in (51, 26)]  # 25.5 is rounded to 26
    assert tasks.best_psnr(Plain(), made, truth) == pytest.approx(np.mean(best))


@dataclasses.dataclass
class Recorder:
    """Targets are ten times their index; remembers what it was asked."""

    asked: list[tuple[tuple[int, ...], tuple[int, ...]]]
    spec = ClipSpec(11, (1, 1, 1), "recorder")

    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        return [self.sample(request) for request in requests]

    def sample(self, request: ClipRequest) -> Clip:
        seen = request.observed.at if request.observed else ()
        self.asked.append((request.targets, seen))
        frames = 10 * torch.tensor(request.targets).float()[None, :, None, None, None]
        return Clip(frames, request.targets)


@pytest.mark.parametrize(
    ("targets", "observed", "asked"),
    [
        (range(7), (), [((0, 1, 2), ()), ((3, 4, 5), (1, 2)), ((6,), (4, 5))]),
        ((2, 3, 4, 5), (0, 1, 6, 7, 8), [((2, 3, 4), (0, 1)), ((5,), (3, 4, 6, 7))]),
        ((1, 3), (0, 2, 4), [((1,), (0, 2)), ((3,), (1, 2, 4))]),
        ((3, 1), (0, 4), [((1, 3), (0, 4))]),
        ((0, 1), (2, 3, 4), [((0, 1), (2, 3))]),
    ],
)
def test_blocks_never_hold_what_is_known(
    targets: Sequence[int], observed: tuple[int, ...], asked: Any
) -> None:
    model = Recorder([])
    seen = Clip(torch.zeros(1, len(observed), 1, 1, 1), observed) if observed else None
    request = ClipRequest(tuple(targets), seen, Controls(), Noise(0), (1, 1, 1))
    made = InBlocks(model, 3, 2, 2).sample(request)
    assert made.at == tuple(targets)
    assert made.frames.flatten().tolist() == [10 * index for index in targets]
    trimmed = [(block, known[-len(known) :]) for block, known in model.asked]
    assert [block for block, _ in trimmed] == [block for block, _ in asked]
    for (_, known), (block, wanted) in zip(trimmed, asked, strict=True):
        before = [i for i in wanted if i < block[0]][-2:]
        after = [i for i in wanted if i > block[-1]][:2]
        assert list(known) == [*before, *after]


def test_blocks_have_a_print_of_their_own() -> None:
    prints = {
        InBlocks(Recorder([]), *n).spec.fingerprint for n in ((3, 2, 2), (3, 2, 1), (4, 2, 2))
    }
    assert len(prints) == 3
    with pytest.raises(InputError, match="blocks of 0"):
        InBlocks(Recorder([]), 0, 2, 2)


class Blind(torch.nn.Module):
    """The velocity to a picture of zeros; remembers what it saw."""

    shape = type("Shape", (), {"text": 0})

    def __init__(self) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(()))
        self.saw: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(
        self, x: Tensor, level: Tensor, observed: Tensor, times: Tensor, text: Tensor, clean: Tensor
    ) -> Tensor:
        self.saw.append((x, level, observed))
        return x / level[:, :, None, None, None].clamp(min=1e-9)


def test_what_is_put_back_stands_at_every_level() -> None:
    net = Blind()
    model = ReplacingModel(net, ClipSpec(4, (2, 2, 2), ""), Sampling(steps=4))
    known = Clip(torch.full((1, 2, 2, 2, 2), 3.0), (0, 2))
    request = ClipRequest((1, 3), known, Controls(), Noise(5), (2, 2, 2))
    made = model.sample(request)
    assert made.at == (1, 3) and torch.allclose(made.frames, torch.zeros(1, 2, 2, 2, 2), atol=1e-6)
    noise = Noise(5).clip((0,), (0, 1, 2, 3), (2, 2, 2))
    assert [float(level[0, 0]) for _, level, _ in net.saw] == [1.0, 0.75, 0.5, 0.25]
    for x, level, observed in net.saw:
        sigma = float(level[0, 0])
        assert (level == sigma).all() and not observed.any(), "it is not told which are known"
        wanted = (1 - sigma) * 3.0 + sigma * noise[:, [0, 2]]
        torch.testing.assert_close(x[:, [0, 2]], wanted)
        torch.testing.assert_close(x[:, [1, 3]], sigma * noise[:, [1, 3]])


def test_captions_are_their_words() -> None:
    assert len(scripted.vocabulary()) == scripted.WORDS == len(set(scripted.vocabulary()))
    rows = scripted.Words().encode(
        ["the red square moves left", "Purple star hops!", "nothing moves"]
    )
    said = [{scripted.vocabulary()[n] for n in row.nonzero()[:, 0]} for row in rows]
    assert said == [{"red", "square", "moves", "left"}, {"purple", "star", "jumps"}, {"moves"}]
    world = worlds.make("script", seed=3, size=(64, 64))
    for place in range(0, 200, 10):
        event, row = world.event(place), scripted.Words().encode([world.caption(place)])[0]
        assert row[:5].sum() == (event is not None and event.verb != "waits")


def test_readings_tell_the_world_from_anything_else() -> None:
    torch.manual_seed(0)
    script = worlds.make("script", seed=1, size=(64, 64)).render(range(0, 40, 4))[None]
    digits = worlds.make("digits", seed=1, size=(64, 64)).render(range(0, 40, 4))[None]
    noise = torch.randint(0, 256, (1, 10, 3, 64, 64), dtype=torch.uint8)
    blots = torch.nn.functional.interpolate(torch.rand(10, 3, 8, 8) * 255, scale_factor=8.0)
    walker = worlds.make("walker", size=(64, 64)).render(range(0, 40, 4))[None]
    assert measures.actors_read(script) == measures.digits_read(digits) == 1
    for other in (noise, blots.byte()[None], walker):
        assert measures.actors_read(other) == measures.digits_read(other) == 0
    assert measures.actors_read(digits) == measures.digits_read(script) == 0
    half = torch.cat([script, noise], 1)
    assert measures.actors_read(half, last=20) == 0.5 and measures.actors_read(half, last=10) == 0


def test_who_moves_most() -> None:
    world = worlds.make(
        "script", size=(64, 64), text="red square waits; yellow star waits; yellow star moves right"
    )
    films = torch.stack([world.render(range(0, 24)), world.render(range(50, 74))])
    which, far = measures.movers(films)
    assert which[1] == 1 and far[1] > 0.2 and far[0] < 0.05


def test_evenness() -> None:
    ramp = torch.arange(11).float()[None, :, None, None, None].expand(1, 11, 3, 4, 4).clone()
    assert measures.unevenness(ramp) == pytest.approx(1)
    ramp[:, 5:] += 10
    assert measures.unevenness(ramp) == pytest.approx(11 / 2)
