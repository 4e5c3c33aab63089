"""The maze world: a first-person walk through a textured maze that comes back to every place."""

from longtake.worlds.maze.walk import Maze

__all__ = ["Maze"]
