"""Folders of pictures as clips."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from longtake.datasets.records import trailing_number
from longtake.video import IMAGE_SUFFIXES


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder by the numbers that their names end with, then by name."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(found, key=lambda p: (trailing_number(p.stem), p.name))


def digest_of(files: Sequence[Path]) -> bytes:
    """Of all their bytes, in order."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.digest()
