"""Random scripts that make sense: every class of every attribute about as often as any other."""

from __future__ import annotations

import dataclasses

import numpy as np

from longtake.errors import InputError
from longtake.worlds.sky.state import ATTRIBUTES, Change, Moment, Script

# Rain and storm bring clouds, so that clear would be rare: the draw makes good what sense takes.
_WEIGHTS = {"clear": 2.1, "stormy": 0.3, "rain": 1.25, "storm": 1.7, "dry": 0.9, "haze": 0.9}
_LEAST = 2.0  # seconds between two changes, so that each state is seen at rest


def draw_script(rng: np.random.Generator, *, seconds: float, changes: int) -> Script:
    """A take of `seconds` with `changes` changes of state, each altering one to four attributes.

    Raises InputError when the changes do not fit: each needs two seconds.
    """
    if changes < 0 or seconds <= 0 or seconds < _LEAST * (changes + 1) and changes:
        raise InputError(
            f"{changes} changes in {seconds} s",
            "sky",
            f"at most {max(int(seconds / _LEAST) - 1, 0)}",
        )
    script = [Change(0.0, draw_moment(rng))]
    slack = np.sort(rng.uniform(0, seconds - _LEAST * (changes + 1), changes)) if changes else ()
    for number, extra in enumerate(slack):
        at = round(float(_LEAST * (number + 1) + extra), 1)
        script.append(Change(at, alter(rng, script[-1].moment)))
    return tuple(script)


def draw_moment(rng: np.random.Generator) -> Moment:
    """A state of independent attributes, made sensible."""
    return _sensible(rng, Moment(**{name: _draw(rng, name) for name in ATTRIBUTES}), frozenset())


def alter(rng: np.random.Generator, moment: Moment) -> Moment:
    """Another state that differs in one to four attributes of the draw, and in what these imply."""
    while True:
        names = rng.choice(list(ATTRIBUTES), size=int(rng.integers(1, 5)), replace=False)
        chosen = {str(name): _draw(rng, str(name), getattr(moment, str(name))) for name in names}
        after = _sensible(rng, dataclasses.replace(moment, **chosen), frozenset(chosen))
        if after != moment:
            return after


def _draw(rng: np.random.Generator, name: str, besides: str = "") -> str:
    values = [value for value in ATTRIBUTES[name] if value != besides]
    weights = np.array([_WEIGHTS.get(value, 1.0) for value in values])
    return str(rng.choice(values, p=weights / weights.sum()))


def _sensible(rng: np.random.Generator, moment: Moment, chosen: frozenset[str]) -> Moment:
    """Weather and sky made to agree: what was chosen gives way last.

    Rain and storm need clouds and storm needs stormy ones. Either side of a disagreement yields
    by chance, so that no class becomes rare.
    """
    wet = moment.weather in ("rain", "storm")
    if wet and moment.cover == "clear":
        dry = "cover" in chosen and "weather" not in chosen
        if dry or ("weather" not in chosen and rng.random() < 0.5):
            moment = dataclasses.replace(moment, weather=str(rng.choice(["dry", "haze"])))
        else:
            moment = dataclasses.replace(moment, cover=str(rng.choice(["partly", "overcast"])))
    if moment.weather == "storm" and moment.kind != "stormy":
        if "kind" in chosen and "weather" not in chosen:
            moment = dataclasses.replace(moment, weather="rain")
        else:
            moment = dataclasses.replace(moment, kind="stormy")
    return moment
