"""BAIR robot pushing (Ebert et al., CoRL 2017), out of its TFRecords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from longtake.datasets.arrays import Frames
from longtake.datasets.miniature import moving
from longtake.datasets.records import Footage, Found, Index, Layout, Protocol, Record, first_there
from longtake.datasets.tfrecord import (
    Value,
    example,
    offsets,
    parse_example,
    record_at,
    write_records,
)
from longtake.errors import InputError

FRAMES, SIDE = 30, 64
_CAMERAS = ("aux1", "main")


class Bair(Layout):
    """`softmotion30_44k/{train,test}/*.tfrecords`: 30 raw frames of 64x64 a record; camera: aux1 or main.

    A record's span is its place in the file, in bytes.
    """

    title = "BAIR robot pushing: an arm among objects, 64x64, actions known"
    licence = "research use (see the Berkeley page of the dataset)"
    published: ClassVar[Mapping[str, int]] = {"train": 43264, "test": 256}
    protocols: ClassVar[Mapping[str, Protocol]] = {
        "1-to-15": Protocol("test", 256, (64, 64), 16, given=1, note="FVD, 100 samples each"),
        "2-to-14": Protocol("test", 256, (64, 64), 16, given=2, note="FVD, 100 samples each"),
        "2-to-28": Protocol("test", 256, (64, 64), 30, given=2, note="best of 100, PSNR, SSIM"),
    }

    def __init__(self, root: Path, *, split: str = "", camera: str = "aux1") -> None:
        super().__init__(root, split=split)
        if camera not in _CAMERAS:
            raise self._bad("camera", camera, _CAMERAS)
        self.camera = camera

    def index(self) -> Index:
        top = first_there(self.root, ["softmotion30_44k", "train"])
        top = top.parent if top.name == "train" else top
        found = Found(self.root)
        for split in ("train", "test"):
            for file in sorted((top / split).glob("*.tfrecord*")):
                path = file.relative_to(self.root).as_posix()
                try:
                    places = offsets(file)
                except InputError as error:
                    found.wrong("unreadable", path, error.what)
                    continue
                if not places:
                    found.wrong("unreadable", path, "holds no records")
                for n, (offset, length) in enumerate(places):
                    name, span = f"{split}/{file.stem}/{n}", (offset, offset + length)
                    found.add(Record(name, path, split, span), split)
        return found.index()

    def footage(self, record: Record) -> Footage:
        features = self._features(record)
        frames = [
            _picture(features, f"{n}/image_{self.camera}/encoded", record) for n in range(FRAMES)
        ]
        return Frames(np.stack(frames), Fraction(10), record.id)

    def actions(self, record: Record) -> tuple[Tensor, Tensor]:
        """What the arm was told (30, 4) and where it was (30, 3)."""
        features = self._features(record)
        told = [_numbers(features, f"{n}/action", 4, record) for n in range(FRAMES)]
        place = [_numbers(features, f"{n}/endeffector_pos", 3, record) for n in range(FRAMES)]
        return torch.from_numpy(np.stack(told)), torch.from_numpy(np.stack(place))

    def _features(self, record: Record) -> Mapping[str, Value]:
        assert record.span is not None
        return _features(self.root / record.path, *record.span, record.id)

    @staticmethod
    def miniature(root: Path, seed: int) -> None:
        """Two files of two trajectories for training, one of two for testing."""
        for n, name in enumerate(["train/traj_0_to_1", "train/traj_2_to_3", "test/traj_0_to_1"]):
            made = [_trajectory(1000 * seed + 2 * n + k) for k in (0, 1)]
            write_records(root / "softmotion30_44k" / f"{name}.tfrecords", made)


@lru_cache(maxsize=4)
def _features(path: Path, first: int, stop: int, where: str) -> Mapping[str, Value]:
    return parse_example(record_at(path, first, stop - first), where)


def _picture(features: Mapping[str, Value], name: str, record: Record) -> np.ndarray:
    value = features.get(name)
    if not isinstance(value, list) or len(value) != 1 or len(value[0]) != SIDE * SIDE * 3:
        what = f"'{name}' is not one picture of {SIDE}x{SIDE}x3 bytes"
        raise InputError(what, record.id, "the file again from its source")
    return np.frombuffer(value[0], np.uint8).reshape(SIDE, SIDE, 3)


def _numbers(features: Mapping[str, Value], name: str, count: int, record: Record) -> np.ndarray:
    value = features.get(name)
    if not isinstance(value, np.ndarray) or value.shape != (count,):
        raise InputError(f"'{name}' is not {count} numbers", record.id, "another file")
    return value.astype(np.float32)


def _trajectory(seed: int) -> bytes:
    """An Example as the dataset has them."""
    dice = np.random.default_rng(seed)
    features: dict[str, bytes | Sequence[float]] = {}
    cameras = [
        ("aux1", moving(seed, FRAMES, (SIDE, SIDE))),
        ("main", moving(~seed & 0xFFFF, FRAMES, (SIDE, SIDE))),
    ]
    for n in range(FRAMES):
        for camera, clip in cameras:
            features[f"{n}/image_{camera}/encoded"] = clip[n].permute(1, 2, 0).numpy().tobytes()
        features[f"{n}/action"] = dice.normal(size=4).tolist()
        features[f"{n}/endeffector_pos"] = dice.normal(size=3).tolist()
    return example(features)
