"""Which films are to be made: lines appended to one file, read back when the server starts again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

from longtake.errors import InputError
from longtake.studio.films import ID, write_whole

try:
    import fcntl
except ImportError:  # no such locks on this system: two servers on one folder are not noticed
    fcntl = None  # type: ignore[assignment]

Line = dict[str, Any]
_KEYS = {"id", "owner", "status"}


class Journal:
    """`jobs.jsonl`: the last line of a film says how it stands. One server at a time uses it."""

    def __init__(self, folder: Path) -> None:
        self._place = folder / "jobs.jsonl"
        self._lock = (folder / "lock").open("ab")
        if fcntl is not None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                what = "another studio uses this folder"
                raise InputError(what, str(folder), "another --folder") from None
        self._file: IO[bytes] | None = None

    def replay(self) -> dict[str, Line]:
        """The last line of every film, in the order in which they were last written, and a file of only those."""
        last: dict[str, Line] = {}
        try:
            data = self._place.read_bytes()
        except FileNotFoundError:
            data = b""
        for text in data.splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # torn by a crash
                continue
            if isinstance(line, dict) and line.keys() >= _KEYS and ID.fullmatch(str(line["id"])):
                last.pop(line["id"], None)
                last[line["id"]] = line
        last = {name: line for name, line in last.items() if line["status"] != "deleted"}
        write_whole(self._place, "".join(json.dumps(line) + "\n" for line in last.values()))
        self._file = self._place.open("ab")
        return last

    def write(self, line: Line) -> None:
        """Adds a line, which is on the disk when this returns."""
        assert self._file is not None, "replay comes first"
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Lets another server in."""
        if self._file is not None:
            self._file.close()
        self._lock.close()
