"""Orders in which hidden tokens are decided: by confidence, or in a draft that is revised.

A model is seen only as its conditionals: (codes, known) -> logits of every token given the known ones.
So the laws can be tested with a table in place of a network: with one token a step, and each
decided without regard to its own draw, every order is a chain rule of the joint.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from longtake.errors import InputError, nearest
from longtake.models.picking import Picking, pick

if TYPE_CHECKING:
    from torch import Tensor

Conditionals = Callable[
    ["Tensor", "Tensor"], "Tensor"
]  # codes, known (b, n) -> logits (b, n, codes)
Chance = Callable[[str], "Tensor"]  # use -> numbers in (0, 1), (b, n), by frame: see clip.Noise
CONFIDENCES = ("certainty", "drawn")


@dataclasses.dataclass(frozen=True)
class Confidence:
    """The surest tokens first, on a cosine schedule (MaskGIT, Chang et al. 2022, section 3.2).

    steps: of decoding; as many as there are tokens, or more, decide one a step. by: "drawn", how
    likely a token's own draw was, as in the paper, or "certainty", how little the model doubts the
    token before it is drawn (negative entropy). The first prefers likely draws and so narrows the
    law even at one token a step; the second does not. spread: of Gumbel noise on the confidence,
    falling to 0 with the steps; it mixes the order.
    """

    steps: int = 12
    by: str = "certainty"
    spread: float = 4.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps={self.steps}", "confidence decoding", "steps=12")
        if self.by not in CONFIDENCES:
            raise InputError(f"by={self.by}", "confidence decoding", nearest(self.by, CONFIDENCES))
        if not 0 <= self.spread < math.inf:
            raise InputError(f"spread={self.spread}", "confidence decoding", "spread=4.5")

    def left(self, step: int, hidden: int, now: int) -> int:
        """How many of `hidden` tokens stay hidden after `step` (0 first); at least one of `now` is decided.

        gamma(r) = cos(pi r / 2) at r = (step + 1) / steps.
        """
        share = math.cos(math.pi / 2 * (step + 1) / self.steps) if step + 1 < self.steps else 0.0
        return max(0, min(math.floor(hidden * share), now - 1))

    def __call__(
        self, ask: Conditionals, codes: Tensor, known: Tensor, picking: Picking, chance: Chance
    ) -> Tensor:
        """codes (b, n) with everything decided; equally many tokens must be hidden in every row."""

        codes, known = codes.clone(), known.clone()
        hidden = now = int((~known[0]).sum())
        for step in range(self.steps):
            if not now:
                break
            places = known.long().argsort(dim=-1, stable=True)[:, :now]  # of what is hidden
            logits = ask(codes, known)
            logits = logits.gather(1, places[..., None].expand(-1, -1, logits.shape[-1]))
            chances = picking.chances(logits)
            drawn = pick(chances, chance(f"step {step}").gather(1, places))
            likely = chances.clamp_min(1e-300).log()
            if self.by == "drawn":
                sure = likely.gather(-1, drawn[..., None])[..., 0]
            else:
                sure = (chances * likely).sum(-1)
            mixing = self.spread * (1 - (step + 1) / self.steps)
            if mixing:
                order = chance(f"order {step}").gather(1, places).double()
                sure = sure - mixing * (-order.log()).log()
            stay = self.left(step, hidden, now)
            first = sure.argsort(-1, descending=True)[:, : now - stay]
            decided = places.gather(1, first)
            codes.scatter_(1, decided, drawn.gather(1, first))
            known.scatter_(1, decided, True)
            now = stay
        return codes


@dataclasses.dataclass(frozen=True)
class DraftAndRevise:
    """A draft in groups drawn at random, then every group decided anew given all others.

    Lee et al. 2022 (Draft-and-Revise), algorithms 1 and 2, which MeBT (Yoo et al. 2023) takes up.
    draft: groups of the draft. groups: of a revision. revisions: how often all tokens are revised.
    With groups of one token a revision is a sweep of Gibbs sampling: it keeps the joint, and
    brings any draft nearer to it.
    """

    draft: int = 8
    groups: int = 4
    revisions: int = 2

    def __post_init__(self) -> None:
        for name, value, least in (
            ("draft", self.draft, 1),
            ("groups", self.groups, 1),
            ("revisions", self.revisions, 0),
        ):
            if value < least:
                raise InputError(f"{name}={value}", "draft and revise", f"{name}={least} or more")

    def __call__(
        self, ask: Conditionals, codes: Tensor, known: Tensor, picking: Picking, chance: Chance
    ) -> Tensor:
        """As `Confidence`."""
        import torch

        codes = self._pass(ask, codes, known, known, self.draft, picking, chance, "draft")
        for n in range(self.revisions):
            every = torch.ones_like(known)
            codes = self._pass(
                ask, codes, known, every, self.groups, picking, chance, f"revise {n}"
            )
        return codes

    @staticmethod
    def _pass(
        ask: Conditionals,
        codes: Tensor,
        fixed: Tensor,
        known: Tensor,
        groups: int,
        picking: Picking,
        chance: Chance,
        use: str,
    ) -> Tensor:
        """All tokens that are not `fixed` decided once, group after group; `known` is known at first."""
        import torch

        codes, known = codes.clone(), known.clone()
        hidden = int((~fixed[0]).sum())
        order = chance(f"{use} order").masked_fill(fixed, torch.inf).argsort(-1)[:, :hidden]
        for n, group in enumerate(order.tensor_split(min(groups, hidden), 1) if hidden else ()):
            known.scatter_(1, group, False)
            logits = ask(codes, known)
            logits = logits.gather(1, group[..., None].expand(-1, -1, logits.shape[-1]))
            drawn = pick(picking.chances(logits), chance(f"{use} {n}").gather(1, group))
            codes.scatter_(1, group, drawn)
            known.scatter_(1, group, True)
        return codes


Judge = Callable[["Tensor"], "Tensor"]  # codes (b, n), all decided -> how good each is, (b, n)


def criticised(
    ask: Conditionals,
    judge: Judge,
    codes: Tensor,
    known: Tensor,
    order: Confidence,
    picking: Picking,
    chance: Chance,
) -> Tensor:
    """Everything is drawn in every step, and what a critic finds worst is hidden again.

    Lezama et al. 2022 (Token-Critic), algorithm 2. Unlike `Confidence`, what was decided early can be
    taken back. order: how many stay hidden after each step, and the Gumbel noise on judgements.
    """
    fixed, known = known, known.clone()
    hidden = now = int((~fixed[0]).sum())
    for step in range(order.steps):
        if not now:
            break
        drawn = pick(picking.chances(ask(codes, known)), chance(f"step {step}"))
        codes = codes.where(known, drawn)
        now = order.left(step, hidden, now)
        good = judge(codes).double()
        mixing = order.spread * (1 - (step + 1) / order.steps)
        if mixing:
            good = good - mixing * (-chance(f"order {step}").double().log()).log()
        worst = good.masked_fill(fixed, math.inf).argsort(-1)[:, :now]
        known = known.new_ones(known.shape).scatter(1, worst, False)
    return codes


Revealing = Confidence | DraftAndRevise
