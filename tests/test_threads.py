"""What torch's threads are told before torch is imported, by the library and by the command line alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
SAY = f"import os, sys; print('torch' in sys.modules, *map(os.environ.get, {NAMES}))"


@pytest.mark.parametrize("door", ["import longtake", "import longtake.cli", "import longtake.api"])
@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({}, "False 10000 None"),
        ({"GOMP_SPINCOUNT": "7"}, "False 7 None"),
        ({"OMP_WAIT_POLICY": "active"}, "False None active"),
    ],
)
def test_threads_do_not_wait_busily_unless_the_user_says_so(
    door: str, own: dict[str, str], told: str
) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in NAMES}
    ended = subprocess.run(
        [sys.executable, "-c", f"{door}; {SAY}"],
        cwd=Path(__file__).parent.parent,
        env={**clean, **own},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == told
