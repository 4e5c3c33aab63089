"""Memory that goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from longtake.engine import heap

HELD = """
import resource, sys
from pathlib import Path
from longtake.engine import heap

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
"""
HOLES = """
heap.steady()
before, many, small = held(), [], []
for _ in range(30):
    many.append(b"x" * (5 << 20))
    small.append(b"x" * 100_000)
most = held()
del many
if sys.argv[1] == "trimmed":
    heap.trim()
print(most - before, held() - before)
"""
AGAIN = """
if sys.argv[1] == "steady":
    heap.steady()
else:
    heap._glibc().mallopt(-3, 4 << 20)
before = faults()
for _ in range(30):
    buffer = b"x" * (5 << 20)
    del buffer
print(faults() - before)
"""

glibc = pytest.mark.skipif(heap._glibc() is None, reason="another C library")


def told(code: str, way: str) -> list[float]:
    asked = [sys.executable, "-c", HELD + code, way]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return [float(word) for word in said.split()]


@glibc
def test_holes_between_small_clips_are_given_up() -> None:
    rest = {}
    for way in ("trimmed", "as it is"):
        most, rest[way] = told(HOLES, way)
        assert most > 140
    assert rest["trimmed"] < 10 < 100 < rest["as it is"]


@glibc
def test_buffers_that_come_again_ask_for_no_new_pages() -> None:
    (kept,), (given_back,) = told(AGAIN, "steady"), told(AGAIN, "page by page")
    assert kept < 4_000 < 30_000 < given_back


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    heap.steady()
    heap.trim()
