"""Datasets: clips on disk in the layouts their authors gave them, indexed, checked, read by frame number.

A spec names one: `ucf101:/data/ucf?fold=2&split=train` is a kind, a place, and knobs of the kind.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtake.datasets.records import Footage, Index, Layout, Problem, Protocol, Record
from longtake.errors import InputError, nearest

__all__ = [
    "DATASETS",
    "SOURCES",
    "Footage",
    "Index",
    "Layout",
    "Problem",
    "Protocol",
    "Record",
    "find",
    "is_spec",
    "knobs",
    "open_spec",
]

DATASETS: Mapping[str, str] = {  # name -> module:class; in their official layouts
    "bair": "longtake.datasets.bair:Bair",
    "kinetics600": "longtake.datasets.kinetics600:Kinetics600",
    "kth": "longtake.datasets.kth:KTH",
    "msrvtt": "longtake.datasets.msrvtt:MSRVTT",
    "sky-timelapse": "longtake.datasets.sky_timelapse:SkyTimelapse",
    "taichi": "longtake.datasets.taichi:TaichiHD",
    "ucf101": "longtake.datasets.ucf101:UCF101",
    "webvid": "longtake.datasets.webvid:WebVid",
}
SOURCES: Mapping[str, str] = {  # the user's own clips
    "clips": "longtake.datasets.clips:Clips",
    "folder": "longtake.datasets.folders:Folder",
    "frames": "longtake.datasets.folders:FrameFolders",
    "hdf5": "longtake.datasets.hdf5:Hdf5",
    "hub": "longtake.datasets.hub:Hub",
    "shards": "longtake.datasets.shards:Shards",
    "stills": "longtake.datasets.stills:Stills",
    "zip": "longtake.datasets.zips:Zip",
}
_KINDS = {**DATASETS, **SOURCES}


def find(name: str) -> type[Layout]:
    """The class of the dataset or source called `name`; raises InputError for an unknown name."""
    if name not in _KINDS:
        raise InputError(f"unknown dataset '{name}'", "datasets", nearest(name, _KINDS))
    module, _, attribute = _KINDS[name].partition(":")
    kind: type[Layout] = getattr(importlib.import_module(module), attribute)
    return kind


def knobs(name: str) -> dict[str, str]:
    """What a dataset takes beside its place, with the defaults."""
    known = inspect.signature(find(name)).parameters.values()
    return {p.name: p.default for p in known if p.kind == p.KEYWORD_ONLY}


def is_spec(text: str) -> bool:
    """Whether a text is meant as a spec: `KIND:PATH`, KIND without a separator of paths."""
    kind, mark, path = text.partition(":")
    return bool(mark and path and kind) and not set(kind) & {"/", os.sep, ".", " "}


def open_spec(spec: str) -> Layout:
    """The dataset of `KIND:PATH` or `KIND:PATH?KNOB=VALUE&...`; a bare path is a folder of videos.

    Nothing is indexed yet. Raises InputError for an unknown kind or knob, and for no such place.
    """
    kind, path = spec.split(":", 1) if is_spec(spec) else ("folder", spec)
    cls, known = find(kind), knobs(kind)
    path, settings = _settings(path)
    for name in settings:
        if name not in known:
            raise InputError(f"{kind} has no knob '{name}'", spec, nearest(name, known))
    root = Path(path)
    if not os.path.lexists(root):
        raise InputError("no such place", path, f"{kind}:FOLDER, one that is there")
    made: Any = cls
    opened: Layout = made(root, **settings)
    return opened


def _settings(path: str) -> tuple[str, dict[str, str]]:
    """A path and the knobs after its last `?`, if that is what stands there."""
    head, mark, tail = path.rpartition("?")
    pairs = [pair.partition("=") for pair in tail.split("&")]
    if not mark or not all(sign and name.isidentifier() for name, sign, _ in pairs):
        return path, {}
    return head, {name: value for name, _, value in pairs}
