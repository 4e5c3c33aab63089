"""Statistics of sets that were seen before, by content and protocol: safetensors files in a cache folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from longtake.errors import InputError
from longtake.keys import fingerprint
from longtake.metrics.moments import Moments

FOLDER = "LONGTAKE_CACHE"  # names the folder; empty: nothing is kept


def folder() -> Path | None:
    """`$LONGTAKE_CACHE`, or `longtake` in the user's cache folder."""
    named = os.environ.get(FOLDER)
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "longtake" / "statistics"


def kept(parts: Any, make: Callable[[], list[Moments]]) -> list[Moments]:
    """What `make` says, made once for equal `parts` (JSON-plain: content, protocol, chance).

    A file that is damaged or cannot be written counts as none.
    """
    place = folder()
    if place is None:
        return make()
    file = place / f"{fingerprint(parts)}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, InputError, ValueError):
        return _unpacked(load_file(file))
    found = make()
    with contextlib.suppress(OSError):
        _write(file, {f"{n}/{k}": v for n, m in enumerate(found) for k, v in m.tensors().items()})
    return found


def _unpacked(tensors: dict[str, Tensor]) -> list[Moments]:
    parts: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, rest = name.partition("/")
        parts.setdefault(int(number), {})[rest] = value
    if sorted(parts) != list(range(len(parts))) or not parts:
        raise ValueError
    return [Moments.of_tensors(parts[number]) for number in range(len(parts))]


def _write(file: Path, tensors: dict[str, Tensor]) -> None:
    """All or nothing, also where several processes write the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, growing = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    os.close(handle)
    try:
        save_file({name: value.contiguous() for name, value in tensors.items()}, growing)
        os.replace(growing, file)
    finally:
        Path(growing).unlink(missing_ok=True)
