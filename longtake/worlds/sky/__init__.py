"""The sky world: landscape time-lapse of any length from one seed and one script."""

from longtake.worlds.sky.render import Sky
from longtake.worlds.sky.script import draw_script
from longtake.worlds.sky.state import (
    ATTRIBUTES,
    COVERS,
    HOURS,
    SPEEDS,
    WIDTH,
    Change,
    Moment,
    Script,
)

__all__ = [
    "ATTRIBUTES",
    "COVERS",
    "HOURS",
    "SPEEDS",
    "WIDTH",
    "Change",
    "Moment",
    "Script",
    "Sky",
    "draw_script",
]
