"""Briefs as shots, by their own sentences."""

from __future__ import annotations

import dataclasses
import re

from longtake.controls import Shot

_BORDER = re.compile(
    r"(?:(?<=[.!?])\s+(?:then\s+)?|\s*[;\n]+\s*|,?\s+(?:(?<!now )and\s+)?(?<!now and )then\s+)",
    re.IGNORECASE,
)
_THEN = re.compile(
    r"(?:(?<=[,;.!?])\s+(?:and\s+)?|\s+(?<!now )and\s+)then[,:]?\s+(?=\S)", re.IGNORECASE
)
_CUT = re.compile(r"^\s*(?:cut to|cut:|elsewhere|meanwhile)[,:\s]+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Sentences:
    """A shot for every sentence, and for what comes after "then"; "cut to" and "meanwhile" begin with a cut.

    together: sentences stay together, and only "then" parts shots. The time is shared evenly, in whole
    tenths of a second, of which the last shot has the rest.
    """

    together: bool = False

    def plan(self, brief: str, seconds: float) -> tuple[Shot, ...]:
        """Shots of `seconds` together; one if they would be shorter than half a second."""
        border = _THEN if self.together else _BORDER
        parts = [part.strip(" ,;.\t") for part in border.split(brief)]
        parts = [part for part in parts if part]
        as_it_is = self.together and len(parts) == 1
        if as_it_is or not parts or seconds / len(parts) < 0.5:
            return (Shot(brief.strip(), seconds),)
        each = round(seconds / len(parts), 1)
        shots = []
        for number, part in enumerate(parts):
            words = _CUT.sub("", part) or part
            last = number == len(parts) - 1
            length = round(seconds - each * number, 6) if last else each
            shots.append(Shot(words, length, cut=number == 0 or words != part))
        return tuple(shots)
