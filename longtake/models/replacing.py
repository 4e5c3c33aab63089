"""A model that observes nothing made to continue films all the same: observed frames are put back at every step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longtake.clip import ClipRequest
from longtake.models.diffusion import FlowModel, Scene
from longtake.models.samplers import Denoise


class ReplacingModel(FlowModel):
    """Samples every frame of a call; the estimate of an observed one is always what it is.

    The replacement method (Song et al. 2021, section 5; Ho et al. 2022, "Video Diffusion Models",
    section 3.1) with one noise for a frame's whole way: a state that begins as that noise and is
    told its x0 stands at alpha x0 + sigma eps on every level. The net is never told which they are.
    """

    def denoiser(self, scene: Scene, requests: Sequence[ClipRequest]) -> Denoise:
        """x0 of the targets; the sampler's state is theirs, the observed frames' is made here."""
        noise = torch.cat([r.noise.clip(r.samples, r.at, r.frame) for r in requests])
        noise = noise.to(scene.latents)
        targets, unseen = ~scene.observed, torch.zeros_like(scene.observed, dtype=torch.float32)

        def denoise(x: Tensor, alpha: float, sigma: float) -> Tensor:
            latents = alpha * scene.latents + sigma * noise
            latents[targets] = x.flatten(0, 1)
            level = torch.full_like(unseen, sigma)
            found = self.net(
                latents, level, unseen, scene.times, scene.text, scene.latents, **scene.tracks
            )
            return x - sigma * found[targets].reshape(x.shape)

        return denoise
