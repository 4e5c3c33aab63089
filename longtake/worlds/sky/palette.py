"""Colours of the sky by hour: dawn is pale and cool, dusk saturated and warm, noon deep blue."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

NAMES = ("zenith", "middle", "horizon", "glow", "lit", "shade", "light")

# Hour -> zenith, middle, horizon, glow around the sun, lit and shaded cloud, direct light on land; 0..255.
_TABLE: dict[float, tuple[tuple[int, int, int], ...]] = {
    0.0: ((5, 8, 28), (11, 18, 50), (30, 42, 82), (70, 84, 120), (108, 116, 146), (34, 39, 64), (40, 48, 72)),
    4.3: ((8, 12, 36), (18, 26, 64), (44, 54, 96), (80, 90, 130), (108, 114, 148), (38, 42, 70), (38, 46, 72)),
    5.2: ((58, 70, 132), (134, 122, 176), (226, 176, 192), (250, 204, 196), (222, 176, 202), (106, 100, 146), (96, 84, 104)),
    6.0: ((112, 138, 202), (192, 178, 218), (250, 212, 204), (255, 232, 204), (252, 218, 222), (152, 144, 186), (180, 158, 150)),
    6.8: ((120, 162, 220), (196, 206, 232), (253, 232, 206), (255, 242, 212), (255, 240, 228), (164, 168, 198), (220, 204, 176)),
    8.0: ((92, 152, 224), (156, 198, 238), (240, 236, 214), (255, 246, 222), (255, 250, 238), (166, 178, 204), (242, 228, 196)),
    9.8: ((64, 132, 220), (126, 184, 238), (220, 230, 226), (255, 250, 236), (255, 254, 246), (160, 174, 202), (250, 242, 220)),
    12.0: ((18, 78, 188), (58, 130, 220), (156, 204, 242), (232, 244, 255), (255, 255, 255), (148, 164, 194), (255, 252, 242)),
    14.4: ((34, 92, 186), (92, 146, 208), (206, 208, 204), (255, 240, 208), (255, 246, 226), (152, 156, 178), (255, 240, 206)),
    16.4: ((54, 98, 172), (132, 152, 186), (242, 204, 150), (255, 218, 150), (255, 230, 188), (150, 138, 150), (255, 218, 158)),
    17.3: ((62, 66, 144), (196, 116, 120), (255, 168, 78), (255, 164, 60), (255, 178, 98), (118, 82, 112), (250, 158, 84)),
    18.0: ((44, 36, 110), (178, 62, 100), (255, 118, 36), (255, 128, 30), (255, 118, 60), (86, 48, 94), (190, 84, 44)),
    18.8: ((26, 22, 78), (98, 38, 106), (228, 74, 50), (248, 92, 40), (212, 72, 82), (54, 34, 78), (92, 44, 52)),
    20.3: ((6, 9, 32), (14, 18, 56), (38, 42, 86), (70, 76, 118), (108, 112, 146), (36, 38, 66), (40, 48, 72)),
    24.0: ((5, 8, 28), (11, 18, 50), (30, 42, 82), (70, 84, 120), (108, 116, 146), (34, 39, 64), (40, 48, 72)),
}  # fmt: skip
_STEPS = 48  # table rows an hour


@functools.lru_cache(maxsize=1)
def _table() -> Tensor:
    hours = np.linspace(0, 24, 24 * _STEPS + 1)
    known = np.array(list(_TABLE))
    colours = np.array(list(_TABLE.values()), dtype=np.float64) / 255
    flat = colours.reshape(len(known), -1)
    rows = np.stack([np.interp(hours, known, column) for column in flat.T], axis=1)
    return torch.from_numpy(rows).reshape(len(hours), len(NAMES), 3)


def colours(hour: Tensor, gain: Tensor) -> dict[str, Tensor]:
    """Each named colour at the given hours (t): float32, t 3 1 1, in 0..1; `gain` (3) is the take's own tint."""
    place = hour * _STEPS
    low = place.floor().long().clamp(0, 24 * _STEPS - 1)
    part = (place - low)[:, None, None]
    rows = _table()[low] * (1 - part) + _table()[low + 1] * part
    rows = (rows * gain).clamp(0, 1).float()
    return {name: rows[:, k, :, None, None] for k, name in enumerate(NAMES)}


def mix(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """`share` of the other, the rest of the one."""
    return one + (other - one) * share


def grey(colour: Tensor) -> Tensor:
    """The luminance of a colour (t 3 1 1), in all three channels."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (colour * weights).sum(1, keepdim=True).expand_as(colour)
