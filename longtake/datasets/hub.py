"""Hugging Face datasets on disk: rows whose video is a file's bytes or path, or a list of pictures."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtake.datasets.folders import SPLITS, positive
from longtake.datasets.records import Footage, Found, Index, Layout, Record
from longtake.errors import InputError
from longtake.video import PictureFrames, VideoFrames

_VIDEOS, _TEXTS, _LABELS = ("video", "frames", "images"), ("caption", "text"), ("label", "category")


class Hub(Layout):
    """A folder of Parquet files, as the Hub stores datasets, or of Arrow files, as `save_to_disk` writes them;
    nothing is fetched. Wants `longtake[hub]`, which is pyarrow alone.

    A record's span is its row. column: what holds the video; by default the first of video, frames, images. fps: of pictures.
    """

    title = "a Hugging Face dataset on disk"
    licence = "the dataset card's"

    def __init__(self, root: Path, *, split: str = "", column: str = "", fps: str = "10") -> None:
        super().__init__(root, split=split)
        self._tables: dict[Path, Any] = {}
        self.column, self.fps = column, positive(fps, "fps", root)

    def index(self) -> Index:
        found = Found(self.root)
        for file in sorted({*self.root.rglob("*.parquet"), *self.root.rglob("*.arrow")}):
            path = file.relative_to(self.root)
            try:
                rows = self._rows(file)
                self._column(rows)
                texts = [name for name in (*_TEXTS, *_LABELS) if name in rows.column_names]
                told = rows.select(texts).to_pylist() if texts else [{}] * rows.num_rows
            except InputError as error:
                found.wrong("unreadable", path.as_posix(), error.what)
                continue
            split = _split(path)
            for n, row in enumerate(told):
                captions = tuple(str(row[name]) for name in _TEXTS if row.get(name))
                label = next((str(row[k]) for k in _LABELS if row.get(k) is not None), "")
                name = f"{path.as_posix()}/{n}"
                record = Record(name, path.as_posix(), split, (n, n + 1), label, captions)
                found.add(record, path.as_posix())
        return found.index()

    def footage(self, record: Record) -> Footage:
        value = self._value(record)
        if isinstance(value, list):
            named = {f"{n:06}": _bytes(picture, record) for n, picture in enumerate(value)}
            return PictureFrames(list(named), self.fps, named.__getitem__)
        if isinstance(value, str):
            return VideoFrames(value)
        return VideoFrames(record.id, _bytes(value, record))

    def content(self, record: Record) -> bytes:
        value = self._value(record)
        parts = value if isinstance(value, list) else [value]
        whole = [p.encode() if isinstance(p, str) else _bytes(p, record) for p in parts]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in whole)).digest()

    def _value(self, record: Record) -> Any:
        assert record.span is not None
        rows = self._rows(self.root / record.path)
        return rows.column(self._column(rows))[record.span[0]].as_py()

    def _rows(self, file: Path) -> Any:
        """A file's table, mapped rather than read where its format allows."""
        if file not in self._tables:
            self._tables = {file: _table(file)}  # one at a time
        return self._tables[file]

    def _column(self, rows: Any) -> str:
        wanted = [self.column] if self.column else list(_VIDEOS)
        for name in wanted:
            if name in rows.column_names:
                return name
        hint = f"column={next(iter(rows.column_names), '')}"
        raise InputError(f"has no column {' or '.join(wanted)}", str(self.root), hint)


def _table(file: Path) -> Any:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        hint = "pip install longtake[hub]"
        raise InputError("'pyarrow' is not installed", "datasets", hint) from None
    try:
        if file.suffix == ".parquet":
            return parquet.read_table(file, memory_map=True)
        return arrow.ipc.open_stream(arrow.memory_map(str(file))).read_all()
    except (OSError, ValueError) as error:  # Arrow's own errors are of these kinds
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"cannot be read: {reason}", str(file), "a whole copy") from error


def _split(path: Path) -> str:
    """The split of `train/data-00000-of-00001.arrow` or `data/train-00000-of-00001.parquet`."""
    named = [*path.parent.parts, path.stem.partition("-")[0]]
    return next((SPLITS[name] for name in map(str.lower, named) if name in SPLITS), "train")


def _bytes(value: Any, record: Record) -> bytes:
    """The bytes of a file as the package keeps it."""
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):
        return bytes(value["bytes"])
    if isinstance(value, Mapping) and isinstance(value.get("path"), str):
        return Path(value["path"]).read_bytes()
    if isinstance(value, bytes):
        return value
    raise InputError("holds neither bytes nor a path", record.id, "another column")
