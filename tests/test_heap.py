"""Memory that goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from longtake.engine import heap

HOLES = """
import sys
from pathlib import Path
from longtake.engine import heap

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

if sys.argv[1] == "steady":
    heap.steady()
large = b"x" * (24 << 20)
del large  # from which glibc learns to take smaller ones from the heap
before, many, small = held(), [], []
for _ in range(30):
    many.append(b"x" * (5 << 20))
    small.append(b"x" * 100_000)
most = held()
del many
print(most - before, held() - before)
"""


@pytest.mark.skipif(heap._glibc() is None, reason="another C library")
def test_large_buffers_leave_no_holes() -> None:
    rest = {}
    for way in ("steady", "as it is"):
        asked = [sys.executable, "-c", HOLES, way]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        most, rest[way] = (float(word) for word in told.split())
        assert most > 140
    assert rest["steady"] < 10 < 100 < rest["as it is"]


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    heap.steady()
    heap.trim()
