"""What can go wrong, and whose move it is.

    LongtakeError
    ├── ClaimError          exit 1: a check or a claim did not hold
    ├── InputError          exit 2: what the user gave is wrong; nothing was written
    │   ├── FitError        the blocks of a system do not fit together
    │   └── PlanError       a scheme breaks the laws of a plan (double write, early read, window too small)
    └── MachineError        exit 3: the machine failed; what is finished is safe

Every message is one line: what, where, and the nearest right value.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 300  # characters of what a user gave that a message repeats


class LongtakeError(Exception):
    """The root of the tree; `str(error)` is `WHAT (WHERE); try NEAREST RIGHT VALUE`."""

    exit_code = 1

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        where = f" ({_cut(self.where)})" if self.where else ""
        hint = f"; try {_cut(self.hint)}" if self.hint else ""
        return " ".join(f"{_cut(self.what)}{where}{hint}".split())


class ClaimError(LongtakeError):
    """A check or a claim did not hold."""

    exit_code = 1


class InputError(LongtakeError):
    """What the user gave cannot be used."""

    exit_code = 2


class FitError(InputError):
    """Blocks of a system do not fit together."""


class PlanError(InputError):
    """A scheme broke a law of plans: single assignment, no early reads, no window overflow."""


class MachineError(LongtakeError):
    """The machine failed: disk, memory, worker. Finished steps are safe."""

    exit_code = 3


def _cut(text: str) -> str:
    """A text without the middle of what is too long for a line."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}...{text[-half:]}"


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice most like `word`, or all of them when none is close: for an error's hint."""
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return close[0] if close else ", ".join(known)
