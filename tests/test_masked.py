"""The mask family: decoding against a joint that is known, and what a model does with what it is told."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import pytest
import torch
from family_parts import codes, request, shaken
from torch import Tensor

from longtake.clip import Clip, ClipSpec
from longtake.controls import Controls
from longtake.errors import FitError, InputError
from longtake.models.masked import MaskedModel
from longtake.models.picking import Picking
from longtake.models.revealing import Conditionals, Confidence, DraftAndRevise, Revealing
from longtake.nets.masked import HIDDEN, KNOWN, BottleneckTransformer, MaskedTransformer
from longtake.nets.tokens import TokenShape

SHAPE = TokenShape(codes=5, width=32, blocks=2, head=16, text=3, latents=(2, 1, 2))
NETS = {"full": MaskedTransformer, "bottleneck": BottleneckTransformer}
FILMS, TOKENS = 6000, 4


def joint() -> Tensor:
    """(2, 2, 2, 2): a law of four tokens that hang together, far from their independent law."""
    table = torch.rand(2, 2, 2, 2, generator=torch.Generator().manual_seed(1)).double()
    for index in itertools.product(range(2), repeat=TOKENS):
        table[index] *= math.exp(1.2 * sum(a == b for a, b in zip(index, index[1:], strict=False)))
    return table / table.sum()


def exact(table: Tensor) -> Conditionals:
    """Its true conditionals: p(token | the known ones), by summing the table."""
    every = torch.tensor(list(itertools.product(range(2), repeat=TOKENS)))
    weights = table.flatten()

    def ask(given: Tensor, known: Tensor) -> Tensor:
        agrees = ((every[None] == given[:, None]) | ~known[:, None]).all(-1)  # (b, 16)
        weighed = agrees * weights
        ones = weighed @ every.double()
        shares = torch.stack([weighed.sum(1, keepdim=True) - ones, ones], -1)
        return (shares / shares.sum(-1, keepdim=True)).clamp_min(1e-30).log()

    return ask


def drawn(rule: Revealing, table: Tensor, known: Tensor | None = None) -> Tensor:
    """Films decided by `rule` under the table's conditionals, as shares of all 16."""
    generator = torch.Generator().manual_seed(0)

    def chance(use: str) -> Tensor:
        return torch.rand(FILMS, TOKENS, generator=generator)

    start = torch.zeros(FILMS, TOKENS, dtype=torch.long)
    known = torch.zeros_like(start).bool() if known is None else known.expand(FILMS, -1)
    found = rule(exact(table), start, known, Picking(), chance)
    return torch.bincount(found @ torch.tensor([8, 4, 2, 1]), minlength=16).double() / FILMS


def apart(shares: Tensor, law: Tensor) -> float:
    return float((shares - law.flatten()).abs().sum() / 2)


NOISE = 1.5 * math.sqrt(16 / FILMS) / 2  # what a fair draw of so many films stays below


@pytest.mark.parametrize("spread", [0.0, 4.5, 1e6])
def test_confidence_decoding_recovers_a_joint(spread: float) -> None:
    assert apart(drawn(Confidence(TOKENS, spread=spread), joint()), joint()) < NOISE


@pytest.mark.parametrize(
    "rule", [DraftAndRevise(4, 4, 0), DraftAndRevise(4, 4, 2), DraftAndRevise(1, 4, 8)]
)
def test_draft_and_revise_recovers_a_joint(rule: DraftAndRevise) -> None:
    """By a draft of single tokens; and by revising a draft that was made at once, and is wrong."""
    assert apart(drawn(rule, joint()), joint()) < NOISE


@pytest.mark.parametrize(
    "rule", [Confidence(1), DraftAndRevise(1, 1, 3), Confidence(4, by="drawn", spread=0.0)]
)
def test_what_is_decided_at_once_or_by_its_own_draw_does_not(rule: Revealing) -> None:
    assert apart(drawn(rule, joint()), joint()) > 3 * NOISE


@pytest.mark.parametrize("rule", [Confidence(4), DraftAndRevise(4, 4, 1)])
def test_known_tokens_are_kept_and_conditioned_on(rule: Revealing) -> None:
    law = joint()
    law[1] = 0  # the first token is known to be 0
    found = drawn(rule, joint(), torch.tensor([True, False, False, False]))
    assert float(found[8:].sum()) == 0
    assert apart(found, law / law.sum()) < NOISE


