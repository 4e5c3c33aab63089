"""What the codec of `skies` learns from: crops of the world, of a film, and of both held still."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from longtake.nets.autoencoder import AutoencoderShape
from longtake.recipes.skies import data
from longtake.worlds.sky import Sky

SIDE = 64  # pixels of a crop: context enough for a net whose filters are all small
FPS = 10


def stretches(count: int, seed: int, length: int = 24) -> Tensor:
    """(count, length, 3, 128, 128) uint8 of the world, each from somewhere in another take."""
    rng = np.random.default_rng([seed, 3])
    clips = []
    for n in range(count):
        sky = Sky(data.draw_take(rng), seed=n)
        begin = int(rng.integers(0, 900))
        clips.append(sky.render(range(begin, begin + length)))
    return torch.stack(clips)


@dataclasses.dataclass(frozen=True)
class Crops:
    """world (n, t, 3, 128, 128) and film (t, 3, h, w), uint8; every crop is (length, 3, SIDE, SIDE) in [0, 1]."""

    world: Tensor
    film: Tensor

    def clip(self, rng: np.random.Generator, length: int) -> Tensor:
        """A world clip, a film clip, or one frame of either held still, maybe halved, maybe mirrored."""
        style = rng.random()
        source = self.film.flatten(0, -4)
        if style < 0.45:
            source = self.world[int(rng.integers(len(self.world)))]
        clip = source[int(rng.integers(len(source) - length + 1)) :][:length]
        if style < 0.04 or style > 0.66:  # photographs come as stills
            clip = clip[:1].expand(length, -1, -1, -1)
        side = 2 * SIDE if style >= 0.45 and rng.random() < 0.6 else SIDE
        top, left = (int(rng.integers(0, extent - side + 1)) for extent in clip.shape[-2:])
        clip = clip[..., top : top + side, left : left + side].float() / 255
        clip = F.avg_pool2d(clip, 2) if side > SIDE else clip
        return clip.flip(-1) if rng.random() < 0.5 else clip

    def remade(self, rng: np.random.Generator, latents: Tensor) -> tuple[Tensor, Tensor]:
        """A world clip, and the same crop of its latents (n, s, c, h, w)."""
        n = int(rng.integers(len(self.world)))
        height, width = latents.shape[-2:]
        down = AutoencoderShape.down
        size = SIDE // down
        top, left = (int(rng.integers(0, extent - size + 1)) for extent in (height, width))
        part = self.world[n, ..., down * top :, down * left :][..., :SIDE, :SIDE]
        return part.float() / 255, latents[n, ..., top : top + size, left : left + size]
