"""The mask family: all frames of a call at once, what is not known hidden, decided in a few steps.

Observed frames are known tokens; targets are hidden, or hinted at where a request has a start
(MAGVIT, Yu et al. 2023, section 3.2, COMMIT: a condition need not be right, and is refined).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import FitError
from longtake.models.picking import Picking, uniform
from longtake.models.revealing import Chance, Conditionals, Confidence, Revealing
from longtake.models.sheets import Sheet, clips, joined, sheet
from longtake.nets.masked import HIDDEN, HINT, KNOWN, BottleneckTransformer, MaskedTransformer


class MaskedModel:
    """A masked transformer that answers clip requests; see `ClipModel` and `Trainable`.

    refine: in training, the share of hidden tokens that become hints, half of them wrong ones; it
    is what a request with a start needs.
    """

    def __init__(
        self,
        net: MaskedTransformer | BottleneckTransformer,
        spec: ClipSpec,
        picking: Picking | None = None,
        revealing: Revealing | None = None,
        refine: float = 0.1,
    ) -> None:
        if spec.codes != net.shape.codes:
            raise FitError(f"codes={spec.codes}", "MaskedModel", f"codes={net.shape.codes}")
        if not 0 <= refine < 1:
            raise FitError(f"refine={refine}", "MaskedModel", "refine=0.1")
        self.net, self.spec, self.refine = net, spec, refine
        self.picking, self.revealing = picking or Picking(), revealing or Confidence()

    def sample(self, request: ClipRequest) -> Clip:
        """A clip of codes at `request.targets`."""
        return self.sample_batch([request])[0]

    @torch.no_grad()
    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        """Requests of equal numbers of targets and observed frames, as one batch."""
        self.net.eval()
        whole = joined([sheet(request, self.spec) for request in requests])
        states = torch.full_like(whole.codes, HIDDEN)
        states[:, : whole.prefix] = KNOWN
        hints = [_hints(request, whole) for request in requests]
        codes = torch.where(states == KNOWN, whole.codes, torch.cat([code for code, _ in hints]))
        states = states.maximum(torch.cat([state for _, state in hints]))

        def chance(use: str) -> Tensor:
            return torch.cat([_chance(r, whole.prefix, use) for r in requests])

        found = self.decided(dataclasses.replace(whole, codes=codes), states, chance)
        return clips(found[:, whole.prefix :], requests)

    def decided(self, whole: Sheet, states: Tensor, chance: Chance) -> Tensor:
        """Codes (b, n) of a sheet whose tokens have states (b, n), all of them decided."""
        ask = self.conditionals(whole, states)
        return self.revealing(ask, whole.codes, states == KNOWN, self.picking, chance)

    def losses(self, request: ClipRequest, truth: Clip) -> Mapping[str, Tensor]:
        """Cross-entropy of the tokens that are hidden or hinted at, in nats a token.

        As `masked_loss` has it, with the request's own chance.
        """
        whole = sheet(request, self.spec, truth)
        uses = {name: _chance(request, whole.prefix, name) for name in ("hide", "refine", "wrong")}
        draws = torch.cat([request.noise.of(s, -1, (1,), "share") for s in request.samples])
        chances = Chances(uniform(draws), uses["hide"], uses["refine"], uses["wrong"])
        return {"masked": masked_loss(self.net, whole, refine=self.refine, chances=chances)}

    def conditionals(self, whole: Sheet, states: Tensor) -> Conditionals:
        """The network as conditionals of a sheet whose tokens have states (b, n); guided on text if asked.

        Hints stay what they were until decided.
        """
        hints = (states == HINT, whole.codes)
        device = next(self.net.parameters()).device
        scale = self.picking.guidance

        def ask(codes: Tensor, known: Tensor) -> Tensor:
            hinted = hints[0] & ~known  # also where revision hides what was decided
            codes = torch.where(hinted, hints[1], codes)
            now = torch.where(known, KNOWN, torch.where(hinted, HINT, HIDDEN))
            told = self._logits(whole, codes.to(device), now.to(device))
            if scale != 1 and whole.text is not None:
                silent = dataclasses.replace(whole, text=torch.zeros_like(whole.text))
                untold = self._logits(silent, codes.to(device), now.to(device))
                told = untold + scale * (told - untold)
            return told.cpu()

        return ask

    def _logits(self, whole: Sheet, codes: Tensor, states: Tensor) -> Tensor:
        device = codes.device
        text = None if whole.text is None else whole.text.to(device)
        logits: Tensor = self.net(codes, whole.places.to(device), states, text)
        return logits


@dataclasses.dataclass(frozen=True)
class Chances:
    """Numbers in (0, 1) that decide what is hidden: `share` (b,) how much, `hide` (b, n) what.

    refine (b, n): which of it is hinted at. wrong (b, n): as which code, where the hint is wrong.
    """

    share: Tensor
    hide: Tensor
    refine: Tensor
    wrong: Tensor

    @classmethod
    def drawn(cls, b: int, n: int) -> Chances:
        """By torch's own generator."""
        return cls(torch.rand(b), *(torch.rand(b, n) for _ in range(3)))


