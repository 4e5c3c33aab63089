"""The sparse DCT codec: blocks of cosine coefficients, later frames as what is new since the one before.

After DCTransformer (Nash et al. 2021, "Generating images with sparse representations", section 2)
and Transframer (Nash et al. 2022, section 2.2). It learns nothing: a clip becomes whole numbers,
most of them zero, and `sparse` writes those that are not as a list for token models.
Chroma is not subsampled here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from longtake.clip import CodecSpec
from longtake.codecs.kl import padded
from longtake.errors import InputError

# RGB to luma and two colour differences, orthonormal: an error costs the same in either.
_YCC = torch.tensor(
    [
        [1 / math.sqrt(3)] * 3,
        [1 / math.sqrt(2), 0, -1 / math.sqrt(2)],
        [1 / math.sqrt(6), -2 / math.sqrt(6), 1 / math.sqrt(6)],
    ]
)


def cosines(n: int) -> Tensor:
    """(n, n) orthonormal DCT-II, lowest frequency first (Ahmed et al. 1974)."""
    k, x = torch.arange(n)[:, None], torch.arange(n)[None] + 0.5
    rows = torch.cos(math.pi / n * k * x) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows


class DCTCodec:
    """Latents are rounded coefficients: (group * 3 * block^2) numbers for block x block pixels of `group` frames.

    step: of the rounding, in parts of the range [0, 1]; finer for low frequencies by `slope`
    (the step of frequency (u, v) is step * (1 + slope * (u + v))). The first frame of a group is coded
    whole, each later one as its difference from the frame before *as decoded*, so that errors of
    rounding do not add up and no error is larger than half a step in the mean of squares.
    """

    def __init__(
        self, block: int = 8, group: int = 4, step: float = 0.02, slope: float = 0.0
    ) -> None:
        for name, value, least in (("block", block, 2), ("group", group, 1)):
            if value < least:
                raise InputError(f"{name}={value}", "DCTCodec", f"{name}={least} or more")
        if not (0 < step < 1 and slope >= 0):
            raise InputError(f"step={step}, slope={slope}", "DCTCodec", "step=0.02, slope=0")
        self.block, self.group = block, group
        frequency = torch.arange(block, dtype=torch.float32)
        size = step * (1 + slope * (frequency[:, None] + frequency[None]))
        # Unit pixels give coefficients of up to `block`: an orthonormal transform, so steps keep their scale.
        self._step = size.flatten().repeat(3)[:, None, None]
        rows = cosines(block)
        basis = torch.einsum("cr,ui,vj->cuvrij", _YCC, rows, rows)
        self._basis = basis.reshape(3 * block**2, 3, block, block)
        mark = f"dct {block} {group} {step} {slope}"
        self.spec = CodecSpec(group * 3 * block**2, block, group, (0, 0), mark)

    def encode(self, video: Tensor) -> Tensor:
        """See `Codec`; latents are whole numbers held as floats."""
        frames = padded(video, self.block).unflatten(1, (-1, self.group))
        before = torch.full_like(frames[:, :, 0], 0.5)
        found = []
        for frame in frames.unbind(2):
            whole = (self._analysed(frame - before) / self._step).round()
            before = before + self._made(whole)
            found.append(whole)
        return torch.cat(found, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        steps = [self._made(whole) for whole in latents.chunk(self.group, 2)]
        frames = 0.5 + torch.stack(steps, 2).cumsum(2)
        return frames.flatten(1, 2).clamp(0, 1)

    def _analysed(self, frames: Tensor) -> Tensor:
        """(b, s, 3, h, w) -> (b, s, 3 block^2, h/block, w/block)."""
        flat = F.conv2d(frames.flatten(0, 1), self._basis.to(frames), stride=self.block)
        return flat.unflatten(0, frames.shape[:2])

    def _made(self, whole: Tensor) -> Tensor:
        """The inverse of `_analysed`, of rounded coefficients."""
        values = (whole * self._step).flatten(0, 1)
        flat = F.conv_transpose2d(values, self._basis.to(values), stride=self.block)
        return flat.unflatten(0, whole.shape[:2])


def sparse(latents: Tensor) -> Tensor:
    """(channels, h, w) of one latent frame -> (n, 4): channel, row, column, value of all that is not zero.

    Channel after channel, and so low frequencies of the first frame first (Nash et al. 2021,
    section 2.2): the beginning of a list is already a coarse picture.
    """
    where = latents.nonzero()
    return torch.cat([where, latents[tuple(where.T)].round().long()[:, None]], 1)


def dense(tokens: Tensor, frame: tuple[int, int, int]) -> Tensor:
    """(n, 4) -> (channels, h, w): what `sparse` wrote, or the beginning of it."""
    latents = torch.zeros(frame)
    channel, row, column, value = tokens.T
    latents[channel, row, column] = value.float()
    return latents
