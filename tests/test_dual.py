"""Dual-channel mixing: at first the net of pictures, exactly; then frames that know of each other."""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path

import pytest
import torch
from family_parts import codes, request, shaken

from longtake.clip import Clip, ClipSpec
from longtake.models.framed import FramedTokenModel, FrameReader
from longtake.models.sheets import sheet
from longtake.models.tokens import TokenModel
from longtake.nets.dual import DualGPT
from longtake.nets.gpt import GPT
from longtake.nets.tokens import RelativeBias, TokenShape
from longtake.train import Schedule, fit

SHAPE = TokenShape(codes=5, width=32, blocks=2, head=16, text=3)
SPEC = ClipSpec(8, (1, None, None), "test", codes=5)


def pictures() -> GPT:
    torch.manual_seed(0)
    return shaken(GPT(SHAPE))


def mixed(net: DualGPT, to: float = 0.4) -> DualGPT:
    """Its channels apart, both heard."""
    generator = torch.Generator().manual_seed(3)
    for block in net.blocks:
        block.alpha.data.fill_(to)
        for p in block.new.parameters():
            p.data.add_(0.2 * torch.randn(p.shape, generator=generator))
    return net


@pytest.mark.parametrize("observed", [(), (0, 9), (5,)])
def test_at_first_every_frame_is_the_net_of_pictures(observed: tuple[int, ...]) -> None:
    seen = Clip(codes(len(observed), samples=2), observed) if observed else None
    truth = Clip(codes(2, seed=1, samples=2), (4, 6))
    flat = TokenModel(pictures(), SPEC)
    film = FramedTokenModel(DualGPT(pictures()), SPEC)
    with torch.no_grad():
        found = film.log_chances(request((4, 6), seen, samples=(0, 1)), truth)
        alone = [
            flat.log_chances(request((n,), samples=(0, 1)), truth.pick((n,))) for n in truth.at
        ]
    torch.testing.assert_close(found, torch.cat(alone, 1), atol=1e-5, rtol=0)
    assert found.std() > 0.1
    mixed(film.net)
    with torch.no_grad():
        other = film.log_chances(request((4, 6), seen, samples=(0, 1)), truth)
    assert (other - found).abs().max() > 0.05


@pytest.mark.parametrize("observed", [(), (0, 1), (3, 9)])
def test_cached_logits_are_the_uncached(observed: tuple[int, ...]) -> None:
    seen = Clip(codes(2, samples=2), observed) if observed else None
    truth = Clip(codes(2, seed=1, samples=2), (4, 6))
    net = mixed(DualGPT(pictures()))
    whole = sheet(request((4, 6), seen, samples=(0, 1)), SPEC, truth)
    told = truth.frames.flatten(1)
    with torch.no_grad():
        plain = FrameReader(net, whole, torch.device("cpu")).all(told)
        reader = FrameReader(net, whole, torch.device("cpu"))
        before = torch.cat([torch.full((2, 1), net.begin), told[:, :-1]], 1)
        cached = torch.stack([reader.next(token) for token in before.split(1, 1)], 1)
    assert plain.std() > 0.1
    torch.testing.assert_close(cached, plain, atol=1e-5, rtol=0)


