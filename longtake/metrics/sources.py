"""Where sets of videos come from: files, folders of pictures or of videos, and webdataset shards."""

from __future__ import annotations

import hashlib
import importlib
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.errors import InputError

SHARD = ".tar"


@dataclass(frozen=True)
class Video:
    """A video of a set. member: of the shard at `place`, else ""."""

    place: Path
    member: str = ""

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """Where it can be read from; a shard's member is copied to a file of its own for so long."""
        if not self.member:
            yield self.place
            return
        with _shard(self.place) as tar, tempfile.TemporaryDirectory() as folder:
            found = Path(folder) / f"video{Path(self.member).suffix.lower()}"
            try:
                with tar.extractfile(self.member) as inside, found.open("wb") as out:  # type: ignore[union-attr]
                    while data := inside.read(1 << 20):
                        out.write(data)
            except tarfile.TarError as error:
                raise InputError(f"cannot be read: {error}", self.name, "a whole shard") from None
            try:
                yield found
            except InputError as error:
                raise InputError(error.what, self.name, error.hint) from None

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.place}:{self.member}" if self.member else str(self.place)

    def digest(self) -> str:
        """Of its bytes: a file's, or those of a folder's pictures in order."""
        files = importlib.import_module("longtake.video.files")
        with self.opened() as place:
            inside = files.frame_files(place) if place.is_dir() else [place]
            whole = hashlib.sha256()
            for file in inside:
                with file.open("rb") as data:
                    whole.update(hashlib.file_digest(data, "sha256").digest())
        return whole.hexdigest()


def videos_of(places: Iterable[str | os.PathLike[str]]) -> list[Video]:
    """Videos in the order of their names; a folder of pictures is one video."""
    files = importlib.import_module("longtake.video.files")  # shelves do not import each other
    found: list[Video] = []
    for place in map(Path, places):
        if place.suffix.lower() == SHARD:
            found += _members(place, files.VIDEO_SUFFIXES)
        elif not place.is_dir() or files.frame_files(place):
            found.append(Video(place))
        else:
            found += _inside(place, files)
    return found


def _inside(folder: Path, files: Any) -> list[Video]:
    suffixes = files.VIDEO_SUFFIXES
    found: list[Video] = []
    for each in sorted(folder.iterdir()):
        if each.suffix.lower() == SHARD and each.is_file():
            found += _members(each, suffixes)
        elif each.suffix.lower() in suffixes or _is_pictures(each, files):
            found.append(Video(each))
    if not found:
        hint = "a folder of .mp4 files, of folders of pictures, or of .tar shards"
        raise InputError("a folder without videos", str(folder), hint)
    return found


def _is_pictures(place: Path, files: Any) -> bool:
    return place.is_dir() and bool(files.frame_files(place))


def _members(place: Path, suffixes: tuple[str, ...]) -> list[Video]:
    with _shard(place) as tar:
        names = [m.name for m in tar if m.isfile() and Path(m.name).suffix.lower() in suffixes]
    if not names:
        raise InputError("a shard without videos", str(place), "members such as 000001.mp4")
    return [Video(place, name) for name in names]


@contextmanager
def _shard(place: Path) -> Iterator[tarfile.TarFile]:
    try:
        tar = tarfile.open(place)
    except FileNotFoundError:
        raise InputError("no such file", str(place), "a .tar of videos") from None
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"not a shard: {error}", str(place), "a .tar of videos") from None
    with tar:
        yield tar
