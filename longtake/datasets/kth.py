"""KTH: six actions of 25 people in grey (Schuldt et al., ICPR 2004)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from longtake.datasets.miniature import grey, moving, write_clip, write_text
from longtake.datasets.records import (
    Found,
    Index,
    Layout,
    Protocol,
    Record,
    first_there,
    lines_of,
    videos_in,
)
from longtake.errors import InputError

ACTIONS = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
_LINE = re.compile(r"person(\d\d)_([a-z]+)_d([1-4])\s+frames\s+(.+)")
_SPAN = re.compile(r"\s*(\d+)\s*-\s*(\d+)\s*")
_NEVER_THERE = "person13_handclapping_d3"  # the one clip that was never given out
PEOPLE: Mapping[str, Mapping[str, frozenset[int]]] = {
    "16": {"train": frozenset(range(1, 17)), "test": frozenset(range(17, 26))},
    "20": {"train": frozenset(range(1, 21)), "test": frozenset(range(21, 26))},
    "official": {
        "train": frozenset(range(11, 19)),
        "val": frozenset({19, 20, 21, 23, 24, 25, 1, 4}),
        "test": frozenset({22, 2, 3, 5, 6, 7, 8, 9, 10}),
    },
}


class KTH(Layout):
    """`person<nn>_<action>_d<n>_uncomp.avi`, in folders by action or not, and `00sequences.txt`; a record is
    one of the stretches it lists.

    people: who is trained on. 16: persons 1 to 16, 20: 1 to 20, official: 8 train, 8 val, 9 test.
    """

    title = "KTH: six actions of 25 people, 160x120 grey, 25 fps"
    licence = "free for research (csc.kth.se/cvap/actions)"
    published: ClassVar[Mapping[str, int]] = {"": 2391}
    protocols: ClassVar[Mapping[str, Protocol]] = {
        "10-to-20": Protocol("test", 0, (64, 64), 30, given=10, note="best of 100; people=20"),
        "10-to-30": Protocol("test", 0, (64, 64), 40, given=10, note="best of 100; people=20"),
        "10-to-40": Protocol("test", 0, (64, 64), 50, given=10, note="best of 100; people=20"),
        "mcnet": Protocol("test", 0, (128, 128), 30, given=10, note="people=16"),
    }

    def __init__(self, root: Path, *, split: str = "", people: str = "16") -> None:
        super().__init__(root, split=split)
        if people not in PEOPLE:
            raise self._bad("people", people, list(PEOPLE))
        self.people = people

    def index(self) -> Index:
        found = Found(self.root)
        listing = first_there(self.root, ["00sequences.txt"])
        for number, line in lines_of(listing):
            entry = _LINE.fullmatch(line)
            if entry is None:
                if line.startswith("person"):
                    found.wrong("list", f"00sequences.txt:{number}", f"'{line[:60]}' is not read")
                continue
            self._add(found, entry, f"00sequences.txt:{number}")
        if not found.problems and not found.index().records:
            raise InputError("lists no sequences", str(listing), "the list as published")
        found.unlisted(videos_in(self.root), "00sequences.txt")
        return found.index()

    def _add(self, found: Found, entry: re.Match[str], where: str) -> None:
        person, action, scene, spans = entry.groups()
        stem = f"person{person}_{action}_d{scene}"
        split = next((s for s, who in PEOPLE[self.people].items() if int(person) in who), None)
        if split is None or action not in ACTIONS:
            found.wrong("list", where, f"{stem} is no clip of KTH")
            return
        if stem == _NEVER_THERE:
            return
        path = f"{action}/{stem}_uncomp.avi"
        path = path if (self.root / path).exists() else f"{stem}_uncomp.avi"
        for n, text in enumerate(spans.split(",")):
            span = _SPAN.fullmatch(text)
            if span is None or not 1 <= int(span[1]) <= int(span[2]):
                found.wrong("list", where, f"'{text.strip()}' is no stretch of frames")
                continue
            # The list counts from 1 and names the last frame.
            stretch = (int(span[1]) - 1, int(span[2]))
            name, who = f"{stem}/{n}", f"person{person}"
            found.add(Record(name, path, split, stretch, action, group=who), where)

    @staticmethod
    def miniature(root: Path, seed: int) -> None:
        """Two actions of three people, two stretches each; the list also names the clip that never was."""
        lines = ["Sequences of the six actions, first and last frame of each", ""]
        for n, person in enumerate((1, 18, 22)):
            for k, action in enumerate(("boxing", "walking")):
                stem = f"person{person:02}_{action}_d1"
                lines.append(f"{stem}\t\tframes\t1-24, 25-60")
                clip = grey(moving(1000 * seed + 10 * n + k, 60, (80, 60)))
                write_clip(root / action / f"{stem}_uncomp.avi", clip, 25)
        lines.append(f"{_NEVER_THERE}\t\tframes\t1-75, 76-150")
        write_text(root / "00sequences.txt", lines)