def test_the_cosine_schedule_decides_few_first() -> None:
    rule, now, counts = Confidence(8), 64, []
    for step in range(8):
        left = rule.left(step, 64, now)
        counts.append(now - left)
        now = left
    assert now == 0 and counts == sorted(counts) and counts[0] == 2 and counts[-1] == 12
    assert [Confidence(99).left(n, 5, 5 - n) for n in range(5)] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"by": "chance"}, {"spread": -1.0}])
def test_wrong_knobs_of_confidence_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Confidence(**wrong)


@pytest.mark.parametrize("wrong", [{"draft": 0}, {"groups": 0}, {"revisions": -1}])
def test_wrong_knobs_of_drafts_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        DraftAndRevise(**wrong)


# --- models


def model(kind: str = "full", **more: object) -> MaskedModel:
    torch.manual_seed(0)
    spec = ClipSpec(8, (1, None, None), "test", codes=5)
    return MaskedModel(shaken(NETS[kind](SHAPE)), spec, **{"revealing": Confidence(3)} | more)


@pytest.mark.parametrize("kind", NETS)
def test_hidden_codes_are_not_seen(kind: str) -> None:
    net, tokens, places = model(kind).net, codes(1).flatten(1), torch.rand(1, 6, 3) * 4
    states = torch.tensor([[KNOWN, HIDDEN, KNOWN, HIDDEN, KNOWN, KNOWN]])
    with torch.no_grad():
        one = net(tokens, places, states)
        other = net(torch.where(states == HIDDEN, (tokens + 1) % 5, tokens), places, states)
        changed = net((tokens + 1) % 5, places, states)
        moved = net(tokens, places + torch.tensor([50.0, 3, 9]), states)
    assert torch.equal(one, other)
    assert not torch.allclose(one, changed, atol=1e-2)
    torch.testing.assert_close(one, moved, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("frames", [4, 12])
def test_latents_share_a_clip_of_any_length_out(frames: int) -> None:
    """Every token counts most for the latent in whose cell it lies; cells are of equal size."""
    net = BottleneckTransformer(dataclasses.replace(SHAPE, latents=(4, 1, 2)))
    places = torch.cartesian_prod(*(torch.arange(n).float() for n in (frames, 3, 4)))[None]
    stands, near = net._grid(places)
    cells = (places / torch.tensor([frames / 4, 3, 2])).long() @ torch.tensor([2, 2, 1])
    assert stands.shape == (1, 8, 3) and near.shape == (1, 2, 8, frames * 12)
    assert torch.equal(near.argmax(2), cells.expand(1, 2, -1))
    assert near.max() <= 0 and (near[:, 1] <= near[:, 0]).all(), "heads differ in how near"


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize(
    "revealing", [Confidence(3), DraftAndRevise(3, 2, 1)], ids=["confidence", "draft"]
)
def test_order_company_and_batches_change_nothing(kind: str, revealing: Revealing) -> None:
    law = model(kind, revealing=revealing)
    asked = request((6, 5), Clip(codes(1, samples=2), (7,)), samples=(0, 7))
    both = law.sample(asked)
    assert both.at == (6, 5) and both.frames.shape == (2, 2, 1, 2, 3)
    straight = law.sample(dataclasses.replace(asked, targets=(5, 6)))
    assert torch.equal(straight.pick((6, 5)).frames, both.frames)
    one = dataclasses.replace(asked, samples=(7,), observed=Clip(asked.observed.frames[1:], (7,)))
    assert torch.equal(law.sample(one).frames, both.frames[1:])
    other = request((1, 2), Clip(codes(1, seed=5), (0,)), prompt="xyz", seed=4)
    together = law.sample_batch([one, other])
    assert torch.equal(together[1].frames, law.sample(other).frames)


@pytest.mark.parametrize("kind", NETS)
def test_what_is_observed_is_heard(kind: str) -> None:
    law = model(kind)
    ask = functools.partial(request, (2, 3), samples=tuple(range(8)))
    films = codes(2, samples=8)
    base = law.sample(ask(Clip(films, (0, 1)))).frames
    for other in (
        ask(Clip((films + 1) % 5, (0, 1))),
        ask(Clip(films, (0, 1)), prompt="xyz"),
        ask(Clip(films, (1, 9))),
    ):
        assert not torch.equal(law.sample(other).frames, base)
    silent = dataclasses.replace(ask(Clip(films, (0, 1))), controls=Controls())
    unguided = model(kind, picking=Picking(guidance=0.0))
    told = unguided.sample(ask(Clip(films, (0, 1)))).frames
    assert torch.equal(told, law.sample(silent).frames)


def test_a_start_is_a_hint_that_strength_takes_away() -> None:
    asked = request((0, 1))
    start = Clip(codes(2, seed=3), (0, 1))
    law = model()
    hinted = dataclasses.replace(asked, start=start)
    assert torch.equal(
        law.sample(dataclasses.replace(hinted, strength=1.0)).frames, law.sample(asked).frames
    )
    other = dataclasses.replace(hinted, start=Clip((start.frames + 1) % 5, (0, 1)), strength=0.0)
    weak = law.sample(dataclasses.replace(hinted, strength=0.0)).frames
    assert not torch.equal(weak, law.sample(other).frames)


def test_training_counts_hidden_targets_alone() -> None:
    """On a net that always says code 2: the loss is that of the true law's hidden tokens."""
    law = model(refine=0.0)
    for p in law.net.parameters():
        p.data.zero_()
    law.net.leave.bias.data[2] = 100.0
    twos = Clip(codes(2, samples=3) * 0 + 2, (1, 2))
    seen = Clip(codes(1, samples=3) * 0 + 4, (0,))
    asked = request((1, 2), seen, samples=(0, 1, 2))
    assert law.losses(asked, twos)["masked"].tolist() == [0, 0, 0]
    fours = Clip(twos.frames + 2, (1, 2))
    assert law.losses(asked, fours)["masked"].tolist() == [100, 100, 100]


@pytest.mark.parametrize("kind", NETS)
def test_training_learns_a_rule_and_refines_hints(kind: str, wide: int = 2) -> None:
    """Each frame is the one before, plus one: with all hidden, and from a start that is mostly wrong."""
    torch.manual_seed(0)
    shape = dataclasses.replace(SHAPE, text=0, width=48)
    spec = ClipSpec(8, (1, None, None), "test", codes=5)
    law = MaskedModel(NETS[kind](shape), spec, Picking(temperature=0), Confidence(3), refine=0.3)
    adam = torch.optim.Adam(law.net.parameters(), 3e-3)

    def film(seed: int, count: int = 16) -> Tensor:
        first = torch.randint(
            0, 5, (count, 1, 1, 1, wide), generator=torch.Generator().manual_seed(seed)
        )
        return (first + torch.arange(3).view(1, 3, 1, 1, 1)) % 5

    def asked(frames: Tensor, seed: int, **more: object):
        seen = Clip(frames[:, :1], (0,))
        base = request(
            (1, 2), seen, samples=tuple(range(len(frames))), frame=(1, 1, wide), seed=seed
        )
        return dataclasses.replace(base, controls=Controls(), **more)

    for step in range(500):
        adam.param_groups[0]["lr"] = 3e-3 * (1 - step / 500)
        frames = film(step)
        adam.zero_grad()
        law.losses(asked(frames, step), Clip(frames[:, 1:], (1, 2)))["masked"].mean().backward()
        adam.step()
    frames = film(9999)
    made = law.sample(asked(frames, 1)).frames
    assert float((made == frames[:, 1:]).float().mean()) > 0.9
    begun = Clip((frames[:, 1:] + 2) % 5, (1, 2))
    refined = law.sample(asked(frames, 1, start=begun, strength=0.0)).frames
    assert float((refined == frames[:, 1:]).float().mean()) > 0.9


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(FitError, match="codes=5"):
        MaskedModel(MaskedTransformer(SHAPE), ClipSpec(8, (1, None, None), ""))
    with pytest.raises(FitError, match="refine"):
        model(refine=1.0)
