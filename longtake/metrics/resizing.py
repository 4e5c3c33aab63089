"""How pictures come to the size a network sees; each way has a name that protocols carry."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def square(frames: Tensor, side: int) -> Tensor:
    """The middle square of pictures, at side x side: (t, 3, h, w) in 0..255 -> floats in 0..1.

    Bilinear with antialiasing where it shrinks, as Pillow resizes.
    """
    height, width = frames.shape[-2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    cut = frames[..., top : top + short, left : left + short].float() / 255
    return cut if short == side else _bilinear(cut, side, antialias=True)


def squeezed(frames: Tensor, side: int, *, antialias: bool = False) -> Tensor:
    """Whole pictures at side x side, whatever their shape: (t, 3, h, w) in 0..255 -> 0..1."""
    return _bilinear(frames.float() / 255, side, antialias=antialias)


def clean(frames: Tensor, side: int) -> Tensor:
    """Whole pictures at side x side as clean-fid resizes them (Parmar et al. 2022): in 0..255, not rounded.

    Bicubic with antialiasing, as Pillow resizes floats.
    """
    pictures = frames.float()
    if pictures.shape[-2:] != (side, side):
        pictures = F.interpolate(
            pictures, (side, side), mode="bicubic", antialias=True, align_corners=False
        )
    return pictures.clamp(0, 255)


def _bilinear(pictures: Tensor, side: int, *, antialias: bool) -> Tensor:
    if pictures.shape[-2:] == (side, side):
        return pictures
    return F.interpolate(
        pictures, (side, side), mode="bilinear", antialias=antialias, align_corners=False
    )
