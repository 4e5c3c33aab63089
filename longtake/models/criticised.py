"""A masked model beside a critic that says which of its tokens to draw again (Lezama et al. 2022, Token-Critic).

Confidence is the model's own word, and a token once decided stays; the critic sees the whole clip, and
may take any of them back.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import FitError
from longtake.models.masked import MaskedModel
from longtake.models.picking import Picking, pick, uniform
from longtake.models.revealing import Chance, Confidence, criticised
from longtake.models.sheets import Sheet, sheet
from longtake.nets.masked import HIDDEN, HINT, KNOWN, MaskedTransformer, TokenCritic


class Criticised(MaskedModel):
    """Samples with a critic; its losses train the critic alone, `fit(model.critic, ...)`, on a trained net.

    order: steps, and the noise on judgements.
    """

    def __init__(
        self,
        net: MaskedTransformer,
        critic: TokenCritic,
        spec: ClipSpec,
        picking: Picking | None = None,
        order: Confidence | None = None,
    ) -> None:
        super().__init__(net, spec, picking, order or Confidence())
        if critic.shape.codes != spec.codes:
            raise FitError(f"a critic of {critic.shape.codes} codes", "Criticised", str(spec.codes))
        self.critic = critic
        self.order = order or Confidence()

    def decided(self, whole: Sheet, states: Tensor, chance: Chance) -> Tensor:
        """As `MaskedModel.decided`."""
        self.critic.eval()
        fixed = states == KNOWN
        ask, judge = (
            self.conditionals(whole, states),
            lambda codes: self.judged(whole, codes, fixed),
        )
        return criticised(ask, judge, whole.codes, fixed, self.order, self.picking, chance)

    def judged(self, whole: Sheet, codes: Tensor, fixed: Tensor) -> Tensor:
        """Logits (b, n) that a code is of the data, on the CPU while sampling."""
        device = next(self.critic.parameters()).device
        states = torch.where(fixed, KNOWN, HINT).to(device)
        text = None if whole.text is None else whole.text.to(device)
        logits: Tensor = self.critic(codes.to(device), whole.places.to(device), states, text)
        return logits if torch.is_grad_enabled() else logits.cpu()

    def losses(self, request: ClipRequest, truth: Clip) -> Mapping[str, Tensor]:
        """How badly the critic tells tokens of the data from those the model put in their places, in nats.

        The share replaced is cos(pi u / 2) of a u drawn for every sample; all at once, as in a step of
        sampling. With torch's own chance.
        """
        whole = sheet(request, self.spec, truth)
        targets = (torch.arange(whole.codes.shape[1]) >= whole.prefix).expand_as(whole.codes)
        share = torch.cos(torch.rand(len(targets), 1) * torch.pi / 2)
        replaced = targets & (torch.rand(targets.shape) < share)
        states = torch.where(replaced, HIDDEN, KNOWN)
        with torch.no_grad():
            logits = self.conditionals(whole, states)(whole.codes, ~replaced)
            drawn = pick(self.picking.chances(logits), uniform(torch.randn(targets.shape)))
        codes = torch.where(replaced, drawn, whole.codes)
        real = self.judged(whole, codes, ~targets)
        error = F.binary_cross_entropy_with_logits(real, (~replaced).to(real), reduction="none")
        counted = targets.to(error)
        return {"critic": (error * counted).sum(1) / counted.sum(1)}
