"""What lights the scene at a moment: where sun and moon stand, and the colours that follow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from longtake.worlds.sky.clouds import KINDS
from longtake.worlds.sky.palette import colours, grey, mix
from longtake.worlds.sky.state import ATTRIBUTES
from longtake.worlds.sky.track import Now, smoothstep

_DARK = torch.tensor([KINDS[name].dark for name in ATTRIBUTES["kind"]], dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class Light:
    """The light of t moments. Colours are t 3 1 1, shares t 1 1 1 unless said otherwise."""

    colour: Mapping[str, Tensor]
    x: Tensor  # of sun or moon, heights from the middle: t
    rise: Tensor  # above the horizon: t
    radius: Tensor
    sun: Tensor  # colour of the disc
    disc: Tensor
    halo: Tensor
    glow: Tensor
    above: Tensor  # how much light comes from above rather than below: t 1 1
    beside: Tensor  # how much comes from the side: t 1 1
    lean: Tensor  # -1 light from the right .. 1 from the left
    stars: Tensor
    lit: Tensor
    shade: Tensor
    veil: Tensor  # colour of high wisps
    wisps: Tensor
    ambient: Tensor
    direct: Tensor
    haze: Tensor
    thick: Tensor  # of haze
    fog: Tensor
    distance: Tensor  # colour of far land
    lamps: Tensor
    deep: Tensor  # colour of deep water
    glitter: Tensor
    rain: Tensor
    drops: Tensor
    storm: Tensor  # t, float64
    over: Tensor  # how overcast: t 1 1


def light(now: Now, tint: Tensor, horizon: float) -> Light:
    """The light at the given moments for a take tinted by `tint` (3)."""
    colour = colours(now.hour, tint)
    height = torch.sin((now.hour - 6) / 12 * math.pi) + 0.05  # of the sun: days are long
    night = smoothstep((-height - 0.22) / 0.2)
    seen = (2 * night - 1).abs()  # neither sun nor moon shines while they change places
    x, rise = _places(now.hour, height, night, horizon)
    weather = dict(zip(ATTRIBUTES["weather"], now.mix["weather"].unbind(1), strict=True))
    hazy, wet = weather["haze"], weather["rain"] + weather["storm"]
    over = smoothstep((now.cover - 0.45) / 0.45)
    dark = (now.mix["kind"] * _DARK).sum(1) * (0.3 + 0.7 * smoothstep(now.cover / 0.5))
    dark = dark * (1 - 0.35 * night)
    dull = 0.26 * over + 0.16 * wet
    lit = _dulled(colour["lit"], dull) * _tall(
        (1 - 0.16 * over) * (1 - 0.44 * dark) * (1 - 0.10 * wet)
    )
    shade = _dulled(colour["shade"], dull) * _tall((1 - 0.78 * dark) * (1 - 0.15 * over))
    air = {name: _dulled(colour[name], 0.6 * dull) for name in ("zenith", "middle", "horizon")}
    cast = _tall(0.45 * over + 0.25 * dark + 0.30 * wet * (1 - over))
    air = {
        name: mix(value, mix(shade, lit, torch.tensor(0.45)), cast) for name, value in air.items()
    }
    low = torch.exp(-((height / 0.35) ** 2))
    up = smoothstep((height + 0.10) / 0.35)
    bright = grey(lit)
    sun = mix(lit, torch.ones_like(lit), _tall(0.55 + 0.3 * up))
    haze = mix(
        mix(air["horizon"], grey(air["horizon"]), _tall(0.35 + 0.3 * hazy)),
        shade,
        _tall(0.45 * wet),
    )
    clear = (1 - 0.7 * over) * (1 - 0.6 * hazy) * (1 - 0.6 * wet)
    return Light(
        colour={**colour, **air},
        x=x.float(),
        rise=rise.float(),
        radius=_tall(0.030 + 0.006 * night),
        sun=mix(sun, torch.tensor([0.95, 0.95, 0.88]).view(1, 3, 1, 1), _tall(night)),
        disc=_tall(seen * (1 - 0.65 * hazy) * (1 - 0.5 * wet)),
        halo=_tall(seen * (0.62 - 0.30 * night) * (1 - 0.5 * over) * (1 - 0.5 * wet)),
        glow=_tall(
            (0.30 + 0.62 * low) * (1 - night) * (1 - 0.6 * over) * (1 - 0.5 * wet)
            + 0.22 * night * (1 - over)
        ),
        above=_flat((1.9 * height + 0.3).clamp(-0.35, 1) * (1 - night) + 0.9 * night),
        beside=_flat(seen * (1 - 0.55 * height.abs() * (1 - night)) * (1 - 0.5 * over)),
        lean=_tall((-4 * x).clamp(-1, 1) * seen),
        stars=_tall(night * (1 - 0.6 * hazy) * (1 - 0.7 * wet)),
        lit=lit,
        shade=shade,
        veil=mix(lit, bright, _tall(0.2 * up)),
        wisps=_tall((0.85 - 0.25 * night) * (1 - 0.4 * hazy)),
        ambient=0.20 * air["zenith"] + 0.30 * air["middle"] + 0.22 * air["horizon"] + 0.03,
        direct=_tall(0.80 * up * clear + 0.42 * night * clear),
        haze=haze,
        thick=_tall(0.74 * hazy + 0.16 * wet),
        fog=_tall(0.62 + 0.36 * hazy + 0.28 * wet),
        distance=mix(haze, air["middle"], _tall(0.25 * (1 - hazy))),
        lamps=_tall((smoothstep((0.24 - height) / 0.34) + 0.35 * dark * wet).clamp(max=1)),
        deep=mix(
            air["zenith"],
            torch.tensor([0.02, 0.16, 0.22]).view(1, 3, 1, 1) * bright,
            _tall(0.5 + 0 * x),
        )
        * 0.62,
        glitter=_tall(
            seen * clear * (0.30 + 0.60 * low) * (smoothstep((height + 0.16) / 0.16) + night)
        ),
        rain=_tall(0.8 * weather["rain"] + weather["storm"]),
        drops=mix(grey(air["horizon"]), torch.ones_like(lit), _tall(0.35 - 0.15 * night)),
        storm=weather["storm"],
        over=_flat(over),
    )


def _places(hour: Tensor, height: Tensor, night: Tensor, horizon: float) -> tuple[Tensor, Tensor]:
    """Where sun or moon stands: x and rise in heights (t). The camera looks south: east is left."""
    late = torch.where(hour < 12, hour + 24, hour)
    phase = ((late - 24.25) / 4.3).clamp(-1.3, 1.3)
    moon_x, moon_rise = 0.33 * torch.sin(phase * 1.4), 0.82 * horizon * torch.cos(phase * 1.15)
    sun_x, sun_rise = -0.37 * torch.cos((hour - 6) / 12 * math.pi), 0.82 * horizon * height
    moonlit = night > 0.5
    return torch.where(moonlit, moon_x, sun_x), torch.where(moonlit, moon_rise, sun_rise)


def _dulled(colour: Tensor, share: Tensor) -> Tensor:
    return mix(colour, grey(colour), _tall(share))


def _tall(value: Tensor) -> Tensor:
    return value.float()[:, None, None, None]


def _flat(value: Tensor) -> Tensor:
    return value.float()[:, None, None]