def test_nobody_looks_ahead_and_what_is_observed_is_heard_whole() -> None:
    net = mixed(DualGPT(pictures()))
    film = FramedTokenModel(net, SPEC)
    seen = Clip(codes(2), (0, 9))
    truth = codes(2, seed=1)
    asked = request((4, 6), seen)
    with torch.no_grad():
        base = film.log_chances(asked, Clip(truth, (4, 6)))
        for place in range(6, 12):
            other = truth.flatten(1).clone()
            other[:, place] = (other[:, place] + 1) % 5
            found = film.log_chances(asked, Clip(other.view_as(truth), (4, 6)))
            torch.testing.assert_close(found[:, :place], base[:, :place], atol=1e-6, rtol=0)
            if place < 11:
                assert (found[:, place + 1 :] - base[:, place + 1 :]).abs().max() > 1e-4
        for place in range(12):  # the last token of an observed frame too
            other = seen.frames.flatten(1).clone()
            other[:, place] = (other[:, place] + 1) % 5
            moved = request((4, 6), Clip(other.view_as(seen.frames), seen.at))
            found = film.log_chances(moved, Clip(truth, (4, 6)))
            assert (found - base)[:, 0].abs().max() > 1e-6, place
        # the last token of a target's frame is heard in the next
        other = truth.flatten(1).clone()
        other[:, 5] = (other[:, 5] + 1) % 5
        found = film.log_chances(asked, Clip(other.view_as(truth), (4, 6)))
        assert (found - base)[:, 6:].abs().max() > 1e-4


def test_conditionals_multiply_to_a_joint() -> None:
    """Over all clips of two frames of one place, p sums to 1."""
    every = torch.tensor(list(itertools.product(range(5), repeat=2)))
    seen = Clip(codes(1, frame=(1, 1, 1)).expand(25, -1, -1, -1, -1), (2,))
    asked = request((1, 3), seen, frame=(1, 1, 1), samples=tuple(range(25)))
    film = FramedTokenModel(mixed(DualGPT(pictures())), SPEC)
    with torch.no_grad():
        parts = film.log_chances(asked, Clip(every.view(25, 2, 1, 1, 1), (1, 3)))
    assert float(parts.sum(1).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_samples_are_clips_of_codes() -> None:
    film = FramedTokenModel(mixed(DualGPT(pictures())), SPEC)
    asked = request((4, 6), Clip(codes(1, samples=2), (0,)), samples=(0, 1))
    one, other = film.sample(asked), film.sample(asked)
    assert one.frames.shape == (2, 2, 1, 2, 3) and one.at == (4, 6)
    assert torch.equal(one.frames, other.frames)


def test_only_the_new_channel_learns(tmp_path: Path) -> None:
    """A second frame that repeats the first: the frozen net alone cannot know, the mixed one learns it."""
    net = DualGPT(pictures())
    net.freeze_pictures()
    film, before = FramedTokenModel(net, SPEC), copy.deepcopy(net.state_dict())

    def batch(step: int):
        first = codes(1, seed=step, samples=16)
        return request((1,), Clip(first, (0,)), samples=tuple(range(16))), Clip(first, (1,))

    schedule = Schedule(80, rate=2e-2, warmup=5, ema=0.5, save_every=10**6)
    lines = list(fit(net, lambda pair: film.losses(*pair), batch, schedule, tmp_path))
    with torch.no_grad():
        far = float(film.losses(*batch(10_001))["tokens"].mean())
    assert far < 0.8 * math.log(5), "without the first frame nobody knows better than log 5"
    assert lines
    for name, value in net.state_dict().items():
        new = ".new." in name or name.endswith("alpha")
        assert new or torch.equal(value, before[name]), name
    assert any(float(block.alpha.detach().min()) < 0.98 for block in net.blocks)


def test_a_share_pushed_against_its_bound_comes_back() -> None:
    block = DualGPT(pictures()).blocks[0]
    block.alpha.data.fill_(1.3)
    x, turns, mask = torch.randn(1, 2, 32), torch.zeros(1, 2, 8), torch.ones(2, 2, dtype=torch.bool)
    made = block(x, turns, turns, mask, mask)
    torch.testing.assert_close(made, block.base(x, turns, turns, mask), atol=1e-6, rtol=0)
    mixed(DualGPT(pictures()))
    block.new.out.weight.data.mul_(-1)
    (grad,) = torch.autograd.grad(block(x, turns, turns, mask, mask).square().sum(), block.alpha)
    assert grad.abs().min() > 0
    with pytest.raises(ValueError, match="bias"):
        DualGPT(GPT(SHAPE, RelativeBias(2)))
