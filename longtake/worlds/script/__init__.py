"""The script world: coloured shapes act out a text, one event at a time."""

from longtake.worlds.script.stage import Script
from longtake.worlds.script.story import COLOURS, SHAPES, Event, read_story

__all__ = ["COLOURS", "SHAPES", "Event", "Script", "read_story"]
