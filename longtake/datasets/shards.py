"""Shards: plain tars of clips, each a video, a `.json` of its record and a `.txt` of its caption.

The layout is WebDataset's: files of one sample follow each other and share their name up to the first
dot. Reading is by place, not by stream, so that any clip is as near as the first.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

from longtake.datasets.clips import record_of, told
from longtake.datasets.records import Footage, Found, Index, Layout, Record
from longtake.errors import InputError
from longtake.keys import fingerprint
from longtake.video import VIDEO_SUFFIXES, VideoFrames, VideoWriter
from longtake.video.files import blamed

_CHUNK = 32  # frames encoded together


class Shards(Layout):
    """`*.tar` below a folder, or one tar. A record's span is its video's place in the tar, in bytes."""

    title = "WebDataset shards"
    licence = "each clip's own, where its .json tells"

    def index(self) -> Index:
        files = [self.root] if self.root.is_file() else sorted(self.root.rglob("*.tar"))
        self.root = self.root.parent if self.root.is_file() else self.root
        found = Found(self.root)
        for file in files:
            path = file.relative_to(self.root).as_posix()
            try:
                for record in _records(file, path):
                    found.add(record, path)
            except (tarfile.TarError, OSError, InputError) as error:
                found.wrong("unreadable", path, str(error))
        return found.index()

    def footage(self, record: Record) -> Footage:
        return VideoFrames(f"{record.path}:{record.id}", self._bytes(record))

    def content(self, record: Record) -> bytes:
        return hashlib.sha256(self._bytes(record)).digest()

    def _bytes(self, record: Record) -> bytes:
        assert record.span is not None
        with (self.root / record.path).open("rb") as file:
            file.seek(record.span[0])
            data = file.read(record.span[1] - record.span[0])
        if len(data) < record.span[1] - record.span[0]:
            raise InputError("the shard is cut short", record.id, "a whole copy")
        return data


def write_shards(layout: Layout, out: Path, each: int = 100) -> Iterator[Path]:
    """Writes the clips of a dataset into tars of `each`, and yields them as they are whole.

    A clip that is a file goes in as it is; others are coded without loss. Shards that are there
    already, of the same clips, are kept: to go on, run it again. The same clips give the same bytes.
    """
    if each < 1:
        raise InputError(f"{each} clips a shard", str(out), "1 or more")
    with blamed(out, "cannot make the folder", "another folder"):
        out.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(layout.records), each):
        records = layout.records[first : first + each]
        place = out / f"{first // each:06}.tar"
        mark = fingerprint([told(record) for record in records])
        if not _is_of(place, mark):
            _write(layout, records, first, place, mark)
        yield place


def _records(file: Path, path: str) -> Iterator[Record]:
    """The samples of a tar, none of whose lengths goes past the file's end."""
    size = file.stat().st_size
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    with tarfile.open(file, "r:") as tar:
        for member in tar:
            if member.offset_data + member.size > size:
                raise InputError(f"is cut short in {member.name}", path, "a whole copy")
            name = PurePosixPath(member.name)
            key, _, suffix = name.name.partition(".")
            if member.isfile() and key:
                samples.setdefault((name.parent / key).as_posix(), {})[suffix.lower()] = member
        for key, members in samples.items():
            video = next((m for s, m in members.items() if f".{s}" in VIDEO_SUFFIXES), None)
            if video is None:
                continue
            notes = _json(tar, members["json"]) if "json" in members else {}
            caption = _text(tar, members["txt"]) if "txt" in members else ""
            label = _text(tar, members["cls"]) if "cls" in members else ""
            known = {"label": label, "captions": [caption] if caption else [], **notes}
            span = [video.offset_data, video.offset_data + video.size]
            whole = {"id": f"{path}:{key}", **known, "path": path, "span": span}
            yield record_of(whole)


def _json(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    try:
        notes = json.loads(_text(tar, member))
    except ValueError:
        notes = None
    if not isinstance(notes, dict):
        raise InputError("is no object", member.name, "a JSON object")
    return notes


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if member.size > 1_000_000:
        raise InputError("a note of more than 1 MB", member.name, "a short one")
    file = tar.extractfile(member)
    return "" if file is None else file.read().decode("utf-8", "replace").strip()


def _is_of(place: Path, mark: str) -> bool:
    """Whether a shard is there and was made of these clips."""
    try:
        with tarfile.open(place, "r:", format=tarfile.PAX_FORMAT) as tar:
            return tar.pax_headers.get("comment") == mark
    except (OSError, tarfile.TarError):
        return False


def _write(layout: Layout, records: Sequence[Record], first: int, place: Path, mark: str) -> None:
    growing = place.with_suffix(".tar.part")
    with blamed(place, "cannot write the shard", "another folder"):
        headers = {"comment": mark}
        with tarfile.open(growing, "w", format=tarfile.PAX_FORMAT, pax_headers=headers) as tar:
            for n, record in enumerate(records, first):
                suffix, data = _coded(layout, record)
                _add(tar, f"{n:08}{suffix}", data)
                notes = {**told(record), "licence": record.licence or layout.licence}
                notes.pop("span", None)
                _add(tar, f"{n:08}.json", json.dumps(notes, sort_keys=True).encode())
                if record.captions:
                    _add(tar, f"{n:08}.txt", record.captions[0].encode())
        os.replace(growing, place)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _coded(layout: Layout, record: Record) -> tuple[str, bytes]:
    """Suffix and bytes of a clip as a video file."""
    place = layout.root / record.path
    if record.span is None and place.is_file() and place.suffix.lower() in VIDEO_SUFFIXES:
        return place.suffix.lower(), place.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "clip.mkv"
        save_clip(layout.footage(record), film, "lossless")
        return ".mkv", film.read_bytes()


def save_clip(footage: Footage, film: Path, quality: str) -> None:
    """Footage as a film of its own."""
    size = footage.read([0]).shape[-1:-3:-1]
    with VideoWriter(
        film, size=(size[0], size[1]), fps=Fraction(footage.fps), quality=quality
    ) as writer:
        for start in range(0, footage.frames, _CHUNK):
            stop = min(start + _CHUNK, footage.frames)
            writer.write(footage.read(range(start, stop), size=(size[0], size[1])))
