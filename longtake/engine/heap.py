"""Freed memory back to the system, where the C library can be asked to.

Buffers of megabytes come and go with every window while small clips stay. glibc learns from them how
much to keep, and keeps the holes between them: the most that the very same film held differed by
100 MiB from run to run, and crept up by 40 in 54,000 frames. So that is settled, and holes are given up after
every window, in all films but the shortest.

How much is kept between two windows is a price for speed. Pages that go back are asked for again, one fault for
each 4 KiB: with all buffers beyond 4 MiB given back at once, decoding 129 frames of 192x128 by a
tiny autoencoder of Wan's took 1.6 times as long as with the limits below, and the film held 50 to 100 MiB less.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

# as malloc.h numbers them: bytes from which a buffer has pages of its own, the most that glibc takes, and
# free bytes at the end of the heap from which they go back
_MMAP_THRESHOLD, _LARGE = -3, 32 << 20
_TRIM_THRESHOLD, _FREE = -1, 24 << 20


def steady() -> None:
    """From now on glibc keeps what is said above, and learns nothing."""
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_TRIM_THRESHOLD, _FREE)


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
