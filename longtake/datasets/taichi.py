"""Taichi-HD: people at tai chi, cut out (Siarohin et al., NeurIPS 2019, First Order Motion Model)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from longtake.datasets.miniature import moving, write_clip, write_pictures
from longtake.datasets.pictures import digest_of, pictures_in
from longtake.datasets.records import (
    Footage,
    Found,
    Index,
    Layout,
    Protocol,
    Record,
    first_there,
    part,
    videos_in,
)
from longtake.datasets.tables import rows_of, write_rows
from longtake.video import PictureFrames

_COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height", "partition")


class TaichiHD(Layout):
    """`taichi-metadata.csv` and what its authors' script makes of it: `{train,test}/<id>#<start>#<end>.mp4`,
    or a folder of PNGs of that name.
    """

    title = "Taichi-HD: people at tai chi, crops of 256 pixels or more"
    licence = "metadata MIT; videos under YouTube's terms"
    published: ClassVar[Mapping[str, int]] = {"train": 3049, "test": 285}
    protocols: ClassVar[Mapping[str, Protocol]] = {
        "tats": Protocol("train", 3049, (128, 128), 16, stride=4, note="FVD 2048"),
        "digan": Protocol("train", 3049, (128, 128), 16, stride=4, note="FVD 2048"),
        "digan-256": Protocol("train", 3049, (256, 256), 16, stride=4),
        "mebt": Protocol("train", 3049, (128, 128), 128, note="FVD of 128 frames"),
    }

    def index(self) -> Index:
        table = first_there(
            self.root, ["taichi-metadata.csv", "taichi-metadata-new.csv", "taichi_hd-metadata.csv"]
        )
        found = Found(self.root)
        for where, row in rows_of(table, _COLUMNS, found):
            video, split = row["video_id"], row["partition"]
            start, end = row["start"], row["end"]
            wrong = "/" in video or split not in ("train", "test")
            if wrong or not (start.isdecimal() and end.isdecimal() and int(start) < int(end)):
                found.wrong("list", where, f"'{video}' {start} to {end} in '{split}' is no chunk")
                continue
            name = f"{video}#{int(start):06}#{int(end):06}"
            path = f"{split}/{name}.mp4"
            # The script gives a folder of PNGs the film's whole name.
            for folder in (path, f"{split}/{name}.png", f"{split}/{name}"):
                path = folder if (self.root / folder).is_dir() else path
            found.add(Record(f"{split}/{name}", path, split, group=video), where)
        for split in ("train", "test"):
            found.unlisted(videos_in(self.root / split), table.name)
        return found.index()

    def footage(self, record: Record) -> Footage:
        place = self.root / record.path
        if place.is_dir():
            return part(PictureFrames(pictures_in(place), Fraction(25)), record)
        return super().footage(record)

    def content(self, record: Record) -> bytes:
        place = self.root / record.path
        return digest_of(pictures_in(place)) if place.is_dir() else super().content(record)

    @staticmethod
    def miniature(root: Path, seed: int) -> None:
        """Three videos in five chunks, two as folders of PNGs."""
        rows = []
        for n, (video, start, split) in enumerate(
            [
                ("0cDd1Xv8FMw", 0, "train"),
                ("0cDd1Xv8FMw", 150, "train"),
                ("A7Qoy5mr3F4", 20, "train"),
                ("A7Qoy5mr3F4", 90, "train"),
                ("zLxhCCYfpOw", 7, "test"),
            ]
        ):
            end = start + 66
            rows.append((video, start, end, "10-0-74-64", 25, 128, 72, split))
            place = root / split / f"{video}#{start:06}#{end:06}"
            clip = moving(1000 * seed + n, 66 if n % 2 == 0 else 24, (64, 64))
            if n % 2 == 0:
                write_clip(place.with_name(f"{place.name}.mp4"), clip, 25)
            else:
                write_pictures([place / f"{k:07}.png" for k in range(len(clip))], clip)
        write_rows(root / "taichi-metadata.csv", _COLUMNS, rows)
