"""Which steps, and so which schemes, a model can serve that observes no more than some frames."""

from __future__ import annotations

from longtake.errors import PlanError
from longtake.schemes.base import Paradigm
from longtake.steps import Plan, Step, Timeline

OBSERVES = {
    "none": "no frames",
    "first": "the frame just before those it makes",
    "ends": "the nearest frame before and after those it makes",
    "past": "an unbroken run of frames just before those it makes",
    "any": "any frames",
}


def misfit(step: Step, observes: str, begins: bool = True) -> str:
    """Why a model that observes so much cannot make a step; "" if it can.

    first and ends: what is observed beyond the nearest frames is not read. begins: the model needs
    nothing to start from.
    """
    seen, first, last = step.observed, min(step.targets), max(step.targets)
    if not seen:
        return "" if begins else "it has to start from a picture, and none is given"
    if observes == "any":
        return ""
    if step.choose is not None:
        return "frames are chosen as it runs"
    if observes == "none":
        return "a call observes frames"
    if observes == "ends":
        between = [index for index in seen if first < index < last]
        return f"frame {between[0]} lies between those it is to make" if between else ""
    after = [index for index in seen if index > first]
    if after:
        return f"frame {after[0]} comes after the first it is to make"
    if max(seen) != first - 1 or max(seen) - min(seen) + 1 != len(seen):
        return f"frames from {min(seen)} to {max(seen)} do not lead up to frame {first} unbroken"
    return ""


def serving(
    kinds: dict[str, type[Paradigm]], observes: str, window: int, begins: bool = True
) -> tuple[str, ...]:
    """Names of the schemes all of whose steps such a model can make, tried on a film of four windows."""
    return tuple(name for name, kind in kinds.items() if _serves(kind, observes, window, begins))


def _serves(kind: type[Paradigm], observes: str, window: int, begins: bool) -> bool:
    try:
        scheme = kind(window=max(window, kind.least))
        length = window if kind.name == "one-shot" else 4 * window
        plan = Plan.of(scheme, Timeline(length, () if begins else (0,)))
    except PlanError:
        return False
    return not any(misfit(step, observes, begins) for step in plan.steps)
