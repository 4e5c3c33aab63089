"""Cloud layers: two moving fields a kind, thresholded so that a wanted share is covered."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from longtake.worlds.sky.state import ATTRIBUTES
from longtake.worlds.sky.texture import Window, fractal, normal
from longtake.worlds.sky.track import Now

MIDDLE = 0.68  # perspective scale at the height of sky where a cloud moves at the stated speed
_SLOWER = 0.93  # the second field's share of the speed: shapes grow and dissolve
# The fields tile. Their slide across the wind, by travel and by time, keeps a view from coming back.
_ASLANT = (0.075, -0.052)  # units across for a unit along
_RISE = (0.0031, 0.0117)  # units across in a second


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a kind of cloud looks; every number blends during a passage."""

    soft: float  # width of the edge, in deviations of density
    opacity: float
    relief: float  # how strongly slopes of density catch the light
    body: float  # how much thick cloud darkens
    base: float  # light where neither applies
    dark: float  # share of light lost


KINDS: Mapping[str, Kind] = {
    "wispy": Kind(soft=1.5, opacity=0.88, relief=0.18, body=0.07, base=0.84, dark=0.0),
    "puffy": Kind(soft=0.42, opacity=1.0, relief=0.42, body=0.20, base=0.70, dark=0.0),
    "layered": Kind(soft=0.75, opacity=0.94, relief=0.34, body=0.19, base=0.58, dark=0.12),
    "stormy": Kind(soft=0.38, opacity=1.0, relief=0.34, body=0.20, base=0.46, dark=0.62),
}
_LOOKS = torch.tensor([dataclasses.astuple(KINDS[name]) for name in ATTRIBUTES["kind"]])
_LOOKS = _LOOKS.double()
_SHARE = 0.62  # of the second field in the sum


def perspective(rise: Tensor) -> Tensor:
    """The scale at which the cloud plane is seen, by height above the horizon."""
    return 0.42 + 0.75 * rise.clamp(min=0)


class Clouds:
    """The main cloud layer and the thin high wisps above it, for one sky of fixed geometry."""

    def __init__(
        self, make_rng: Callable[[str], np.random.Generator], x: Tensor, rise: Tensor
    ) -> None:
        scale = perspective(rise)
        self._make_rng = make_rng
        self._u = (x / scale).contiguous()
        self._v = (-0.9 / scale).expand_as(self._u).contiguous()
        self._kinds: dict[str, tuple[Window, Window, Tensor]] = {}
        self._wisps: Window | None = None

    def looks(self, now: Now) -> tuple[Tensor, ...]:
        """The numbers of `Kind`, one column each, blended: float32, t 1 1."""
        blend = (now.mix["kind"][:, :, None] * _LOOKS).sum(1).float()
        return tuple(column[:, None, None] for column in blend.unbind(1))

    def density(self, now: Now) -> Tensor:
        """How far above the threshold the cloud is (t h w), in deviations: positive is inside."""
        shares = now.mix["kind"]
        total: Tensor | None = None
        norm = shares.square().sum(1).sqrt()
        for place, name in enumerate(ATTRIBUTES["kind"]):
            share = shares[:, place]
            if not bool((share > 0).any()):
                continue
            main, slow, table = self._of(name)
            unit = now.travel / MIDDLE
            field = main.at(unit, _ASLANT[0] * unit + _RISE[0] * now.seconds)
            slide = _ASLANT[1] * unit + _RISE[1] * now.seconds
            field += slow.at(_SLOWER * unit, slide) * _SHARE
            spread = math.hypot(1, _SHARE)
            field *= (share / spread / norm).float()[:, None, None]
            field -= (share * _threshold(table, now.cover)).float()[:, None, None]
            total = field if total is None else total + field
        assert total is not None
        return total

    def wisps(self, now: Now) -> Tensor:
        """The opacity of the thin high layer (t h w), 0..1; it moves slower, being farther."""
        if self._wisps is None:
            rng = self._make_rng("wisps")
            self._wisps = Window(_wispy(rng) + 0.0, self._u, self._v)
        field = self._wisps.at(0.7 * now.travel / MIDDLE + 1.7, 0.06 * now.travel)
        return field.sub_(0.35).mul_(0.34).clamp_(0, 0.45)

    def _of(self, name: str) -> tuple[Window, Window, Tensor]:
        if name not in self._kinds:
            rng = self._make_rng(f"cloud {name}")
            main, slow = _FIELDS[name](rng)
            places = rng.integers(0, main.numel(), 16384)
            others = rng.integers(0, slow.numel(), 16384)
            both = main.flatten()[places] + _SHARE * slow.flatten()[others]
            table = torch.sort(both / math.hypot(1, _SHARE)).values[32::64].double()
            self._kinds[name] = (
                Window(main, self._u, self._v),
                Window(slow, self._u, self._v),
                table,
            )
        return self._kinds[name]


def _threshold(table: Tensor, cover: Tensor) -> Tensor:
    """The density that a share `cover` (t) of the sky exceeds."""
    place = (1 - cover.clamp(0, 0.995)) * (len(table) - 1)
    low = place.floor().long().clamp(0, len(table) - 2)
    return table[low] + (table[low + 1] - table[low]) * (place - low)


def _wispy(rng: np.random.Generator) -> Tensor:
    tilt = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 0.35))
    streaks = fractal(rng, slope=1.5, corner=2.0, finest=14, stretch=4.0, tilt=tilt)
    return normal(streaks + 0.6 * fractal(rng, slope=2.4, corner=1.0, finest=6, stretch=1.5))


def _billows(rng: np.random.Generator, corner: float) -> Tensor:
    """Round lumps with creases between them."""
    return normal(fractal(rng, slope=3.0, corner=corner, finest=3.5 * corner).abs().pow(0.8))


def _wispy_fields(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    return _wispy(rng), fractal(rng, slope=2.2, corner=1.2, finest=5, stretch=2.0, shape=(240, 480))


def _puffy_fields(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    lumps = 0.55 * _billows(rng, 3.2) + 0.3 * _billows(rng, 6.5)
    main = fractal(rng, slope=2.8, corner=1.8, finest=14, stretch=1.25) + lumps
    return normal(main), fractal(rng, slope=2.6, corner=1.5, finest=5, shape=(240, 480))


def _layered_fields(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    main = fractal(rng, slope=2.1, corner=2.6, finest=10, stretch=3.6)
    return main, fractal(rng, slope=2.6, corner=1.8, finest=6, stretch=2.6, shape=(240, 480))


def _stormy_fields(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    lumps = 0.45 * _billows(rng, 2.4) + 0.3 * _billows(rng, 5.0)
    main = fractal(rng, slope=3.0, corner=1.0, finest=9) + lumps
    return normal(main), fractal(rng, slope=2.8, corner=1.0, finest=5, shape=(240, 480))


_FIELDS: Mapping[str, Callable[[np.random.Generator], tuple[Tensor, Tensor]]] = {
    "wispy": _wispy_fields,
    "puffy": _puffy_fields,
    "layered": _layered_fields,
    "stormy": _stormy_fields,
}