def masked_loss(
    net: MaskedTransformer | BottleneckTransformer,
    whole: Sheet,
    *,
    refine: float = 0.0,
    chances: Chances | None = None,
    condition: Tensor | None = None,
    fixed: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of the targets that are hidden or hinted at, in nats a token, (b,).

    What share of them is hidden is cos(pi u / 2) of a u drawn for every sample (MaskGIT, section
    3.1). Hints are a share `refine` of the hidden, half of them wrong ones. condition (b, n): codes
    that hint at hidden tokens, below 0 where there is none (MAGVIT, section 3.2, COMMIT). fixed
    (b, n): True where tokens are given away and never asked for. Hidden and hinted tokens are
    COMMIT's "mask" and "refine" terms; its third, of tokens that are given away, is left out.
    """
    codes, device = whole.codes, next(net.parameters()).device
    drawn = chances or Chances.drawn(*codes.shape)
    targets = (torch.arange(codes.shape[1]) >= whole.prefix).expand_as(codes)
    if fixed is not None:
        targets = targets & ~fixed
    count = targets.sum(1, keepdim=True)
    place = drawn.hide.masked_fill(~targets, torch.inf).argsort(-1).argsort(-1)
    share = torch.cos(drawn.share * math.pi / 2)[:, None]
    hidden = targets & (place < (share * count).ceil().clamp(min=1))
    hinted = hidden & (drawn.refine < refine)
    wrong = (drawn.wrong * net.shape.codes).long()
    shown = torch.where(hinted & (drawn.refine < refine / 2), wrong, codes)
    states = torch.where(hidden, torch.where(hinted, HINT, HIDDEN), KNOWN)
    if condition is not None:
        told = hidden & (condition >= 0)
        shown, states = torch.where(told, condition, shown), states.masked_fill(told, HINT)
    text = None if whole.text is None else whole.text.to(device)
    logits = net(shown.to(device), whole.places.to(device), states.to(device), text)
    asked = codes.to(device).flatten()
    error = F.cross_entropy(logits.flatten(0, 1), asked, reduction="none").view_as(codes)
    counted = hidden.to(error)
    return (error * counted).sum(1) / counted.sum(1)


def _chance(request: ClipRequest, prefix: int, use: str) -> Tensor:
    """(b, n) numbers in (0, 1) for every token, those of observed frames one half."""
    targets = sorted(request.targets)
    drawn = uniform(request.noise.clip(request.samples, targets, request.frame[1:], use).flatten(1))
    return F.pad(drawn.clamp(1e-12, 1 - 1e-12), (prefix, 0), value=0.5)


def _hints(request: ClipRequest, whole: Sheet) -> tuple[Tensor, Tensor]:
    """Codes and states of a request's start: each token is a hint with chance 1 - strength."""
    b, n = len(request.samples), whole.codes.shape[1]
    codes = torch.zeros(b, n, dtype=torch.long)
    states = torch.full((b, n), HIDDEN)
    if request.start is not None:
        begun = request.start.pick(sorted(request.targets)).frames.long().flatten(1)
        codes[:, whole.prefix :] = begun
        shown = _chance(request, whole.prefix, "start")[:, whole.prefix :] >= request.strength
        states[:, whole.prefix :] = torch.where(shown, HINT, HIDDEN)
    return codes, states
