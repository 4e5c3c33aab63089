"""A critic beside a masked model: what it takes back, what it keeps, and that it learns to tell."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from family_parts import codes, request, shaken
from test_masked import FILMS, NOISE, TOKENS, apart, exact, joint
from torch import Tensor

from longtake.clip import Clip, ClipSpec
from longtake.errors import FitError
from longtake.models.criticised import Criticised
from longtake.models.picking import Picking
from longtake.models.revealing import Confidence, criticised
from longtake.nets.masked import MaskedTransformer, TokenCritic
from longtake.nets.tokens import TokenShape
from longtake.train import Schedule, fit

SHAPE = TokenShape(codes=5, width=32, blocks=2, head=16)
SPEC = ClipSpec(8, (1, None, None), "test", codes=5)


def drawn(judge, steps: int, known: Tensor | None = None) -> Tensor:
    """Films under the known joint's conditionals, as shares of all 16."""
    generator = torch.Generator().manual_seed(0)
    start = torch.zeros(FILMS, TOKENS, dtype=torch.long)
    known = torch.zeros_like(start).bool() if known is None else known.expand(FILMS, -1)
    chance = lambda use: torch.rand(FILMS, TOKENS, generator=generator)  # noqa: E731
    order = Confidence(steps, spread=0.0)
    found = criticised(exact(joint()), judge, start, known, order, Picking(), chance)
    return torch.bincount(found @ torch.tensor([8, 4, 2, 1]), minlength=16).double() / FILMS


def by_place(found: Tensor) -> Tensor:
    return torch.tensor([3.0, 1.0, 4.0, 2.0]).expand(found.shape)


def test_a_critic_of_places_is_a_chain_rule() -> None:
    """One token a step, whatever its draw: the joint. All at once: not."""
    assert apart(drawn(by_place, TOKENS), joint()) < NOISE
    assert apart(drawn(by_place, 1), joint()) > 3 * NOISE


def test_known_tokens_are_never_taken_back() -> None:
    law, hates = joint(), lambda found: -by_place(found) * 1e6
    law[1] = 0
    found = drawn(hates, TOKENS, torch.tensor([True, False, False, False]))
    assert float(found[8:].sum()) == 0
    assert apart(found, law / law.sum()) < NOISE


def test_what_was_decided_is_taken_back() -> None:
    """A critic that hates ones makes a model of coins end with nearly none; confidence could not know."""
    coins = lambda given, known: torch.zeros(*given.shape, 2)  # noqa: E731
    generator = torch.Generator().manual_seed(0)
    chance = lambda use: torch.rand(500, 24, generator=generator)  # noqa: E731
    start, known = torch.zeros(500, 24).long(), torch.zeros(500, 24).bool()
    order = Confidence(24, spread=0.0)
    picked = criticised(coins, lambda x: -x.float(), start, known, order, Picking(), chance)
    plain = order(coins, start, known, Picking(), chance)
    assert float(picked.float().mean()) < 0.1 < 0.45 < float(plain.float().mean()) < 0.55


def test_it_learns_to_tell_and_improves_what_is_made(tmp_path: Path) -> None:
    """Clips of one code throughout; the model knows nothing of them, its critic learns them."""
    torch.manual_seed(0)
    model = Criticised(
        MaskedTransformer(SHAPE), TokenCritic(SHAPE), SPEC, order=Confidence(12, spread=0.5)
    )
    before = {name: p.clone() for name, p in model.net.state_dict().items()}
    samples = tuple(range(16))

    def batch(step: int):
        rng = torch.Generator().manual_seed(step)
        code = torch.randint(5, (16, 1, 1, 1, 1), generator=rng).expand(16, 3, 1, 2, 3)
        first = Clip(code[:, :1], (0,))
        return request((1, 2), first, samples=samples, seed=step), Clip(code[:, 1:], (1, 2))

    def hits() -> float:
        asked, truth = batch(10_001)
        return float((model.sample(asked).frames == truth.frames).float().mean())

    blind = hits()
    schedule = Schedule(90, rate=1e-2, warmup=5, ema=0.8, save_every=10**6, log_every=10)
    curve = list(fit(model.critic, lambda pair: model.losses(*pair), batch, schedule, tmp_path))
    assert curve[-1].losses["critic"] < 0.6 * curve[0].losses["critic"]
    assert all(torch.equal(p, before[name]) for name, p in model.net.state_dict().items())
    assert blind < 0.35 and hits() > blind + 0.2


def test_samples_belong_to_the_request() -> None:
    torch.manual_seed(0)
    net, critic = shaken(MaskedTransformer(SHAPE)), shaken(TokenCritic(SHAPE))
    model = Criticised(net, critic, SPEC, order=Confidence(4))
    asked = request((4, 6), Clip(codes(1, samples=2), (5,)), samples=(0, 1))
    one = model.sample(asked)
    assert one.frames.shape == (2, 2, 1, 2, 3) and torch.equal(
        one.frames, model.sample(asked).frames
    )
    both = model.sample_batch([asked, request((4, 6), asked.observed, samples=(2, 3))])
    assert torch.equal(both[0].frames, one.frames)
    with pytest.raises(FitError, match="critic of 7"):
        Criticised(net, TokenCritic(TokenShape(codes=7)), SPEC)
