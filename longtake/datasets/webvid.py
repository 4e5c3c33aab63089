"""WebVid-10M (Bain et al., ICCV 2021), by a CSV that the user brings: its authors may no longer give it out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from longtake.datasets.miniature import moving, write_clip
from longtake.datasets.records import Found, Index, Layout, Protocol, Record, videos_in
from longtake.datasets.tables import rows_of, write_rows
from longtake.errors import InputError

_COLUMNS = ("videoid", "name", "page_dir")


class WebVid(Layout):
    """`*.csv` with videoid,name,page_dir,... and `videos/<page_dir>/<videoid>.mp4`; a CSV is of the split
    that its name holds (train, val). Nothing is downloaded.

    Panda-70M, InternVid, OpenVid-1M and HD-VILA come in by the same columns.
    """

    title = "WebVid-10M: stock videos with captions, 596x336, watermarked"
    licence = "withdrawn in February 2024 (Shutterstock); only for who holds it and may use it"
    published: ClassVar[Mapping[str, int]] = {"train": 10_700_000}
    protocols: ClassVar[Mapping[str, Protocol]] = {
        "text-to-video": Protocol(
            "train", 0, (256, 256), 16, note="at 4 to 8 fps, random stride; watermarks are learned"
        ),
    }

    def index(self) -> Index:
        found = Found(self.root)
        lists = sorted(self.root.glob("*.csv"))
        if not lists:
            raise InputError("has no CSV", str(self.root), f"results.csv with {','.join(_COLUMNS)}")
        for path in lists:
            split = "val" if "val" in path.stem else "train"
            for where, row in rows_of(path, _COLUMNS, found):
                place = f"videos/{row['page_dir']}/{row['videoid']}.mp4"
                if ".." in place.split("/") or row["page_dir"].startswith("/"):
                    found.wrong("list", where, f"{place} leads out of the folder")
                    continue
                record = Record(row["videoid"], place, split, captions=(row["name"],))
                found.add(record, where)
        found.unlisted(videos_in(self.root / "videos"), "the CSVs")
        return found.index()

    @staticmethod
    def miniature(root: Path, seed: int) -> None:
        """Four videos to train on, two to judge by."""
        columns = ("videoid", "name", "page_dir", "duration", "contentUrl")
        rows = []
        for n in range(6):
            number, page = 1001200 + n, f"{n // 3:06}_{n // 3 + 50:06}"
            caption = f"Discs, drifting, take {n}"
            rows.append((number, caption, page, "PT00H00M02S", f"https://example.invalid/{number}"))
            clip = moving(1000 * seed + n, 24, (74, 42))
            write_clip(root / "videos" / page / f"{number}.mp4", clip, 12)
        write_rows(root / "results_10M_train.csv", columns, rows[:4])
        write_rows(root / "results_10M_val.csv", columns, rows[4:])
