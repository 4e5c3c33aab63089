"""Chance without a sequence: numbers that are functions of a seed, a name and whole numbers.

Dynamics that draw from these need no past, so frame 10**9 costs what frame 0 costs.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def draw(seed: int, name: str, *keys: int | Ints) -> Floats:
    """Uniform in 0..1 for every combination of `keys` (broadcast against each other).

    The mixing function is SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014), applied
    once per key.
    """
    with np.errstate(over="ignore"):
        state: Any = _mixed(np.uint64(seed) ^ _mixed(np.uint64(zlib.crc32(name.encode()))))
        for key in keys:
            state = _mixed(state ^ _mixed(np.asarray(key, dtype=np.int64).astype(np.uint64)))
    return np.asarray((state >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mixed(value: Any) -> Any:
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
