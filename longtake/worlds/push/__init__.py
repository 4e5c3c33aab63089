"""The push world: an arm pushes discs about a table, under physics that can be checked."""

from longtake.worlds.push.table import Push

__all__ = ["Push"]
