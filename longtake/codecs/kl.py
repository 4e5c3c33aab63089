"""The KL codec: a variational autoencoder of groups of frames (Kingma & Welling 2014; Rombach et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from longtake.clip import CodecSpec
from longtake.nets.autoencoder import Autoencoder, Decoder
from longtake.nets.convolutional import KLVideo


class KLCodec:
    """Pixels to normalised latents: the encoder's mean, shifted by `mean` and scaled by `scale` (c,).

    fits: gradient steps by which the latent of a still, a picture given to a film, is drawn nearer
    to what the decoder makes that picture from.
    """

    def __init__(
        self,
        net: Autoencoder | KLVideo,
        mean: Tensor,
        scale: Tensor,
        fingerprint: str,
        fits: int = 0,
    ) -> None:
        self.net, self.fits = net.eval(), fits
        self.mean, self.scale = mean[:, None, None], scale[:, None, None]
        shape = net.shape
        self.spec = CodecSpec(shape.channels, shape.down, shape.stride, shape.context, fingerprint)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.net.parameters()).device

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """See `Codec`; any height and width: edges are repeated up to a multiple of 32."""
        video = padded(video.to(self.device), 2 * self.spec.down) * 2 - 1
        if self.fits and bool((video == video[:, :1]).all()):
            mean = self._fitted(video[:, : self.spec.stride])
            mean = mean.expand(-1, video.shape[1] // self.spec.stride, -1, -1, -1)
        else:
            mean, _ = self.net.encoder(video)
        return (mean - self.mean) * self.scale

    def _fitted(self, still: Tensor) -> Tensor:
        """The one latent frame (b, 1, c, h, w) that, held for a while, decodes nearest to `still`."""
        latent, _ = self.net.encoder(still)
        stride = self.spec.stride
        with torch.enable_grad():
            latent = latent.clone().requires_grad_()
            adam = torch.optim.Adam([latent], lr=0.1, betas=(0.8, 0.95))
            for step in range(self.fits):
                adam.param_groups[0]["lr"] = 0.1 * (1 - step / self.fits)
                made = self.net.decoder(latent.expand(-1, 3, -1, -1, -1))[:, stride : 2 * stride]
                error = (made - still).square().mean((1, 2, 3, 4)).sum()
                (latent.grad,) = torch.autograd.grad(error, latent)
                adam.step()
        return latent.detach()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        return self._pixels(self.net.decoder(self._own(latents)))

    @torch.no_grad()
    def decode_inner(self, latents: Tensor, before: int, after: int) -> Tensor:
        """See `InnerCodec`."""
        decoder, stride = self.net.decoder, self.spec.stride
        if isinstance(decoder, Decoder):
            return self._pixels(decoder(self._own(latents), before, after))
        stop = (latents.shape[1] - after) * stride
        return self._pixels(decoder(self._own(latents))[:, before * stride : stop])

    def _own(self, latents: Tensor) -> Tensor:
        return latents.to(self.device) / self.scale + self.mean

    @staticmethod
    def _pixels(video: Tensor) -> Tensor:
        return (video / 2 + 0.5).clamp(0, 1)


def padded(video: Tensor, multiple: int) -> Tensor:
    """Height and width up to a multiple, by repeating the last row and column."""
    h, w = video.shape[-2:]
    down, right = -h % multiple, -w % multiple
    if not (down or right):
        return video
    flat = F.pad(video.flatten(0, -4), (0, right, 0, down), mode="replicate")
    return flat.unflatten(0, video.shape[:-3])


class KLTraining:
    """Losses of an autoencoder on clips in [0, 1]: pixels, their edges, their change in time, and the KL term."""

    def __init__(self, net: Autoencoder | KLVideo, kl: float = 1e-3) -> None:
        self.net, self.kl = net, kl

    def __call__(self, video: Tensor) -> Mapping[str, Tensor]:
        """(b, t, 3, h, w) -> named losses; their sum is the objective."""
        truth = video * 2 - 1
        with torch.autocast(truth.device.type, dtype=torch.bfloat16):
            mean, logvar = self.net.encoder(truth)
            sample = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
            made = self.net.decoder(sample)
        spread = (mean.square() + logvar.exp() - 1 - logvar).mean()
        return apart(made, truth) | {"kl": self.kl * 0.5 * spread}


class DecoderTraining:
    """Losses of a decoder alone, on latents that are a little wrong, as a clip model leaves them."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def __call__(self, pair: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """Clips (b, t, 3, h, w) in [0, 1] and latents (b, s, c, h/16, w/16), not normalised -> named losses."""
        video, latents = pair
        with torch.autocast(video.device.type, dtype=torch.bfloat16):
            made = self.decoder(latents)
        return apart(made, video * 2 - 1)


def apart(made: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """How far a clip in [-1, 1] is from its truth."""
    error = made - truth
    return {
        "pixels": 0.5 * error.abs().mean() + 8 * error.square().mean(),
        "edges": 0.3 * (_steps(error, -1) + _steps(error, -2)),
        "change": 1.5 * _steps(error, 1),
    }


def _steps(x: Tensor, dim: int) -> Tensor:
    """Mean size of the steps between neighbours along `dim`; none where there is one alone."""
    return x.diff(dim=dim).abs().mean() if x.shape[dim] > 1 else x.new_zeros(())
