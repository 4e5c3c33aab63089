"""The tri-plane codec: a clip of frames as one latent frame of three planes (PVDM, Yu et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from longtake.clip import CodecSpec
from longtake.codecs.kl import apart, padded
from longtake.errors import InputError
from longtake.nets.planes import PlaneAutoencoder, Planes, packed, unpacked


class PlaneCodec:
    """Clips of `net.frames` frames to latent frames (3c, h/down, w/down); see `packed`.

    Clips are coded apart, as the paper's are: what is between them is the clip model's to join.
    """

    def __init__(self, net: PlaneAutoencoder, fingerprint: str) -> None:
        self.net, shape = net.eval(), net.shape
        self.spec = CodecSpec(3 * shape.channels, shape.down, net.frames, (0, 0), fingerprint)

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """See `Codec`; InputError where a picture has fewer places along an edge than planes have frames."""
        video = padded(video.to(self._device), self.spec.down) * 2 - 1
        frames = self.net.frames // self.net.shape.stride
        places = [side // self.spec.down for side in video.shape[-2:]]
        if frames > min(places):
            least = frames * self.spec.down
            raise InputError(
                f"a picture of {video.shape[-1]}x{video.shape[-2]} holds planes of {frames} frames",
                "PlaneCodec",
                f"{least}x{least} pixels or more",
            )
        b = len(video)
        clips = video.unflatten(1, (-1, self.net.frames)).flatten(0, 1)
        return packed(self.net.planes(clips)).unflatten(0, (b, -1))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        planes: Planes = unpacked(
            latents.to(self._device).flatten(0, 1), self.net.frames // self.net.shape.stride
        )
        clips = self.net.made(planes).unflatten(0, latents.shape[:2])
        return (clips.flatten(1, 2) / 2 + 0.5).clamp(0, 1)

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device


class PlaneTraining:
    """Losses of a tri-plane autoencoder on clips in [0, 1]."""

    def __init__(self, net: PlaneAutoencoder) -> None:
        self.net = net

    def __call__(self, video: Tensor) -> Mapping[str, Tensor]:
        """(b, frames, 3, h, w) -> named losses; their sum is the objective."""
        return apart(self.net(video * 2 - 1), video * 2 - 1)
