"""What many tests stand on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

os.environ["LONGTAKE_CACHE"] = ""  # tests keep nothing in the user's folders


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and errors without traces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LONGTAKE_TRACE", raising=False)
    return tmp_path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread, as it was before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
