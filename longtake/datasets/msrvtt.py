"""MSR-VTT: ten thousand web clips of twenty captions each (Xu et al., CVPR 2016)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from longtake.datasets.miniature import moving, write_clip
from longtake.datasets.records import Found, Index, Layout, Protocol, Record, first_there, videos_in
from longtake.errors import InputError

CATEGORIES = (
    "music people gaming sports/actions news/events/politics education tv-shows movie/comedy "
    "animation vehicles/autos howto travel science/technology animals/pets kids/family "
    "documentary food/drink cooking beauty/fashion advertisement"
).split()
_LISTS = ("train_val_videodatainfo.json", "test_videodatainfo.json")
_SPLITS = {"train": "train", "validate": "val", "val": "val", "test": "test"}


class MSRVTT(Layout):
    """`videos/video<n>.mp4` (or TrainValVideo and TestVideo), `train_val_videodatainfo.json` and
    `test_videodatainfo.json`.
    """

    title = "MSR-VTT: web clips of 10 to 30 s with 20 captions each, 320x240"
    licence = "Microsoft Research licence, research use"
    published: ClassVar[Mapping[str, int]] = {"train": 6513, "val": 497, "test": 2990}
    protocols: ClassVar[Mapping[str, Protocol]] = {
        "nuwa": Protocol("test", 2990, (256, 256), 16, note="CLIPSIM over all 59,800 captions"),
        "make-a-video": Protocol(
            "test", 2990, (256, 256), 16, note="CLIPSIM, FID a frame; one caption drawn a video"
        ),
    }

    def index(self) -> Index:
        found = Found(self.root)
        folders = [n for n in ("videos", "TrainValVideo", "TestVideo") if (self.root / n).is_dir()]
        for name in _LISTS:
            path = first_there(self.root, [name, f"annotations/{name}"])
            told = _load(path)
            captions = defaultdict(list)
            for sentence in told["sentences"]:
                captions[_text(sentence, "video_id", path)].append(_text(sentence, "caption", path))
            for n, video in enumerate(told["videos"]):
                where, key = f"{name}: video {n}", _text(video, "video_id", path)
                split = _SPLITS.get(str(video.get("split")))
                if split is None or "/" in key:
                    found.wrong("list", where, f"'{key}' is in split '{video.get('split')}'")
                    continue
                if not captions[key]:
                    found.wrong("list", where, f"{key} has no caption")
                found.add(self._record(folders, key, split, video, tuple(captions[key])), where)
            for key in sorted(set(captions) - {str(v.get("video_id")) for v in told["videos"]}):
                found.wrong("list", name, f"captions of {key}, which is not in the list")
        for folder in folders:
            found.unlisted(videos_in(self.root / folder), "the lists")
        return found.index()

    def _record(
        self, folders: list[str], key: str, split: str, video: Any, captions: tuple[str, ...]
    ) -> Record:
        paths = [f"{folder}/{key}.mp4" for folder in folders or ["videos"]]
        path = next((path for path in paths if (self.root / path).exists()), paths[0])
        number = video.get("category")
        known = isinstance(number, int) and 0 <= number < len(CATEGORIES)
        label = CATEGORIES[number] if known else ""
        return Record(key, path, split, None, label, captions, group=str(video.get("url", "")))

    @staticmethod
    def miniature(root: Path, seed: int) -> None:
        """Four clips to train on, one to choose by, two to judge by; three captions each."""
        splits = ["train"] * 4 + ["validate"] + ["test"] * 2
        for name, first, last in ((_LISTS[0], 0, 5), (_LISTS[1], 5, 7)):
            videos, sentences = [], []
            for n in range(first, last):
                key, url = f"video{n}", f"https://example.invalid/watch?v={n}"
                times = {"start time": 1.5 * n, "end time": 1.5 * n + 2}
                videos.append(
                    {
                        "category": n,
                        "url": url,
                        "video_id": key,
                        **times,
                        "split": splits[n],
                        "id": n,
                    }
                )
                for k, verb in enumerate(("drift", "move", "float")):
                    caption = f"discs {verb} over ground number {n}"
                    sentences.append({"caption": caption, "video_id": key, "sen_id": 3 * n + k})
                clip = moving(1000 * seed + n, 20, (64, 48))
                write_clip(root / "videos" / f"{key}.mp4", clip, 10)
            whole = {"info": {"version": "1.0"}, "videos": videos, "sentences": sentences}
            (root / name).write_text(json.dumps(whole), encoding="utf-8")


def _load(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", str(path), "the list as published") from error
    parts = told if isinstance(told, dict) else {}
    for name in ("videos", "sentences"):
        rows = parts.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"has no list of {name}", str(path), "the list as published")
    return parts


def _text(row: Mapping[str, Any], name: str, path: Path) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise InputError(f"an entry without {name}", str(path), "the list as published")
    return value
