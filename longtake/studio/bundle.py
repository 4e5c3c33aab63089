"""A storyboard together with the files that it pins, as one ZIP archive: what opens anywhere."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from longtake.prompts.storyboard import parse_storyboard

_WHEN = (1980, 1, 1, 0, 0, 0)  # the same files, the same archive
NAME = "storyboard.toml"


def pinned(text: str, folder: Path) -> list[Path]:
    """The files that a storyboard in `folder` pins, each once, in the order in which it names them."""
    board = parse_storyboard(text, folder=folder)
    return list(dict.fromkeys(Path(pin.path) for shot in board.shots for pin in shot.pins))


def bundle(text: str, folder: Path) -> IO[bytes]:
    """An archive of `NAME` and what it pins under the paths that it names, at its beginning.

    Pictures and videos are packed already, so nothing is deflated.
    """
    root, packed = folder.resolve(), tempfile.TemporaryFile()
    try:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(NAME, _WHEN), text)
            for path in pinned(text, folder):
                entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _WHEN)
                entry.file_size = os.path.getsize(
                    path
                )  # so that large ones get their longer fields
                with path.open("rb") as source, archive.open(entry, "w") as target:
                    while data := source.read(1 << 20):
                        target.write(data)
        packed.seek(0)
    except BaseException:
        packed.close()
        raise
    return packed
