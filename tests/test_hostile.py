"""Some of the hostile requests that `benchmarks/hostile.py` sends by the ten thousand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import hostile

DRAWN = 0.3 if importlib.util.find_spec("schemathesis") else 0.0


def test_hostile_requests_get_nothing_from_a_server(tmp_path: Path) -> None:
    target = hostile.Target(tmp_path)
    try:
        told = hostile.attacked(target, 120, DRAWN, seed=2)
        assert told["wrong"] == []
        kinds = {kind.split()[0] for kind in told["statuses"]}
        assert len(kinds - {"drawn"}) == 8 and ("drawn" in kinds) == bool(DRAWN)
        # what the same tally says of a server that is not so careful
        tally = hostile.Tally()
        tally.add("climbing", 200, b"root:x:0:0", "GET /../etc/passwd", [b"root:"])
        assert len(tally.wrong) == 2
    finally:
        target.close()
