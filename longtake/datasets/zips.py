"""A zip of folders of frames, as StyleGAN-V packs them, or of videos."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from longtake.datasets.folders import placed, positive
from longtake.datasets.records import (
    Footage,
    Index,
    Layout,
    Problem,
    Record,
    part,
    trailing_number,
)
from longtake.errors import InputError
from longtake.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, PictureFrames, VideoFrames

_MOST = 2**31  # bytes that one member may unpack to


class Zip(Layout):
    """`<clip>/<frame>.jpg` or videos in one zip, never unpacked to disk; fps: of frames."""

    title = "a zip of folders of frames, or of videos"
    licence = "yours to know"

    def __init__(self, root: Path, *, split: str = "", fps: str = "10") -> None:
        super().__init__(root, split=split)
        self.fps = positive(fps, "fps", root)
        self._turn = threading.Lock()

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.root)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"is no zip: {error}", str(self.root), "a whole copy") from error

    @cached_property
    def _clips(self) -> dict[str, list[str]]:
        """Member or folder -> the members it is made of."""
        clips: dict[str, list[str]] = defaultdict(list)
        for name in self._zip.namelist():
            path = PurePosixPath(name)
            if path.suffix.lower() in VIDEO_SUFFIXES:
                clips[name].append(name)
            elif path.suffix.lower() in IMAGE_SUFFIXES:
                clips[path.parent.as_posix()].append(name)
        for members in clips.values():
            members.sort(key=lambda name: (trailing_number(PurePosixPath(name).stem), name))
        return dict(clips)

    def index(self) -> Index:
        records = []
        for name in sorted(self._clips):
            split, label = placed(Path(name))
            records.append(Record(name, name, split, None, label))
        if not records:
            raise InputError("holds no clips", str(self.root), "a zip of folders of frames")
        large = [i.filename for i in self._zip.infolist() if i.file_size > _MOST]
        problems = tuple(Problem("unreadable", name, "past 2 GiB unpacked") for name in large)
        return Index(tuple(records), problems)

    def footage(self, record: Record) -> Footage:
        members = self._clips[record.path]
        if members == [record.path]:
            return part(VideoFrames(record.path, self._load(record.path)), record)
        return part(PictureFrames(members, self.fps, self._load), record)

    def content(self, record: Record) -> bytes:
        digest = hashlib.sha256()
        for name in self._clips[record.path]:
            digest.update(hashlib.sha256(self._load(name)).digest())
        return digest.digest()

    def _load(self, name: str) -> bytes:
        """A member's bytes; zips check them by CRC-32 themselves."""
        try:
            if self._zip.getinfo(name).file_size > _MOST:
                raise InputError("past 2 GiB unpacked", name, "a smaller file")
            with self._turn:  # one place in the file for all threads
                return self._zip.read(name)
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            where = f"{self.root}: {name}"
            raise InputError(f"cannot be unpacked: {error}", where, "a whole copy") from error
