"""What a step's result depends on, in named parts, and the key made of them. No torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def canonical(value: Any) -> str:
    """One spelling for equal values: JSON with sorted keys, dataclasses as objects, no spaces."""

    def plain(item: Any) -> Any:
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
        if isinstance(item, (set, frozenset)):
            return sorted(item)
        raise TypeError(f"{type(item).__name__} has no canonical form")

    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), default=plain, ensure_ascii=True
    )


def fingerprint(value: Any) -> str:
    """SHA-256 of the canonical form, 32 hex digits."""
    data = value if isinstance(value, bytes) else canonical(value).encode()
    return hashlib.sha256(data).hexdigest()[:32]


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes, 32 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


@dataclasses.dataclass(frozen=True)
class StepKey:
    """Named parts of everything that changes a step's pixels, and nothing else."""

    parts: Mapping[str, str]

    @property
    def key(self) -> str:
        """The name under which the step's clip is stored."""
        return fingerprint(dict(self.parts))

    @property
    def attempt(self) -> int:
        """How often the step was rolled again before this clip."""
        return int(self.parts.get("attempt", "0"))

    @property
    def first(self) -> StepKey:
        """The key of the step's first attempt."""
        return self.rolled(0)

    def rolled(self, attempt: int) -> StepKey:
        """The key of another attempt at the same step; the first has no part of that name."""
        parts = {name: value for name, value in self.parts.items() if name != "attempt"}
        return StepKey({**parts, "attempt": str(attempt)} if attempt else parts)

    def why(self, other: StepKey) -> tuple[str, ...]:
        """Names of the parts that differ: why a step must run again."""
        names = {*self.parts, *other.parts}
        return tuple(sorted(n for n in names if self.parts.get(n) != other.parts.get(n)))
