"""Freed memory back to the system, where the C library can be asked to.

Buffers of megabytes come and go with every window while small clips stay, and glibc then keeps the
holes between them: up to 100 MiB in some runs of the very same film, and more with larger frames.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def trim() -> None:
    """Gives up the holes in the heap; about a millisecond, nothing where there is no glibc."""
    _trimmer()(0)


@cache
def _trimmer() -> Callable[[int], object]:
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return lambda kept: None
    return found
