"""Sky Time-lapse: clips of moving skies (Xiong et al., CVPR 2018, MD-GAN)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from longtake.datasets.miniature import moving, write_pictures
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
    trailing_number,
)
from longtake.video import PictureFrames

_UNITS = ("clip", "video")


class SkyTimelapse(Layout):
    """`sky_timelapse/{sky_train,sky_test}/<video>/<clip>/<frame>.jpg`; unit: clips of 32 frames, or
    the videos they were cut from, put together again.
    """

    title = "Sky Time-lapse: skies speeded up, 640x360"
    licence = "no licence; YouTube sources, research use (weixiong-ur/mdgan)"
    published: ClassVar[Mapping[str, int]] = {"train": 35392, "test": 2815}
    protocols: ClassVar[Mapping[str, Protocol]] = {
        "mdgan": Protocol("train", 35392, (128, 128), 32, given=1, note="first frame to 32"),
        "digan": Protocol("train", 0, (128, 128), 16, note="videos merged, stride 1, FVD 2048"),
        "stylegan-v": Protocol("train", 0, (256, 256), 16, note="videos merged, fvd2048_16f"),
        "stylegan-v-128": Protocol("train", 0, (256, 256), 128, note="videos merged"),
        "tats": Protocol("train", 0, (128, 128), 16, note="windowed FVD to 1,024 frames"),
    }

    def __init__(self, root: Path, *, split: str = "", unit: str = "clip") -> None:
        super().__init__(root, split=split)
        if unit not in _UNITS:
            raise self._bad("unit", unit, _UNITS)
        self.unit = unit

    def index(self) -> Index:
        top = first_there(self.root, ["sky_timelapse", "sky_train"])
        top = top.parent if top.name == "sky_train" else top
        found = Found(self.root)
        for split in ("train", "test"):
            for video in sorted(p for p in (top / f"sky_{split}").glob("*") if p.is_dir()):
                clips = sorted(p for p in video.iterdir() if p.is_dir())
                for clip in clips:
                    _check_clip(found, clip)
                for place in clips if self.unit == "clip" else [video]:
                    path = place.relative_to(self.root).as_posix()
                    record = Record(f"{split}/{place.name}", path, split, group=video.name)
                    found.add(record, f"sky_{split}")
        return found.index()

    def footage(self, record: Record) -> Footage:
        return part(PictureFrames(self._files(record), Fraction(25)), record)

    def content(self, record: Record) -> bytes:
        return digest_of(self._files(record))

    def _files(self, record: Record) -> list[Path]:
        place = self.root / record.path
        clips = [place] if self.unit == "clip" else [p for p in place.iterdir() if p.is_dir()]
        clips.sort(key=lambda clip: (trailing_number(clip.name), clip.name))
        return [picture for clip in clips for picture in pictures_in(clip)]

    @staticmethod
    def miniature(root: Path, seed: int) -> None:
        """Three videos of two clips of 32 frames, one video for testing."""
        for n, (split, video) in enumerate(
            [("train", "07U1fSrk9oI"), ("train", "0FoMMMFoKpk"), ("test", "xQNRs8yGKFo")]
        ):
            whole = moving(1000 * seed + n, 64, (64, 36))
            for k in (1, 2):
                folder = root / "sky_timelapse" / f"sky_{split}" / video / f"{video}_{k}"
                numbers = range(32 * k - 31, 32 * k + 1)
                paths = [folder / f"{video}_frames_{number:08}.jpg" for number in numbers]
                write_pictures(paths, whole[32 * (k - 1) : 32 * k])


def _check_clip(found: Found, clip: Path) -> None:
    """Frames have consecutive numbers."""
    numbers = [trailing_number(picture.stem) for picture in pictures_in(clip)]
    where = clip.relative_to(found.root).as_posix()
    if not numbers:
        found.wrong("missing", where, "a clip without frames")
        return
    lost = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if lost:
        found.wrong("missing", where, f"frame {lost[0]}, and {len(lost) - 1} more")
