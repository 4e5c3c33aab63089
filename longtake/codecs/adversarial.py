"""Sharper codecs: what a codec makes of a clip is judged by critics of patches, and compared by features.

VQ-GAN's recipe (Esser et al. 2021, section 3.1), with a critic of motion beside that of pictures and
their features matched (TATS, Ge et al. 2022, section 3.1 and equation 4).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.codecs.kl import apart
from longtake.nets.adversarial import hinge
from longtake.nets.convolutional import VQVideo
from longtake.nets.critics import ClipCritic

Perceptual = Callable[[Tensor, Tensor], Tensor]  # two clips (b, t, 3, h, w) in [-1, 1] -> (b,)


@dataclasses.dataclass(frozen=True)
class Sharpness:
    """Weights of the terms beside pixels; 0 for none. perceptual: a distance of clips, such as LPIPS."""

    fool: float = 0.1
    match: float = 1.0
    looks: float = 1.0
    perceptual: Perceptual | None = None


class SharpTraining:
    """Losses of a quantised autoencoder and its critics, on clips in [0, 1].

    Train `nets` with `fit(..., parts=training.parts)`: all losses train the autoencoder but "critic".
    """

    def __init__(
        self, net: VQVideo, critics: Sequence[ClipCritic], sharpness: Sharpness | None = None
    ) -> None:
        self.net, self.critics, self._judges = net, nn.ModuleList(critics), tuple(critics)
        self.sharpness = sharpness or Sharpness()
        self.nets = nn.ModuleDict({"codec": net, "critics": self.critics})

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Whom each loss trains: what is not named trains the autoencoder."""
        return {"critic": self.critics}

    def __call__(self, video: Tensor) -> Mapping[str, Tensor]:
        """(b, t, 3, h, w) -> named losses."""
        truth, weigh = video * 2 - 1, self.sharpness
        made, found = self.net(truth)
        zero = truth.new_zeros(len(truth))
        fool, judging, match = zero, zero, truth.new_zeros(())
        times = torch.arange(truth.shape[1], device=truth.device)
        for critic in self._judges:
            fooled, judged = hinge(critic(truth, times), critic(made, times))
            fool, judging = fool + fooled, judging + judged
            pairs = list(zip(critic.features(truth), critic.features(made), strict=True))
            for real, fake in pairs:
                match = match + F.l1_loss(fake, real.detach()) / len(pairs)
        named = apart(made, truth) | dict(found.losses)
        named |= {"fool": weigh.fool * fool, "match": weigh.match * match, "critic": judging}
        if weigh.perceptual is not None:
            named["looks"] = weigh.looks * weigh.perceptual(made, truth)
        return named
