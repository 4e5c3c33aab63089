"""What every dataset is made of: records of clips, what is wrong with them, and how clips are used."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from longtake.errors import InputError, nearest
from longtake.video import VIDEO_SUFFIXES, VideoFrames

if TYPE_CHECKING:
    from torch import Tensor


class Footage(typing.Protocol):
    """Frames of one clip, by number."""

    @property
    def frames(self) -> int:
        """How many there are."""
        ...

    @property
    def fps(self) -> Fraction:
        """How many a second."""
        ...

    def read(
        self, numbers: Sequence[int], *, size: tuple[int, int] | None = None, fit: str = "cover"
    ) -> Tensor:
        """Those of these numbers, in this order: (t, 3, h, w) uint8, at `size` (width, height)."""
        ...


@dataclasses.dataclass(frozen=True)
class Record:
    """A clip. path: from the dataset's root; span: its frames of the file, first and one past the last.

    group: what must not be divided between splits, since it shows the same scene.
    """

    id: str
    path: str
    split: str = "train"
    span: tuple[int, int] | None = None
    label: str = ""
    captions: tuple[str, ...] = ()
    group: str = ""
    licence: str = ""


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong with a dataset. kind: missing, unreadable, unlisted, list, label, leak, twin."""

    kind: str
    where: str
    what: str


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the literature uses a dataset: which clips, cut how, for what.

    clips: how many its split has as published; 0 where that differs. given: frames observed.
    """

    split: str
    clips: int
    size: tuple[int, int]
    frames: int
    stride: int = 1
    given: int = 0
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Index:
    """The records of a dataset, all splits, and what was found wrong on the way."""

    records: tuple[Record, ...]
    problems: tuple[Problem, ...] = ()


class Layout:
    """A dataset in its place on disk; a subclass says how to index it."""

    title: ClassVar[str]
    licence: ClassVar[str]
    published: ClassVar[Mapping[str, int]] = {}  # split -> clips
    protocols: ClassVar[Mapping[str, Protocol]] = {}

    def __init__(self, root: Path, *, split: str = "") -> None:
        self.root, self.split = root, split

    def index(self) -> Index:
        """All records, of every split; files are listed, not opened."""
        raise NotImplementedError

    def footage(self, record: Record) -> Footage:
        """The frames of a clip; InputError if its file cannot be read."""
        return part(VideoFrames(self.root / record.path), record)

    def content(self, record: Record) -> bytes:
        """What two clips must not share: a digest of the stored bytes and of the span in them."""
        with (self.root / record.path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        digest.update(repr(record.span).encode())
        return digest.digest()

    @cached_property
    def indexed(self) -> Index:
        """The index, made once."""
        return self.index()

    @property
    def records(self) -> tuple[Record, ...]:
        """The records of the split that was asked for, or all."""
        found = self.indexed.records
        if not self.split:
            return found
        chosen = tuple(record for record in found if record.split == self.split)
        if not chosen:
            splits = sorted({record.split for record in found})
            raise InputError(
                f"no split '{self.split}'", str(self.root), nearest(self.split, splits)
            )
        return chosen

    def _bad(self, knob: str, value: str, known: Sequence[str]) -> InputError:
        return InputError(f"{knob} is '{value}'", str(self.root), nearest(value, known))


class Part:
    """A stretch of some footage, as a clip of its own."""

    def __init__(self, whole: Footage, span: tuple[int, int], name: str) -> None:
        self._whole, self._span, self._name = whole, span, name

    @property
    def frames(self) -> int:
        first, stop = self._span
        there = self._whole.frames
        if not 0 <= first < stop <= there:
            what = f"frames {first} to {stop - 1} of {there}"
            raise InputError(what, self._name, "a whole copy of the file, or a list that fits it")
        return stop - first

    @property
    def fps(self) -> Fraction:
        return self._whole.fps

    def read(
        self, numbers: Sequence[int], *, size: tuple[int, int] | None = None, fit: str = "cover"
    ) -> Tensor:
        if numbers and not 0 <= min(numbers) <= max(numbers) < self.frames:
            raise InputError(f"has no frame {max(numbers)}", self._name, f"0 to {self.frames - 1}")
        return self._whole.read([self._span[0] + n for n in numbers], size=size, fit=fit)


def part(whole: Footage, record: Record) -> Footage:
    """The stretch that a record names, or all."""
    return whole if record.span is None else Part(whole, record.span, record.id)


class Found:
    """An index while it is made: what a list names is held against what is on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self._records: dict[str, Record] = {}
        self._listed: set[str] = set()

    def add(self, record: Record, listed_in: str) -> None:
        """A record, or a problem if its name is taken or its file is not there."""
        self._listed.add(record.path)
        if record.id in self._records:
            self.wrong("list", listed_in, f"{record.id} is listed twice")
        elif not (self.root / record.path).exists():
            self.wrong("missing", record.path, f"listed in {listed_in}, not on disk")
        else:
            self._records[record.id] = record

    def wrong(self, kind: str, where: str, what: str) -> None:
        self.problems.append(Problem(kind, where, what))

    def unlisted(self, on_disk: Iterable[Path], listed_in: str) -> None:
        """Names the files that no list names."""
        for place in sorted(on_disk):
            name = place.relative_to(self.root).as_posix()
            if name not in self._listed:
                self.wrong("unlisted", name, f"on disk, not in {listed_in}")

    def index(self) -> Index:
        """What was found; InputError if that is nothing at all."""
        if not self._records and not self.problems:
            raise InputError("holds no clips", str(self.root), "the folder the archive unpacks to")
        return Index(tuple(self._records.values()), tuple(self.problems))


def videos_in(folder: Path) -> Iterator[Path]:
    """Video files anywhere below a folder."""
    if folder.is_dir():
        yield from (p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)


def first_there(root: Path, names: Sequence[str]) -> Path:
    """The first of some names that is below a root; InputError with the first if none is."""
    for name in names:
        if (root / name).exists():
            return root / name
    raise InputError(f"has no {' or '.join(names)}", str(root), f"a folder with {names[0]}")


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a list, blank ones left out; InputError if it is no text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", str(path), "the list as published") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def trailing_number(name: str) -> int:
    """The number a name ends with, -1 if it does not."""
    found = re.search(r"(\d+)$", name)
    return int(found[1]) if found else -1
