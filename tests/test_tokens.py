"""The token family: the chain rule, the cache, rotary places, how codes are picked, what a model may see."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from family_parts import codes, request, shaken

from longtake.clip import Clip, ClipSpec
from longtake.controls import Controls
from longtake.errors import FitError, InputError
from longtake.models.picking import Picking, pick
from longtake.models.sheets import sheet
from longtake.models.tokens import Reader, TokenModel
from longtake.nets.gpt import GPT, product
from longtake.nets.rotary import by_parts, frequencies, shares
from longtake.nets.tokens import (
    RelativeBias,
    TokenShape,
    causal,
    nearby,
    prefix_causal,
)

SHAPE = TokenShape(codes=5, width=32, blocks=2, head=16, text=3)


def model(shape: TokenShape = SHAPE, bias: bool = False, **picking: float) -> TokenModel:
    torch.manual_seed(0)
    net = GPT(shape, RelativeBias(shape.width // shape.head) if bias else None)
    spec = ClipSpec(8, (1, None, None), "test", codes=shape.codes)
    return TokenModel(shaken(net), spec, Picking(**picking))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("observed", [(), (0, 1), (3, 9)])
def test_cached_logits_are_the_uncached(observed: tuple[int, ...], bias: bool) -> None:
    """One token at a time with the cache, against one pass over everything."""
    seen = Clip(codes(2, samples=2), observed) if observed else None
    asked = request((4, 6), seen, samples=(0, 1))
    truth = Clip(codes(2, seed=1, samples=2), (4, 6))
    gpt = model(bias=bias).net
    whole = sheet(asked, ClipSpec(8, (1, None, None), "", codes=5), truth)
    tokens = torch.cat([torch.full((2, 1), gpt.begin), truth.frames.flatten(1)[:, :-1]], 1)
    with torch.no_grad():
        plain = Reader(gpt, whole, torch.device("cpu")).all(tokens)
        reader = Reader(gpt, whole, torch.device("cpu"))
        cached = torch.stack([reader.next(token) for token in tokens.split(1, 1)], 1)
    assert plain.std() > 0.1
    torch.testing.assert_close(cached, plain, atol=1e-5, rtol=0)


def test_conditionals_multiply_to_a_joint() -> None:
    """Over all clips of two frames of one place, p sums to 1; and samples follow it."""
    asked = request((1, 3), Clip(codes(1, frame=(1, 1, 1)), (2,)), frame=(1, 1, 1))
    every = torch.tensor(list(itertools.product(range(5), repeat=2)))
    law = model()
    clips = Clip(every.view(25, 2, 1, 1, 1), (1, 3))
    seen = Clip(asked.observed.frames.expand(25, -1, -1, -1, -1), (2,))
    wide = dataclasses.replace(asked, samples=tuple(range(25)), observed=seen)
    with torch.no_grad():
        parts = law.log_chances(wide, clips)
    joint = parts.sum(1).exp()
    assert float(joint.sum()) == pytest.approx(1, abs=1e-5)
    assert float(joint.max() / joint.min()) > 3, "a law worth testing"
    first = parts[:, 0].exp().view(5, 5)  # says nothing of the token after it
    torch.testing.assert_close(first, first[:, :1].expand(-1, 5))

    count = 4000
    seen = Clip(asked.observed.frames.expand(count, -1, -1, -1, -1), (2,))
    made = law.sample(dataclasses.replace(asked, samples=tuple(range(count)), observed=seen))
    index = made.frames.flatten(1) @ torch.tensor([5, 1])
    found = torch.bincount(index, minlength=25) / count
    apart = float((found - joint).abs().sum() / 2)
    assert apart < 1.5 * math.sqrt(25 / count), "total variation of 4000 draws"


def test_only_differences_of_places_matter() -> None:
    gpt, n = model(bias=True).net, 6
    tokens, places = (
        codes(1).flatten(1),
        torch.rand(1, n, 3, generator=torch.Generator().manual_seed(3)) * 9,
    )
    places, text = places.round(), torch.randn(1, n, 3)
    with torch.no_grad():
        here = gpt(tokens, places, places + 1, text)
        there = gpt(
            tokens, places + torch.tensor([40.0, 3, 7]), places + torch.tensor([41.0, 4, 8]), text
        )
        farther = gpt(tokens, places * 2, places * 2 + 1, text)
    torch.testing.assert_close(here, there, atol=2e-4, rtol=1e-4)
    assert not torch.allclose(here, farther, atol=1e-2)


def test_a_model_starts_at_any_index() -> None:
    seen, late = Clip(codes(1), (3,)), Clip(codes(1), (1003,))
    one = model().sample(request((4, 6), seen)).frames
    truth = Clip(one, (4, 6)), Clip(one, (1004, 1006))
    with torch.no_grad():
        here = model().log_chances(request((4, 6), seen), truth[0])
        there = model().log_chances(request((1004, 1006), late), truth[1])
    assert torch.equal(here, there)


def test_stretched_places_turn_as_the_learned_ones() -> None:
    for pairs in (4, 8):
        plain, wide = frequencies(pairs, 100.0), frequencies(pairs, 100.0, stretch=4.0)
        assert float(wide[0]) == float(plain[0]) == 1.0
        assert float(wide[-1] * 4) == pytest.approx(float(plain[-1]))
        assert bool((wide[1:] < plain[1:]).all())
        parts = by_parts(pairs, 100.0, 4.0, length=64.0)
        assert float(parts[-1] * 4) == pytest.approx(float(plain[-1]), rel=0.02)
        assert bool((parts <= plain).all()) and bool((parts >= plain / 4 - 1e-9).all())
    assert float(by_parts(8, 100.0, 4.0, length=1000.0)[0]) == 1.0  # 159 turns: kept
    assert shares(16, 3) == (8, 4, 4) and shares(8, 1) == (8,)
    long = dataclasses.replace(SHAPE, stretch=(4.0, 1.0, 1.0))
    assert not torch.equal(long.turns(torch.ones(1, 1, 3)), SHAPE.turns(torch.ones(1, 1, 3)))


def test_nobody_looks_ahead() -> None:
    law, asked = model(), request((1, 2), Clip(codes(1), (0,)))
    truth = codes(2, seed=4)
    other = truth.clone()
    other[0, 1, 0, 0, 1] = (other[0, 1, 0, 0, 1] + 1) % 5  # token 7 of the targets
    with torch.no_grad():
        one, two = (law.log_chances(asked, Clip(x, (1, 2)))[0] for x in (truth, other))
    torch.testing.assert_close(one[:7], two[:7])
    assert bool(((one[8:] - two[8:]).abs() > 1e-4).all()), "and everybody after it sees it"


@pytest.mark.parametrize("change", ["codes", "prompt", "place"])
def test_what_is_observed_is_heard(change: str) -> None:
    law, seen, truth = model(), Clip(codes(2), (0, 1)), Clip(codes(1, seed=9), (3,))
    other = {
        "codes": request((3,), Clip((codes(2) + 1) % 5, (0, 1))),
        "prompt": request((3,), seen, prompt="xyz"),
        "place": request((3,), Clip(codes(2), (0, 2))),
    }[change]
    with torch.no_grad():
        one, two = law.log_chances(request((3,), seen), truth), law.log_chances(other, truth)
    assert not torch.allclose(one, two, atol=1e-3)


def test_order_company_and_batches_change_nothing() -> None:
    law = model()
    asked = request((6, 5), Clip(codes(1, samples=2), (7,)), samples=(0, 7))
    both = law.sample(asked)
    assert both.at == (6, 5) and both.frames.dtype == torch.int64
    straight = law.sample(dataclasses.replace(asked, targets=(5, 6)))
    assert torch.equal(straight.pick((6, 5)).frames, both.frames)
    one = dataclasses.replace(asked, samples=(7,), observed=Clip(asked.observed.frames[1:], (7,)))
    assert torch.equal(law.sample(one).frames, both.frames[1:])
    other = request((1, 2), Clip(codes(1, seed=5), (0,)), prompt="xyz", seed=4)
    together = law.sample_batch([one, other])
    assert torch.equal(together[1].frames, law.sample(other).frames)


def test_masks() -> None:
    assert causal(2, 1).int().tolist() == [[1, 1, 0], [1, 1, 1]]
    assert prefix_causal(2, 1).int().tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
    places = torch.tensor([[[0.0, 0, 0], [0, 0, 2], [1, 0, 0]]])
    near = nearby(places, places, (1, 1, 1))[0, 0].int().tolist()
    assert near == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_picking() -> None:
    logits = torch.tensor([0.5, 0.2, 0.2, 0.1]).log()
    told = {
        "all": Picking(),
        "k": Picking(top_k=1),
        "p": Picking(top_p=0.6),
        "cold": Picking(temperature=0),
        "half": Picking(temperature=0.5),
    }
    found = {name: picking.chances(logits) for name, picking in told.items()}
    expect = {"all": [0.5, 0.2, 0.2, 0.1], "k": [1, 0, 0, 0], "cold": [1, 0, 0, 0]}
    for name, row in expect.items():
        torch.testing.assert_close(found[name], torch.tensor(row, dtype=torch.float64))
    assert found["p"].count_nonzero() == 2 and float(found["p"].sum()) == pytest.approx(1)
    torch.testing.assert_close(found["half"][0] / found["half"][1], torch.tensor(6.25).double())
    chance = torch.tensor([0.0, 0.49, 0.51, 0.71, 0.95, 1.0])
    assert pick(found["all"].expand(6, -1), chance).tolist() == [0, 0, 1, 2, 3, 3]
    assert pick(torch.tensor([[0.0, 1.0, 0.0]]).expand(2, -1), chance[[0, -1]]).tolist() == [1, 1]


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}, {"guidance": math.nan}],
)
def test_wrong_knobs_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Picking(**wrong)


def test_what_does_not_fit_is_refused() -> None:
    law = model()
    with pytest.raises(FitError, match="9 frames"):
        law.sample(request(tuple(range(9))))
    with pytest.raises(FitError, match="code 5"):
        law.sample(request((1,), Clip(codes(1) * 0 + 5, (0,))))
    with pytest.raises(FitError, match="codes a place"):
        law.sample(request((1,), frame=(2, 2, 2)))
    with pytest.raises(FitError, match="codes=5"):
        TokenModel(law.net, ClipSpec(8, (1, None, None), ""))


def test_guidance_leans_towards_the_prompt() -> None:
    """At guidance 1 plus one times the difference; cold picking shows it."""
    asked = request((0, 1), prompt="zzz")
    plain = model(temperature=0).sample(asked).frames
    silent = model(temperature=0).sample(dataclasses.replace(asked, controls=Controls())).frames
    none = model(temperature=0, guidance=0.0).sample(asked).frames
    strong = model(temperature=0, guidance=9.0).sample(asked).frames
    assert torch.equal(none, silent) and not torch.equal(none, plain)
    assert not torch.equal(strong, plain)


def test_what_is_observed_is_read_once() -> None:
    """Other takes of a step find its prefix: the same bits as without, until a weight moves."""
    seen = Clip(codes(3), (0, 1, 2))
    law, alone = model(guidance=2.0), model(guidance=2.0)
    alone._prefixes.room = 0
    for seed in range(3):
        asked = request((3, 5), seen, seed=seed)
        assert torch.equal(law.sample(asked).frames, alone.sample(asked).frames)
        alone._prefixes._kept.clear()
    assert law._prefixes.found == 4, "told and untold, in the second take and the third"
    assert alone._prefixes.found == 0
    other = request((3, 5), Clip(codes(3, seed=9), (0, 1, 2)))
    law.sample(other)
    assert law._prefixes.found == 4
    before = law.sample(other).frames
    with torch.no_grad():
        law.net.embed.weight.mul_(-1)
    after = law.sample(other)
    assert law._prefixes.found == 6 and not torch.equal(before, after.frames)


def test_prefixes_take_no_more_room_than_they_may() -> None:
    law = model()
    law.sample(request((3,), Clip(codes(1), (0,))))
    (one,) = law._prefixes._kept.values()
    law._prefixes.room = 2 * one.size
    for seed in range(1, 6):
        law.sample(request((3,), Clip(codes(1, seed=seed), (0,))))
    assert len(law._prefixes._kept) == 2 and one.size > 0


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_products_in_order_are_products(kind: torch.dtype) -> None:
    weight, x, bias = (
        torch.randn(7, 5).to(kind),
        torch.randn(3, 5).to(kind),
        torch.randn(7).to(kind),
    )
    with torch.inference_mode():
        torch.testing.assert_close(product(weight)(x), x @ weight.T)
        torch.testing.assert_close(product(weight, bias)(x), x @ weight.T + bias)
