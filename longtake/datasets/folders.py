"""Folders as people have them: of videos, or of folders of frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from longtake.datasets.pictures import digest_of, pictures_in
from longtake.datasets.records import Footage, Found, Index, Layout, Record, part, videos_in
from longtake.errors import InputError
from longtake.video import IMAGE_SUFFIXES, PictureFrames

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def placed(path: Path) -> tuple[str, str]:
    """Split and label of a path from the root: a first folder named as a split, the last folder."""
    folders = list(path.parent.parts)
    split = SPLITS.get(folders[0].lower(), "") if folders else ""
    named = folders[1:] if split else folders
    return split or "train", named[-1] if named else ""


class Folder(Layout):
    """Videos anywhere below a folder, or a single one. The last folder is the label; `train`, `val` and
    `test` at the top are splits; a text beside a video (`a.txt` for `a.mp4`) is its caption.
    """

    title = "a folder of videos"
    licence = "yours to know"

    def index(self) -> Index:
        if self.root.is_file():
            name = self.root.name
            self.root, found = self.root.parent, Found(self.root.parent)
            found.add(Record(Path(name).stem, name), "the spec")
            return found.index()
        found = Found(self.root)
        for place in sorted(videos_in(self.root)):
            path = place.relative_to(self.root)
            split, label = placed(path)
            text = place.with_suffix(".txt")
            captions = (
                tuple(text.read_text("utf-8", "replace").split("\n")) if text.is_file() else ()
            )
            captions = tuple(line.strip() for line in captions if line.strip())
            name = path.as_posix()
            found.add(Record(name, name, split, None, label, captions), "the folder")
        return found.index()


class FrameFolders(Layout):
    """Folders of pictures, each folder a clip; fps: at which they were taken."""

    title = "a folder of folders of frames"
    licence = "yours to know"

    def __init__(self, root: Path, *, split: str = "", fps: str = "10") -> None:
        super().__init__(root, split=split)
        self.fps = positive(fps, "fps", root)

    def index(self) -> Index:
        found = Found(self.root)
        pictures = (p for p in self.root.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        for folder in sorted({picture.parent for picture in pictures}):
            path = folder.relative_to(self.root)
            split, label = placed(path)
            found.add(Record(path.as_posix(), path.as_posix(), split, None, label), "the folder")
        return found.index()

    def footage(self, record: Record) -> Footage:
        return part(PictureFrames(pictures_in(self.root / record.path), self.fps), record)

    def content(self, record: Record) -> bytes:
        return digest_of(pictures_in(self.root / record.path))


def positive(text: str, knob: str, root: Path) -> Fraction:
    """A rate given as text."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value <= 1000:
        raise InputError(f"{knob} is '{text}'", str(root), f"{knob}=10")
    return value
