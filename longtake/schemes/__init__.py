"""Schemes: how a timeline is cut into calls of a clip model. No torch.

Indices within a step's `targets` and `observed` rise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from longtake.errors import InputError, nearest
from longtake.schemes.base import Paradigm
from longtake.schemes.begun import Begun
from longtake.schemes.chain import Adaptive, Autoregressive, LongRange
from longtake.schemes.drafts import Draft, Kept
from longtake.schemes.linked import KeysThenFill, Unified
from longtake.schemes.shots import OneShot, PerShot
from longtake.schemes.tree import CoarseToFine, Hierarchy
from longtake.steps import Plan, Scheme, Timeline

__all__ = [
    "SCHEMES",
    "Adaptive",
    "Autoregressive",
    "Begun",
    "CoarseToFine",
    "Costs",
    "Draft",
    "Hierarchy",
    "Kept",
    "KeysThenFill",
    "LongRange",
    "OneShot",
    "Paradigm",
    "PerShot",
    "Unified",
    "costs",
    "find_scheme",
    "spelled",
]

SCHEMES: Mapping[str, type[Paradigm]] = {
    kind.name: kind
    for kind in (
        OneShot,
        Autoregressive,
        LongRange,
        Hierarchy,
        Adaptive,
        CoarseToFine,
        KeysThenFill,
        PerShot,
        Unified,
    )
}


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a film will cost, known before anything runs.

    critical_path: sequential calls with unlimited workers. peak_live: most indices held at once.
    deepest_ancestry: longest chain of calls behind any index. first_frame: sequential calls until index 0.
    """

    calls: int
    critical_path: int
    peak_live: int
    deepest_ancestry: int
    first_frame: int


def costs(scheme: Scheme, timeline: Timeline) -> Costs:
    """Exact costs of a finite film, counted on its plan."""
    plan = Plan.of(scheme, timeline)
    return Costs(
        plan.calls, plan.critical_path, plan.peak_live, plan.deepest_ancestry, plan.first_frame
    )


def find_scheme(text: str, window: int | None = None) -> Paradigm:
    """The scheme that `name` or `name:knob=value,...` spells; lists are joined by `+`.

    window: used where the text names none (a model's own window).
    """
    name, _, rest = text.partition(":")
    if name not in SCHEMES:
        raise InputError(f"unknown scheme '{name}'", "--scheme", nearest(name, SCHEMES))
    kind = SCHEMES[name]
    fields = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {} if window is None else {"window": window}
    stated = set()
    for part in filter(None, rest.split(",")):
        knob, equals, value = part.partition("=")
        if knob not in fields:
            raise InputError(f"unknown knob '{knob}' of {name}", "--scheme", nearest(knob, fields))
        if not equals or knob in stated:
            what = "stated twice" if equals else "without a value"
            raise InputError(f"{knob} {what}", "--scheme", f"{knob}=VALUE")
        stated.add(knob)
        values[knob] = _read(knob, value, fields[knob])
    return kind(**values)


def _read(knob: str, value: str, kind: str) -> Any:
    try:
        if kind == "Indices":
            return tuple(sorted({int(part) for part in value.split("+") if part}))
        return value if kind == "str" else int(value)
    except ValueError:
        wanted = "12+40" if kind == "Indices" else "a whole number"
        raise InputError(f"{knob}={value}", "--scheme", wanted) from None


def spelled(scheme: Paradigm) -> str:
    """The text that `find_scheme` reads back as an equal scheme."""
    parts = []
    for field in dataclasses.fields(scheme):
        value = getattr(scheme, field.name)
        if value is not None and (value != field.default or field.name == "window"):
            text = "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
            parts.append(f"{field.name}={text}")
    return f"{scheme.name}:{','.join(parts)}"
