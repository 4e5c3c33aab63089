"""The codec that is none: pixels themselves, in blocks if wished, centred at zero for models."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from longtake.clip import CodecSpec
from longtake.codecs.kl import padded
from longtake.errors import InputError


class PixelCodec:
    """Latents are pixels in [-1, 1]; every block of block x block pixels becomes one place of 3 block^2 numbers."""

    def __init__(self, block: int = 1) -> None:
        if block < 1:
            raise InputError(f"block={block}", "PixelCodec", "block=1 or more")
        self.block = block
        self.spec = CodecSpec(3 * block**2, block, 1, (0, 0), f"pixels {block}")

    def encode(self, video: Tensor) -> Tensor:
        """See `Codec`; edges are repeated up to a multiple of the block."""
        return F.pixel_unshuffle(padded(video, self.block) * 2 - 1, self.block)

    def decode(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        return (F.pixel_shuffle(latents, self.block) / 2 + 0.5).clamp(0, 1)
