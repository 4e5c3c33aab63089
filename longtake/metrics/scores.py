"""A measured number that knows how it was measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from longtake.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """A value under a protocol: the name of exactly one way to measure.

    Scores of one protocol compare, subtract and divide; across protocols that raises InputError.
    better: "low", "high", or "" where neither end is good. detail: what else was seen, JSON-plain.
    """

    value: float
    protocol: str
    better: str = ""
    verdict: str = ""
    detail: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def line(self) -> dict[str, Any]:
        """The score as one JSON object; an infinite value is told as text."""
        said = {"verdict": self.verdict} if self.verdict else {}
        line = {"value": self.value, "protocol": self.protocol, **said, **self.detail}
        return {key: _plain(value) for key, value in line.items()}

    def with_detail(self, **more: Any) -> Score:
        """The same with more seen beside it."""
        return dataclasses.replace(self, detail={**self.detail, **more})

    def beats(self, other: Score) -> bool:
        """Whether this is the better of two; InputError where neither end is good."""
        mine, theirs = self.value, self._alike(other)
        if not self.better:
            raise InputError("neither a high nor a low value is better", self.protocol)
        return mine < theirs if self.better == "low" else mine > theirs

    def _alike(self, other: Score) -> float:
        """The other's value, if it was measured the same way."""
        if other.protocol != self.protocol:
            what = f"scores of '{self.protocol}' and '{other.protocol}' do not compare"
            raise InputError(what, "metrics", f"measuring both by {self.protocol}")
        return other.value

    def __eq__(self, other: object) -> bool:
        return self.value == self._alike(other) if isinstance(other, Score) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.value, self.protocol))

    def __lt__(self, other: Score) -> bool:
        return self.value < self._alike(other) if isinstance(other, Score) else NotImplemented

    def __le__(self, other: Score) -> bool:
        return self.value <= self._alike(other) if isinstance(other, Score) else NotImplemented

    def __gt__(self, other: Score) -> bool:
        return self.value > self._alike(other) if isinstance(other, Score) else NotImplemented

    def __ge__(self, other: Score) -> bool:
        return self.value >= self._alike(other) if isinstance(other, Score) else NotImplemented

    def __sub__(self, other: Score) -> float:
        return self.value - self._alike(other) if isinstance(other, Score) else NotImplemented

    def __truediv__(self, other: Score) -> float:
        return self.value / self._alike(other) if isinstance(other, Score) else NotImplemented

    def __float__(self) -> float:
        return float(self.value)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
