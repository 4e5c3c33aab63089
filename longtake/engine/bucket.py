"""Finished steps on any file system that fsspec knows, by URL: S3, GCS, HTTP, another machine's memory."""

from __future__ import annotations

import errno
import importlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from longtake.clip import Clip
from longtake.engine.store import MARKER, check_marker, pack, unpack, whole_lines
from longtake.errors import InputError, LongtakeError, MachineError

CHUNK = 64  # lines of the journal in one object


def is_url(run: object) -> bool:
    """Whether a run is named by URL, and not by a path."""
    return isinstance(run, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)", run) is not None


def path_of(url: str) -> str | None:
    """The path on this machine that a `file://` URL means; None for other URLs."""
    found = re.fullmatch(r"(?:file|local)://(/.*)", url)
    return None if found is None else found[1]


class Bucket:
    """A run by URL: objects `store.json`, `clips/`, `damaged/`, and `journal/` in chunks of lines.

    Objects appear whole where the service has it so; a torn one is known by its hash. There are no locks:
    two processes may make the same step, which then has the same bytes.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.damaged: dict[str, str] = {}
        self._lines: list[str] = []
        self._chunk, self._session = -1, secrets.token_hex(4)
        self._marked = False
        try:
            fsspec = importlib.import_module("fsspec")
        except ImportError:
            what, hint = "fsspec is not installed", "pip install 'longtake[remote]'"
            raise InputError(what, f"--run {url}", hint) from None
        try:
            # other processes write too, so what was listed before says nothing
            self._fs, self._root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            what = f"no way to reach it: {error}"
            raise InputError(what, f"--run {url}", "a folder, or s3://BUCKET/RUN") from None
        self._check()

    def has(self, key: str) -> bool:
        """Whether a clip is there, unread."""
        with self._reached(key):
            return bool(self._fs.exists(self._clip(key)))

    def get(self, key: str) -> Clip | None:
        """The clip, if it is there with the bytes that were written; else it is set aside."""
        data = self._read(self._clip(key))
        if data is None:
            return None
        try:
            return unpack(data, key)
        except ValueError as error:
            self._write(f"{self._root}/damaged/{key}.safetensors", data)
            self.drop(key)
            self.damaged[key] = str(error)
            return None

    def put(self, key: str, clip: Clip) -> None:
        """Writes the clip as one object; MachineError if it is not taken."""
        self._mark()
        self._write(self._clip(key), pack(clip, key))

    def settle(self) -> None:
        """What a service has taken is its own to keep."""

    def drop(self, key: str) -> int:
        """Removes a clip; the bytes that were freed."""
        with self._reached(key):
            try:
                size = int(self._fs.size(self._clip(key)) or 0)
                self._fs.rm_file(self._clip(key))
            except FileNotFoundError:
                return 0
            return size

    def keys(self) -> Iterator[str]:
        """Keys of all clips stored."""
        with self._reached("clips"):
            found = self._fs.find(f"{self._root}/clips")
        yield from sorted(name.rpartition("/")[2].removesuffix(".safetensors") for name in found)

    def claim(self, key: str) -> bool:
        """Nobody is asked."""
        return True

    def release(self, key: str) -> None:
        """Nothing to give back."""

    def record(self, line: Mapping[str, Any]) -> None:
        """Adds a line. Objects cannot grow: the chunk that is not full yet is written anew."""
        self._mark()
        if self._chunk < 0 or len(self._lines) >= CHUNK:
            numbers = [int(name.rpartition("/")[2].partition("-")[0]) for name in self._chunks()]
            self._chunk, self._lines = 1 + max([self._chunk, *numbers]), []
        self._lines.append(json.dumps(line))
        text = "".join(f"{line}\n" for line in self._lines)
        self._write(f"{self._root}/journal/{self._chunk:08d}-{self._session}.jsonl", text.encode())

    def records(self) -> Iterator[dict[str, Any]]:
        """The journal, oldest first, without lines that were torn."""
        for name in self._chunks():
            yield from whole_lines((self._read(name) or b"").splitlines())

    def _clip(self, key: str) -> str:
        return f"{self._root}/clips/{key[:2]}/{key}.safetensors"

    def _chunks(self) -> list[str]:
        with self._reached("journal"):
            found = self._fs.find(f"{self._root}/journal")
        return sorted(name for name in found if re.search(r"/\d{8}-\w+\.jsonl$", name))

    def _check(self) -> None:
        """Refuses a place that holds something else, or a run of another format; creates nothing."""
        data = self._read(f"{self._root}/{MARKER}")
        if data is not None:
            check_marker(data, f"{self.url}/{MARKER}")
            return
        with self._reached(""):
            try:
                there = self._fs.ls(self._root, detail=False)
            except FileNotFoundError:
                return
        if there:
            raise InputError("not a run", f"--run {self.url}", "a new or an empty place")

    def _mark(self) -> None:
        if not self._marked:
            place = f"{self._root}/{MARKER}"
            if self._read(place) is None:
                self._write(place, check_marker(None, ""))
            self._marked = True

    def _read(self, place: str) -> bytes | None:
        with self._reached(place):
            try:
                return bytes(self._fs.cat_file(place))
            except FileNotFoundError:
                return None

    def _write(self, place: str, data: bytes) -> None:
        with self._reached(place):
            self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(place, data)

    @contextmanager
    def _reached(self, what: str) -> Iterator[None]:
        """Whatever a service fails with is the machine's failure, in one line."""
        try:
            yield
        except (LongtakeError, MemoryError):
            raise
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            told = "the disk is full" if full else (error.strerror or str(error)).lower()
            where = f"{self.url} {what.removeprefix(self._root).lstrip('/')}".strip()
            raise MachineError(told, where, "freeing space" if full else "") from None
        except Exception as error:  # services have exceptions of their own
            told = " ".join(str(error).split())[:200]
            what = f"the run cannot be reached: {type(error).__name__}: {told}"
            raise MachineError(what, self.url, "another --run") from None
