"""What the sky world can be like: attributes, a moment's state, and a script of changes within one take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from longtake.errors import InputError, nearest

# Every attribute and its classes, in the order in which control vectors lay them out.
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "time": ("dawn", "morning", "noon", "afternoon", "dusk", "night"),
    "cover": ("clear", "partly", "overcast"),
    "kind": ("wispy", "puffy", "layered", "stormy"),
    "wind": ("left", "right"),  # the side of the picture the clouds drift towards
    "speed": ("slow", "moderate", "fast"),
    "land": ("sea", "hills", "mountains", "plain", "city"),
    "weather": ("dry", "haze", "rain", "storm"),
}
WIDTH = sum(len(classes) for classes in ATTRIBUTES.values())  # of a control vector: 27

HOURS: Mapping[str, tuple[float, float]] = {  # local solar time; night runs past midnight
    "dawn": (5.2, 6.8),
    "morning": (7.5, 10.0),
    "noon": (11.0, 13.0),
    "afternoon": (14.0, 16.5),
    "dusk": (17.2, 18.8),
    "night": (20.5, 28.0),
}
COVERS: Mapping[str, tuple[float, float]] = {  # share of the sky under cloud
    "clear": (0.03, 0.10),
    "partly": (0.35, 0.60),
    "overcast": (0.90, 1.0),
}
SPEEDS: Mapping[
    str, tuple[float, float]
] = {  # picture heights a second, for the middle cloud layer
    "slow": (0.03, 0.05),
    "moderate": (0.07, 0.11),
    "fast": (0.15, 0.22),
}


@dataclasses.dataclass(frozen=True)
class Moment:
    """The sky's state at one time: a class for every attribute."""

    time: str = "noon"
    cover: str = "partly"
    kind: str = "puffy"
    wind: str = "right"
    speed: str = "moderate"
    land: str = "hills"
    weather: str = "dry"

    def __post_init__(self) -> None:
        for name, classes in ATTRIBUTES.items():
            value = getattr(self, name)
            if value not in classes:
                raise InputError(f"unknown {name} '{value}'", "sky", nearest(str(value), classes))

    @property
    def phase(self) -> str:
        """Time of day in four classes: dawn, day, dusk, night."""
        return "day" if self.time in ("morning", "noon", "afternoon") else self.time


@dataclasses.dataclass(frozen=True)
class Change:
    """From `at` seconds on, the state is `moment`; the passage is centred on `at`."""

    at: float
    moment: Moment


Script = tuple[Change, ...]  # ordered by time, the first at 0; one unbroken take
