"""The renderer: sky, clouds, weather and land, composed for a few frames at a time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.worlds.laws import Violation
from longtake.worlds.sky import laws
from longtake.worlds.sky.canvas import Land
from longtake.worlds.sky.clouds import Clouds
from longtake.worlds.sky.land import paint
from longtake.worlds.sky.light import Light, light
from longtake.worlds.sky.state import ATTRIBUTES, Moment, Script
from longtake.worlds.sky.texture import Window, fractal
from longtake.worlds.sky.track import Now, Track, smoothstep
from longtake.worlds.sky.weather import Rain, bolt, flashes

_CHUNK = 8  # frames composed together: small enough to stay in cache


class Sky:
    """A landscape under a moving sky, `script` from beginning to end and on for ever.

    Lengths count picture heights, so a wider picture shows more land and a larger one the same
    finer.
    """

    LAWS: ClassVar[Mapping[str, str]] = laws.LAWS

    def __init__(
        self,
        script: Script,
        *,
        seed: int,
        size: tuple[int, int] = (128, 128),
        fps: float = 10.0,
        land: Land | None = None,
    ) -> None:
        """`land`: what to show instead of the lands the script names, painted for `size`."""
        width, height = size
        if min(size) < 16 or max(size) > 4096 or width > 6 * height:
            raise InputError(f"size {width}x{height}", "sky", "128x128")
        if not (fps > 0 and math.isfinite(fps)):
            raise InputError(f"fps {fps}", "sky", "10")
        if seed < 0:
            raise InputError(f"seed {seed}", "sky", "0 or more")
        self.script, self.seed, self.size, self.fps = script, seed, (width, height), float(fps)
        self._track = Track(script, self._rng("track"))
        rng = self._rng("frame")
        self.horizon = 1 - float(rng.uniform(0.22, 0.40))
        self._tint = torch.from_numpy(rng.normal(1, 0.025, 3))
        self._x = ((torch.arange(width) + 0.5) / height - width / height / 2)[None]
        self._y = ((torch.arange(height) + 0.5) / height)[:, None]
        self._rows = min(height, math.ceil(self.horizon * height) + 1)  # of sky
        self._rise = self.horizon - self._y[: self._rows]
        self._air = torch.exp(-self._rise.clamp(min=0) / 0.10)  # of the horizon's haze, by height
        self._clouds = Clouds(self._rng, self._x, self._rise)
        self._stars = self._scatter()
        self._lands = {} if land is None else dict.fromkeys(ATTRIBUTES["land"], land)
        self._waves: Window | None = None
        self._rain: Rain | None = None
        self._album = laws.Album(self)

    def render(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`: uint8, t 3 h w; a frame alone has its bytes of a run."""
        places = _checked(indices)
        out = torch.empty(len(places), 3, self.size[1], self.size[0], dtype=torch.uint8)
        with torch.no_grad():
            for begin in range(0, len(places), _CHUNK):
                part = places[begin : begin + _CHUNK]
                picture = self._compose(self._now(part))
                out[begin : begin + len(part)] = picture.mul_(255).add_(0.5).clamp_(0, 255).byte()
        return out

    def moment(self, index: int) -> Moment:
        """The state in force at a frame."""
        (place,) = _checked([index])
        return self._track.moment(place / self.fps)

    def truth(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """What is known of each frame: numbers (t), classes by attribute (t), controls (t WIDTH).

        `hour` 0..24; `sun_elevation` and `sun_azimuth` in degrees, east 90; `covered`, the share of
        sky under cloud; `flow`, the speed of the middle cloud layer in heights a second, positive
        to the right. In a passage the controls hold the mix; a class is that with the larger share.
        """
        now = self._now(_checked(indices))
        angle = (now.hour - 6) / 12 * math.pi
        known = {
            "hour": now.hour,
            "sun_elevation": 65 * torch.sin(angle),
            "sun_azimuth": 90 + torch.remainder(now.hour - 6, 24) * 15,
            "covered": now.cover,
            "flow": now.wind,
        }
        truth = {name: value.float() for name, value in known.items()}
        truth["sun_azimuth"] = torch.remainder(truth["sun_azimuth"], 360)
        truth |= {name: now.mix[name].argmax(1) for name in ATTRIBUTES}
        truth["controls"] = torch.cat([now.mix[name] for name in ATTRIBUTES], dim=1).float()
        return truth

    def read(self, frames: Tensor) -> dict[str, Tensor]:
        """See `worlds.laws.Lawful`: the truth of the moments that frames show, their numbers as `frame`."""
        return laws.read(self._album, frames)

    def judge(self, state: Mapping[str, Tensor]) -> list[Violation]:
        """See `worlds.laws.Lawful`."""
        return laws.judge(self._album, state)

    def land(self, name: str) -> Land:
        """The land of that name under this sky."""
        if name not in self._lands:
            self._lands[name] = paint(name, self._rng(f"land {name}"), self.size, self.horizon)
        return self._lands[name]

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def _now(self, places: Sequence[int]) -> Now:
        return self._track.now(torch.tensor(places, dtype=torch.float64) / self.fps)

    def _compose(self, now: Now) -> Tensor:
        """The picture in 0..1: t 3 h w."""
        lamp = light(now, self._tint, self.horizon)
        strength, place, stroke = flashes(self.seed, now.seconds)
        flash = (strength * lamp.storm).float()[:, None, None, None]
        picture = torch.zeros(len(now.hour), 3, self.size[1], self.size[0])
        picture[:, :, : self._rows] = self._sky(now, lamp, flash, place.float())
        self._strike(picture, flash, stroke)
        shares = now.mix["land"].float()
        active = [k for k in range(shares.shape[1]) if bool((shares[:, k] > 0).any())]
        if len(active) == 1:
            self._lit(ATTRIBUTES["land"][active[0]], picture, now, lamp, flash)
        else:
            views = [picture.clone() for _ in active]
            picture.zero_()
            for k, view in zip(active, views, strict=True):
                self._lit(ATTRIBUTES["land"][k], view, now, lamp, flash)
                picture += view * shares[:, k, None, None, None]
        self._fall(picture, now, lamp)
        return picture

    def _sky(self, now: Now, lamp: Light, flash: Tensor, place: Tensor) -> Tensor:
        """Air, sun, moon, stars and clouds above the horizon: t 3 rows w."""
        colour = lamp.colour
        low, high = smoothstep(self._rise / 0.30), smoothstep((self._rise - 0.12) / 0.6)
        air = colour["horizon"] + (colour["middle"] - colour["horizon"]) * low
        air = air + (colour["zenith"] - air) * high
        sky = air.expand(-1, -1, -1, self.size[0]).contiguous()
        near = self._glow(sky, lamp)
        alpha, light_ = self._main(now, lamp)
        if bool((lamp.stars > 0).any()):
            sky += self._stars * lamp.stars
        wisps = self._clouds.wisps(now)[:, None] * lamp.wisps
        wisps *= 1 - 0.6 * self._air
        _over(sky, lamp.veil, wisps)
        light_ += 0.30 * near * (1 - alpha * 0.5)
        cloud = light_.clamp_(0, 1.25) * (lamp.lit - lamp.shade)
        cloud += lamp.shade
        fade = 0.62 * self._air
        cloud += (air - cloud) * fade
        if bool((flash > 0).any()):
            lobe = torch.exp(-(((self._x - place[:, None, None]) / 0.25) ** 2))[:, None]
            cloud += (
                flash
                * (0.12 + 0.75 * lobe * light_)
                * torch.tensor([0.8, 0.82, 1.0]).view(1, 3, 1, 1)
            )
        cloud -= sky
        cloud *= alpha
        sky += cloud
        _over(sky, lamp.haze, lamp.thick * (0.38 + 0.62 * self._air))
        return sky

    def _main(self, now: Now, lamp: Light) -> tuple[Tensor, Tensor]:
        """The main layer's opacity and its light (t 1 rows w)."""
        soft, opacity, relief, body, base, _ = self._clouds.looks(now)
        density = self._clouds.density(now)
        step = max(1, round(0.012 * self.size[1]))
        side = torch.tanh((lamp.x[:, None, None] - self._x) * 3)
        light_ = torch.zeros_like(density)
        scale = relief * (1 + 0.7 * lamp.over) * (0.012 * self.size[1] / step)
        light_[:, step:-step] = (density[:, 2 * step :] - density[:, : -2 * step]) * (
            scale * lamp.above
        )
        rim = (density[:, :, 2 * step :] - density[:, :, : -2 * step]) * side[:, :, step:-step]
        light_[:, :, step:-step] -= rim * (scale * lamp.beside)
        thick = density.clamp(-0.5, 4) - 1.35 * lamp.over
        light_ += base - 0.10 * lamp.over - body * (1 + 0.7 * lamp.over) * thick
        alpha = smoothstep(density / soft + 0.5) * opacity
        alpha += (1 - alpha) * (0.82 * lamp.over)  # gaps in a closed deck show thinner cloud
        return alpha[:, None], light_[:, None]

    def _glow(self, sky: Tensor, lamp: Light) -> Tensor:
        """Paint sun or moon and the light around it; returns its nearness (t 1 rows w)."""
        dx = self._x - lamp.x[:, None, None]
        dy = self._rise - lamp.rise[:, None, None]
        wide = torch.exp(-((dx / 0.46) ** 2)) * torch.exp(-((dy / 0.26) ** 2))
        _over(sky, lamp.colour["glow"], wide[:, None] * lamp.glow)
        square = (dx * dx + dy * dy)[:, None]
        halo = lamp.halo / (1 + square * 160)
        disc = ((lamp.radius - square.sqrt()) * (self.size[1] / 2.2) + 0.5).clamp_(0, 1) * lamp.disc
        _over(sky, lamp.sun, (halo + disc).clamp_(0, 1))
        return wide[:, None] * lamp.glow

    def _scatter(self) -> Tensor:
        """Stars as soft points: 1 rows w."""
        rng = self._rng("stars")
        count = 420
        xs, ys = rng.uniform(-3, 3, count), rng.uniform(0, self.horizon - 0.02, count)
        powers = 0.2 + 0.7 * rng.random(count) ** 4
        picture = torch.zeros(self._rows, self.size[0])
        sigma = 0.56 / 128
        for x, y, power in zip(xs, ys, powers, strict=True):
            if abs(x) < self.size[0] / self.size[1] / 2 + 0.02:
                row = torch.exp(-(((self._y[: self._rows] - y) / sigma) ** 2) / 2)
                picture += power * row * torch.exp(-(((self._x - x) / sigma) ** 2) / 2)
        return picture[None].clamp(0, 1)

    def _lit(self, name: str, picture: Tensor, now: Now, lamp: Light, flash: Tensor) -> None:
        """Lay a land under the present light over the sky, in place."""
        land = self.land(name)
        catch = lamp.direct * (0.55 + 0.45 * land.slope * lamp.lean)
        ground = catch * lamp.colour["light"]
        ground += lamp.ambient + 0.45 * flash
        ground *= land.albedo
        _over(ground, lamp.distance, (land.depth * lamp.fog).clamp_(0, 0.93))
        if bool((lamp.lamps > 0).any()):
            ground += (land.lamps - ground * 0.5 * land.lamps) * lamp.lamps
        view = picture[:, :, land.top :]
        ground -= view
        ground *= land.mask
        view += ground
        if land.shore < 1:
            self._water(picture, land, now, lamp)

    def _water(self, picture: Tensor, land: Land, now: Now, lamp: Light) -> None:
        """Reflection, swell and glitter over the land's water, in place."""
        first = min(int(land.shore * self.size[1]), self.size[1] - 1)
        down = (self._y[first:] - land.shore).clamp(min=0)
        if self._waves is None:
            field = fractal(self._rng("waves"), slope=1.2, corner=3.0, finest=13, stretch=3.0)
            scale = (0.05 + 1.1 * (self._y - self.horizon)).clamp(min=0.05)
            high = (-0.30 / scale).expand(self.size[1], self.size[0])
            self._waves = Window(field, self._x / scale * 0.9, high)
        drift = 0.25 * now.travel + 0.05 * now.seconds
        swell = self._waves.at(drift, 0.06 * now.seconds, first)
        swell += self._waves.at(0.37 - 0.6 * drift, 1.1 + 0.045 * now.seconds, first)
        swell = swell[:, None]
        calm = torch.exp(-down * 3)
        tone = self._mirror(picture, land.shore, down) * (0.62 + 0.30 * calm)
        tone += lamp.deep * (1 - 0.6 * calm)
        tone *= 1 + 0.06 * swell * (0.35 + (down * 6).clamp(max=1))
        beam = torch.exp(-(((self._x - lamp.x[:, None, None]) / (0.035 + 0.35 * down)) ** 2))
        spark = ((swell - 0.35) * 0.9).clamp_(0, 1.3) + 0.25
        _over(tone, lamp.sun, (spark * beam[:, None]).mul_(lamp.glitter).clamp_(0, 1))
        view = picture[:, :, first:]
        view += (tone - view) * land.water[:, first - land.top :]

    def _mirror(self, picture: Tensor, shore: float, down: Tensor) -> Tensor:
        """What stands above the shore upside down and drawn out: a row for each row of water."""
        total: Tensor | None = None
        for stretch, weight in ((1.0, 0.3), (1.5, 0.4), (2.1, 0.3)):
            rows = ((shore - 0.008 - stretch * down[:, 0]) * self.size[1]).long()
            seen = picture[:, :, rows.clamp(0, self.size[1] - 1)] * weight
            total = seen if total is None else total + seen
        assert total is not None
        return total

    def _strike(self, picture: Tensor, flash: Tensor, stroke: Tensor) -> None:
        for k in range(len(flash)):
            power = float(flash[k])
            if power > 0.25:
                mark = bolt(self.seed, int(stroke[k]), self.size, self.horizon + 0.01)
                picture[k] += mark * power * torch.tensor([0.95, 0.95, 1.0]).view(3, 1, 1)

    def _fall(self, picture: Tensor, now: Now, lamp: Light) -> None:
        """Rain in front of everything, in place."""
        if not bool((lamp.rain > 0).any()):
            return
        if self._rain is None:
            shape = self._y.expand(self.size[1], self.size[0])
            self._rain = Rain(self._rng("rain"), self._x.expand_as(shape), shape)
        curtain = self._rain.curtain(now.seconds, now.travel)[:, None]
        _over(picture, lamp.haze, curtain.mul_(0.26 * lamp.rain))
        streaks = self._rain.streaks(now.seconds, now.wind, now.travel)[:, None]
        _over(picture, lamp.drops, streaks.mul_(0.34 * lamp.rain))


def _over(picture: Tensor, colour: Tensor, alpha: Tensor) -> None:
    """Lay a colour over the picture, in place."""
    layer = colour - picture
    layer *= alpha
    picture += layer


def _checked(indices: Sequence[int]) -> list[int]:
    places = [int(index) for index in indices]
    if any(place < 0 for place in places):
        raise InputError(f"frame {min(places)}", "sky", "0 or more")
    return places
