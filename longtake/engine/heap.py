"""Freed memory back to the system, where the C library can be asked to.

Buffers of megabytes come and go with every window while small clips stay. glibc learns to take them from
the heap, and then keeps the holes between them: the most that the very same film held differed by
100 MiB from run to run, and crept up by 40 in 54,000 frames.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

_MMAP_THRESHOLD, _LARGE = (
    -3,
    4 * 2**20,
)  # as malloc.h numbers it; below, asking for pages costs time


def steady() -> None:
    """From now on large buffers have pages of their own, which go back as soon as they are free."""
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, _LARGE)


def trim() -> None:
    """Gives up the holes in the heap; about a millisecond, nothing where there is no glibc."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> Any:
    """The C library of this process, if it is glibc."""
    try:
        found = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    names = ("gnu_get_libc_version", "malloc_trim", "mallopt")
    return found if all(hasattr(found, name) for name in names) else None
