"""HDF5 shards of raw frames, as MCVD writes them (`len/<n>`, `<n>/<frame>`), or one array (n t h w c)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from longtake.datasets.arrays import Frames
from longtake.datasets.folders import placed, positive
from longtake.datasets.records import Footage, Found, Index, Layout, Record
from longtake.errors import InputError


class Hdf5(Layout):
    """`*.hdf5` or `*.h5` below a folder, or one such file; fps: of frames. Wants `longtake[hdf5]`."""

    title = "HDF5 shards of raw frames"
    licence = "yours to know"

    def __init__(self, root: Path, *, split: str = "", fps: str = "10") -> None:
        super().__init__(root, split=split)
        self.fps: Fraction = positive(fps, "fps", root)

    def index(self) -> Index:
        if self.root.is_file():
            top, files = self.root.parent, [self.root]
        else:
            top, files = self.root, sorted({*self.root.rglob("*.hdf5"), *self.root.rglob("*.h5")})
        found = Found(top)
        for file in files:
            path = file.relative_to(top)
            split, label = placed(path)
            try:
                with _opened(file) as shard:
                    names = _clips(shard, file)
            except InputError as error:
                found.wrong("unreadable", path.as_posix(), error.what)
                continue
            for name in names:
                key = f"{path.as_posix()}:{name}"
                found.add(Record(key, path.as_posix(), split, None, label), "the folder")
        self.root = top
        return found.index()

    def footage(self, record: Record) -> Footage:
        name = record.id.rpartition(":")[2]
        with _opened(self.root / record.path) as shard:
            if "len" in shard:
                group = shard[name]
                frames = [np.asarray(group[str(n)]) for n in range(len(group))]
                whole = np.stack(frames) if frames else np.empty(0)
            else:
                array, _, row = name.partition("/")
                whole = np.asarray(shard[array][int(row)])
        return Frames(whole[..., None] if whole.ndim == 3 else whole, self.fps, record.id)

    def content(self, record: Record) -> bytes:
        clip = self.footage(record)
        return clip.read(range(clip.frames)).numpy().tobytes()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        kind = importlib.import_module("h5py").File
    except ImportError:
        hint = "pip install longtake[hdf5]"
        raise InputError("'h5py' is not installed", "datasets", hint) from None
    try:
        with kind(path, "r") as shard:
            yield shard
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot be read: {error}", str(path), "a whole copy") from error


def _clips(shard: Any, path: Path) -> list[str]:
    if "len" in shard:
        return sorted(shard["len"].keys(), key=lambda name: (len(name), name))
    arrays = [name for name in shard if getattr(shard[name], "ndim", 0) in (4, 5)]
    if not arrays:
        raise InputError("holds no clips", str(path), "len/<n> and <n>/<frame>, or (n t h w c)")
    return [f"{name}/{n}" for name in sorted(arrays) for n in range(len(shard[name]))]
