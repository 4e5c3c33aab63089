"""The network behind `tfvd`: a small space-time convnet over 16 frames of 64x64."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 64  # pixels of the square it sees
FRAMES = 16  # of a clip
WIDTH = 64  # of its features
_CHANNELS = (16, 32, 64, 96)


class ClipNet(nn.Module):
    """Clips (b, 16, 3, 64, 64) in 0..1 -> features (b, 64).

    Space and time are convolved by turns, as in R(2+1)D (Tran et al. 2018). Frames enter with their
    difference from the one before and with their fine structure, both enlarged: motion, noise and
    sharpness stand in few grey levels. Every stage is read out, not only the last: what is wrong
    with a picture is seen early, what it shows late.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (7, *_CHANNELS)
        self.space = nn.ModuleList(_Space(*pair) for pair in zip(widths, _CHANNELS, strict=False))
        # The first, largest stage knows time by the differences it is given.
        self.time = nn.ModuleList(_Time(width) for width in _CHANNELS[1:])
        self.features = nn.Linear(3 * sum(_CHANNELS), WIDTH)

    def forward(self, clips: Tensor) -> Tensor:
        """See the class."""
        features: Tensor = self.features(self.readings(clips))
        return features

    def readings(self, clips: Tensor) -> Tensor:
        """What every stage says of clips, (b, 624): features are a linear map of it."""
        b, t = clips.shape[:2]
        found, field = [], _enlarged(clips)
        for stage, space in enumerate(self.space):
            field = space(field)
            if stage:
                field = self.time[stage - 1](field, t)
            found += _readings(field.unflatten(0, (b, t)))
        return torch.cat(found, 1)


class _Space(nn.Module):
    """Halves each frame."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, field: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(field)))


class _Time(nn.Module):
    """Mixes each place with itself one frame before and after; outside the clip there is nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3 * width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, field: Tensor, t: int) -> Tensor:
        clips = field.view(-1, t, *field.shape[1:])
        none = torch.zeros_like(clips[:, :1])
        before = torch.cat([none, clips[:, :-1]], 1)
        after = torch.cat([clips[:, 1:], none], 1)
        around = torch.cat([before, clips, after], 2).flatten(0, 1)
        return field + F.relu(self.norm(self.conv(around)))


def _enlarged(clips: Tensor) -> Tensor:
    """Frames (b*t, 7, h, w): colour, difference from the frame before, fine structure."""
    change = torch.cat([torch.zeros_like(clips[:, :1]), clips[:, 1:] - clips[:, :-1]], 1)
    luma = clips.mean(2, keepdim=True).flatten(0, 1)
    fine = luma - F.avg_pool2d(luma, 3, 1, 1, count_include_pad=False)
    return torch.cat([2 * clips.flatten(0, 1) - 1, 6 * change.flatten(0, 1), 8 * fine], 1)


def _readings(field: Tensor) -> list[Tensor]:
    """Of (b, t, c, h, w): the mean, how it varies in time, and how places change, (b, c) each."""
    course = field.mean((3, 4))
    change = (field[:, 1:] - field[:, :-1]).abs().mean((1, 3, 4))
    return [course.mean(1), (course.var(1, correction=0) + 1e-4).sqrt(), change]
