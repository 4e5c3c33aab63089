"""A brief as shots by its own sentences: the planner where a model brings none. Offline, by rule."""

from __future__ import annotations

import re

from longtake.controls import Shot

_BORDER = re.compile(r"(?:(?<=[.!?])\s+|\s*[;\n]+\s*|,?\s+(?:and\s+)?then\s+)", re.IGNORECASE)
_CUT = re.compile(r"^\s*(?:cut to|cut:|elsewhere|meanwhile)[,:\s]+", re.IGNORECASE)


class Sentences:
    """A shot for every sentence, and for what comes after "then"; "cut to" and "meanwhile" begin with a cut.

    The time is shared evenly, in whole tenths of a second, of which the last shot has the rest.
    """

    def plan(self, brief: str, seconds: float) -> tuple[Shot, ...]:
        """Shots of `seconds` together; one if they would be shorter than half a second."""
        parts = [part.strip(" .\t") for part in _BORDER.split(brief)]
        parts = [part for part in parts if part]
        if not parts or seconds / len(parts) < 0.5:
            return (Shot(brief.strip(), seconds),)
        each = round(seconds / len(parts), 1)
        shots = []
        for number, part in enumerate(parts):
            words = _CUT.sub("", part) or part
            last = number == len(parts) - 1
            length = round(seconds - each * number, 6) if last else each
            shots.append(Shot(words, length, cut=number == 0 or words != part))
        return tuple(shots)
