"""Inception score: how sure a classifier is of each sample, and how varied it finds them all."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.metrics.scores import Score

_ROWS = 2**12  # of which sums of counts are exact in float64
_NEVER = -1e4  # logarithm of a probability that is none
_UNIT = 2.0**-38  # probabilities and entropies are counted in these: 2**24 samples fit


class Certainty:
    """What the inception score needs of class probabilities, in constant memory.

    Sums are whole numbers of 2**-38, so that adding and merging in any order changes no bit.
    """

    def __init__(self, classes: int) -> None:
        self.count = 0
        self.total = torch.zeros(classes, dtype=torch.int64)
        self.entropy = torch.zeros((), dtype=torch.int64)

    def add(self, logits: Tensor) -> Certainty:
        """Takes in rows of logits (n, classes); returns itself. Of probabilities give the logarithm."""
        if logits.ndim != 2 or logits.shape[1] != len(self.total):
            what = f"logits of shape {tuple(logits.shape)}"
            raise InputError(what, "is", f"(n, {len(self.total)})")
        for rows in logits.detach().cpu().split(_ROWS):  # type: ignore[no-untyped-call]
            shares = rows.double().log_softmax(1)
            each = shares.exp()
            terms = torch.linalg.vecdot(each, shares.clamp_(min=_NEVER))
            if bool(terms.isnan().any()):
                what = "logits that are not numbers, or none finite"
                raise InputError(what, "is", "finite logits")
            self.total += each.mul_(1 / _UNIT).round_().sum(0).long()
            self.entropy += (terms / _UNIT).round().long().sum()
            self.count += len(rows)
        return self

    def merge(self, other: Certainty) -> Certainty:
        """Takes in what another has seen; returns itself."""
        if len(other.total) != len(self.total):
            what = f"{len(other.total)} and {len(self.total)} classes"
            raise InputError(what, "is", "one classifier")
        self.count += other.count
        self.total += other.total
        self.entropy += other.entropy
        return self

    def score(self) -> float:
        """exp of the mean divergence of a sample's classes from all samples' (Salimans et al. 2016, eq. 2)."""
        if not self.count:
            raise InputError("no samples", "is", "one or more")
        mean = self.total.double() * _UNIT / self.count
        mean = mean / mean.sum()
        common = torch.where(mean > 0, mean * mean.log(), 0.0).sum()
        return math.exp(float(self.entropy) * _UNIT / self.count - float(common))


def inception_score(
    logits: Tensor, *, splits: int = 10, seed: int | None = None
) -> tuple[float, float]:
    """Mean and deviation of the score over `splits` parts of the samples: logits (n, classes).

    seed: samples are shuffled first; None leaves them in order. The deviation is divided by
    `splits`, as in the authors' code; one split has none (0). InputError for fewer samples than splits.
    """
    if logits.ndim != 2 or not 1 <= splits <= max(len(logits), 1):
        what = f"{splits} splits of logits of shape {tuple(logits.shape)}"
        raise InputError(what, "is", "(n, classes) and at most n splits")
    if not len(logits):
        raise InputError("no samples", "is", "one or more")
    if seed is not None:
        order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))
        logits = logits[order]
    # Borders as floor(n k / splits): parts differ by one sample at most and none is left out.
    borders = [len(logits) * k // splits for k in range(splits + 1)]
    scores = [
        Certainty(logits.shape[1]).add(logits[a:b]).score()
        for a, b in zip(borders, borders[1:], strict=False)
    ]
    mean = math.fsum(scores) / splits
    return mean, math.sqrt(math.fsum((one - mean) ** 2 for one in scores) / splits)


def certainty_score(seen: Certainty, protocol: str) -> Score:
    """The inception score as a score."""
    return Score(seen.score(), protocol, "high", detail={"samples": seen.count})
