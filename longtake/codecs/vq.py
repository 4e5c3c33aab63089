"""Codecs of whole numbers: an autoencoder whose latents are codes of a quantiser.

Per frame it is VQ-GAN's (Esser et al. 2021), over space and time TATS's (Ge et al. 2022), causal in
time MAGVIT-v2's (Yu et al. 2024) and C-ViViT's (Villegas et al. 2023): all are shapes of one net.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from longtake.clip import CodecSpec
from longtake.codecs.kl import apart, padded
from longtake.nets.convolutional import VQVideo


class VQCodec:
    """Pixels to codes, one whole number (torch.int64) a place: latent frames of (1, h/down, w/down).

    A causal net pads in front of a clip, so that its first latent frame knows no more than a film's.
    """

    def __init__(self, net: VQVideo, fingerprint: str) -> None:
        self.net, shape = net.eval(), net.shape
        size = net.quantiser.size
        self.spec = CodecSpec(1, shape.down, shape.stride, shape.context, fingerprint, size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.net.parameters()).device

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """See `Codec`; edges are repeated up to a multiple of `down`."""
        return self.net.codes(padded(video.to(self.device), self.spec.down) * 2 - 1)[:, :, None]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        return (self.net.made(latents[:, :, 0].to(self.device)) / 2 + 0.5).clamp(0, 1)


class VQTraining:
    """Losses of a quantised autoencoder on clips in [0, 1]: pixels, edges, change, and the quantiser's."""

    def __init__(self, net: VQVideo) -> None:
        self.net = net

    def __call__(self, video: Tensor) -> Mapping[str, Tensor]:
        """(b, t, 3, h, w) -> named losses; their sum is the objective."""
        made, found = self.net(video * 2 - 1)
        return apart(made, video * 2 - 1) | dict(found.losses)
