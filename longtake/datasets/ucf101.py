"""UCF-101: web videos of 101 human actions (Soomro et al. 2012, CRCV-TR-12-01)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from longtake.datasets.miniature import moving, write_clip, write_text
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

_NAME = re.compile(r"(?P<label>\w+)/(?P<stem>v_\w+_(?P<group>g\d+)_c\d+)\.avi")
_FOLDS = ("1", "2", "3")


class UCF101(Layout):
    """`UCF-101/<Class>/v_<Class>_gNN_cNN.avi` and `ucfTrainTestlist/`; fold: which of the three lists.

    Clips of one group were cut from one video.
    """

    title = "UCF-101: 101 human actions from web videos, 320x240, 25 fps"
    licence = "no explicit licence; web videos, research use (crcv.ucf.edu)"
    published: ClassVar[Mapping[str, int]] = {"train": 9537, "test": 3783}
    protocols: ClassVar[Mapping[str, Protocol]] = {
        "digan": Protocol("train", 9537, (128, 128), 16, note="FVD 2048, IS on 10,000 (C3D)"),
        "stylegan-v": Protocol("", 13320, (256, 256), 16, note="fvd2048_16f; one clip a video"),
        "stylegan-v-128": Protocol("", 13320, (256, 256), 128, note="fvd2048_128f"),
        "pvdm": Protocol("", 13320, (256, 256), 128, note="fvd2048_128f, train and test"),
        "zero-shot": Protocol("train", 9537, (256, 256), 16, note="one sentence a class"),
        "mcvd": Protocol("train", 9537, (64, 64), 16, note="unconditional"),
    }

    def __init__(self, root: Path, *, split: str = "", fold: str = "1") -> None:
        super().__init__(root, split=split)
        if fold not in _FOLDS:
            raise self._bad("fold", fold, _FOLDS)
        self.fold = fold

    def index(self) -> Index:
        videos = first_there(self.root, ["UCF-101", "videos"]).relative_to(self.root)
        lists = first_there(
            self.root, ["ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask"]
        )
        found = Found(self.root)
        classes = _classes(found, lists / "classInd.txt")
        for split in ("train", "test"):
            for number, line in lines_of(lists / f"{split}list0{self.fold}.txt"):
                name, _, told = line.partition(" ")
                where = f"{split}list0{self.fold}.txt:{number}"
                parts = _NAME.fullmatch(name)
                if parts is None:
                    found.wrong("list", where, f"'{line}' is no clip of UCF-101")
                    continue
                label, group = parts["label"], f"{parts['label']}_{parts['group']}"
                if label not in classes or told.strip() not in ("", classes[label]):
                    what = f"{name} is labelled '{told}', and its class is {classes.get(label)}"
                    found.wrong("label", where, what)
                path = (videos / name).as_posix()
                found.add(Record(parts["stem"], path, split, None, label, group=group), where)
        found.unlisted(videos_in(self.root / videos), f"the lists of fold {self.fold}")
        return found.index()

    @staticmethod
    def miniature(root: Path, seed: int) -> None:
        """Three classes of three groups of two clips; group 1 of each is for testing."""
        names = ["ApplyEyeMakeup", "Archery", "YoYo"]
        lists = root / "ucfTrainTestlist"
        write_text(lists / "classInd.txt", [f"{n} {name}" for n, name in enumerate(names, 1)])
        rows = [
            (f"{name}/v_{name}_g{g:02}_c{c:02}.avi", n, g)
            for n, name in enumerate(names, 1)
            for g in (1, 2, 3)
            for c in (1, 2)
        ]
        for k, (name, _, _) in enumerate(rows):
            clip = moving(1000 * seed + k, 20 + 3 * (k % 4), (80, 60))
            write_clip(root / "UCF-101" / name, clip, 25)
        for fold in (1, 2, 3):
            train = [f"{name} {n}" for name, n, g in rows if g != fold]
            write_text(lists / f"trainlist0{fold}.txt", train)
            test = [name for name, _, g in rows if g == fold]
            write_text(lists / f"testlist0{fold}.txt", test)


def _classes(found: Found, path: Path) -> dict[str, str]:
    """Class -> its number, as text."""
    classes = {}
    for number, line in lines_of(path):
        index, _, name = line.partition(" ")
        if not index.isdecimal() or not name:
            found.wrong("list", f"{path.name}:{number}", f"'{line}' is no number and class")
        else:
            classes[name.strip()] = index
    return classes
