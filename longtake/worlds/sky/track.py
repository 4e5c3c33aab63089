"""A script as continuous quantities of time, in closed form: any frame can be asked for alone."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.worlds.sky.state import ATTRIBUTES, COVERS, HOURS, SPEEDS, Moment, Script

PASSAGE = 1.5  # seconds from one state to the next, centred on the change
_PERIODS = (
    61.0,
    61.0 * 1.6180339887,
    61.0 * 2.7182818284,
)  # of the hour's wandering: no common multiple
_SHARES = (0.45, 0.3, 0.2)  # their sum stays under 1, so the hour stays inside its class


def smoothstep(value: Tensor) -> Tensor:
    """0 below 0, 1 above 1, and smooth between."""
    value = value.clamp(0, 1)
    return value * value * (3 - 2 * value)


@dataclasses.dataclass(frozen=True)
class Now:
    """The state at t moments, float64; `mix` holds shares (t classes) per attribute."""

    seconds: Tensor
    hour: Tensor  # 0..24
    cover: Tensor  # 0..1
    wind: Tensor  # heights a second, positive to the right
    travel: Tensor  # the integral of wind since the beginning, heights
    mix: Mapping[str, Tensor]


class Track:
    """The course of a script, with the parameters that the seed leaves to chance."""

    def __init__(self, script: Script, rng: np.random.Generator) -> None:
        _check(script)
        self.script = script
        self.at = torch.tensor([change.at for change in script], dtype=torch.float64)
        moments = [change.moment for change in script]
        self.places = {
            name: torch.tensor([classes.index(getattr(moment, name)) for moment in moments])
            for name, classes in ATTRIBUTES.items()
        }
        self.phases = tuple(rng.uniform(0, 2 * math.pi, len(_PERIODS)))
        covers = {name: rng.uniform(*bounds) for name, bounds in COVERS.items()}
        speeds = {name: rng.uniform(*bounds) for name, bounds in SPEEDS.items()}
        self.covers = _column([covers[moment.cover] for moment in moments])
        self.winds = _column(
            [speeds[moment.speed] * (1 if moment.wind == "right" else -1) for moment in moments]
        )
        self.middles = _unwrapped(moments)
        self.halves = _column([(HOURS[m.time][1] - HOURS[m.time][0]) / 2 for m in moments])

    def moment(self, seconds: float) -> Moment:
        """The state in force: the last change at or before `seconds`."""
        place = int(torch.searchsorted(self.at, seconds, right=True)) - 1
        return self.script[max(place, 0)].moment

    def now(self, seconds: Tensor) -> Now:
        """Everything at the given moments (t, float64)."""
        risen = smoothstep((seconds[:, None] - self.at) / PASSAGE + 0.5)
        risen[:, 0] = 1
        weights = risen - torch.cat([risen[:, 1:], torch.zeros_like(risen[:, :1])], dim=1)
        wander = sum(
            share * torch.sin(2 * math.pi * seconds / period + phase)
            for share, period, phase in zip(_SHARES, _PERIODS, self.phases, strict=True)
        )
        hours = self.middles + self.halves * torch.as_tensor(wander)[:, None]
        return Now(
            seconds=seconds,
            hour=torch.remainder((weights * hours).sum(1), 24),
            cover=(weights * self.covers).sum(1),
            wind=(weights * self.winds).sum(1),
            travel=self._travel(seconds),
            mix={
                name: torch.zeros(len(seconds), len(classes), dtype=torch.float64).index_add_(
                    1, self.places[name], weights
                )
                for name, classes in ATTRIBUTES.items()
            },
        )

    def _travel(self, seconds: Tensor) -> Tensor:
        """The integral of the wind, whose steps are smoothsteps: theirs is u**3 - u**4 / 2."""
        local = (seconds[:, None] - self.at) / PASSAGE + 0.5
        u = local.clamp(0, 1)
        since = PASSAGE * (u**3 - u**4 / 2 + (local - 1).clamp(min=0))
        since[:, 0] = seconds
        steps = torch.diff(self.winds, prepend=torch.zeros(1, dtype=torch.float64))
        return (since * steps).sum(1)


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _unwrapped(moments: list[Moment]) -> Tensor:
    """Middle hours that never jump: on through the day, or back where that is far shorter."""
    middles: list[float] = []
    for moment in moments:
        middle = sum(HOURS[moment.time]) / 2
        if middles:
            ahead = (middle - middles[-1]) % 24
            middle = middles[-1] + (ahead if ahead <= 16 else ahead - 24)
        middles.append(middle)
    return _column(middles)


def _check(script: Script) -> None:
    if not script:
        raise InputError("empty script", "sky", "Change(0.0, Moment())")
    times = [change.at for change in script]
    if times[0] != 0:
        raise InputError(f"script begins at {times[0]} s", "sky", "a first change at 0")
    for before, after in itertools.pairwise(times):
        if not after > before:
            raise InputError(
                f"change at {after} s follows one at {before} s", "sky", "rising times"
            )
    if not all(math.isfinite(at) for at in times):
        raise InputError("change at no finite time", "sky", "seconds from the beginning")
