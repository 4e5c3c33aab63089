"""Kinetics-600: ten seconds each of 600 human actions (Carreira et al. 2018, arXiv 1808.01340)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from longtake.datasets.miniature import moving, write_clip
from longtake.datasets.records import Found, Index, Layout, Protocol, Record, first_there, videos_in
from longtake.datasets.tables import rows_of, write_rows

SPLITS = ("train", "val", "test")
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")


class Kinetics600(Layout):
    """`annotations/{train,val,test}.csv` (or beside the folders) and `{train,val,test}/<label>/<id>_<start>_<end>.mp4`,
    or the same without folders of labels.
    """

    title = "Kinetics-600: ten seconds of 600 human actions, sizes vary"
    licence = "annotations CC BY 4.0; videos under YouTube's terms"
    published: ClassVar[Mapping[str, int]] = {"train": 392622, "val": 30001, "test": 72924}
    protocols: ClassVar[Mapping[str, Protocol]] = {
        "5-to-11": Protocol("val", 30001, (64, 64), 16, given=5, note="25 fps, FVD of 50,000"),
        "dvd-gan": Protocol(
            "train", 392622, (64, 64), 48, note="class-conditional, 12 or 48 frames"
        ),
    }

    def index(self) -> Index:
        lists = first_there(self.root, ["annotations/train.csv", "train.csv"]).parent
        found = Found(self.root)
        for split in SPLITS:
            if not (lists / f"{split}.csv").exists():
                found.wrong("missing", f"{split}.csv", "no list of this split")
                continue
            for where, row in rows_of(lists / f"{split}.csv", _COLUMNS, found):
                begin, end = row["time_start"], row["time_end"]
                if not (begin.isdecimal() and end.isdecimal() and int(begin) < int(end)):
                    found.wrong("list", where, f"from {begin} to {end} is no stretch of seconds")
                    continue
                stem = f"{row['youtube_id']}_{int(begin):06}_{int(end):06}"
                if "/" in stem or "/" in row["label"]:
                    found.wrong("list", where, f"'{stem}' is no name of a file")
                    continue
                path = f"{split}/{row['label']}/{stem}.mp4"
                if not (self.root / path).exists() and (self.root / split / f"{stem}.mp4").exists():
                    path = f"{split}/{stem}.mp4"
                name, video = f"{split}/{stem}", row["youtube_id"]
                found.add(Record(name, path, split, None, row["label"], group=video), where)
        for split in SPLITS:
            found.unlisted(videos_in(self.root / split), f"{split}.csv")
        return found.index()

    @staticmethod
    def miniature(root: Path, seed: int) -> None:
        """Two classes, three clips to train on, one each to choose and to judge by."""
        shapes = [(64, 48), (48, 64), (80, 46)]
        for s, split in enumerate(SPLITS):
            rows = []
            for k, label in enumerate(["abseiling", "zumba"]):
                for n in range(3 if split == "train" else 1):
                    video = f"{split[:2]}{k}{n}AbCd-_{n}"
                    rows.append((label, video, 10 * n, 10 * n + 10, split))
                    clip = moving(1000 * seed + 100 * s + 10 * k + n, 20, shapes[n])
                    name = f"{video}_{10 * n:06}_{10 * n + 10:06}.mp4"
                    write_clip(root / split / label / name, clip, 10)
            path = root / "annotations" / f"{split}.csv"
            write_rows(path, (*_COLUMNS, "split"), rows)
