"""A few kills of `benchmarks/kills.py`, which does a hundred."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "kills.py"


def test_films_that_are_killed_are_the_same_in_the_end() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "4", "--each", "2", "--frames", "160"]
    command += ["--slow", "0.1"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tally = json.loads(done.stdout)
    assert tally["kills"] == 4 and tally["films"] >= 2 and not tally["wrong"]
    assert tally["reused"] > 0 and 0 <= tally["again"] <= 4
