"""Where steps of an endless film live: only as many as it may still read, and a journal of the latest."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import IO, Any

from longtake.clip import Clip
from longtake.engine.bucket import Bucket, is_url, path_of
from longtake.engine.job import Job
from longtake.engine.store import ENDLESS, Folder, Memory, Store
from longtake.errors import InputError

LINES = 4096  # of the journal that are kept at least; at most twice as many
RECALLED = 256  # lines of a journal that lives in memory
LEFT = 4096  # clips of earlier runs that are kept, the latest


def store_of(job: Job, run: str | os.PathLike[str] | None) -> Store:
    """Where a job's finished steps live: in the run folder, by URL, or in memory without either."""
    if isinstance(run, str) and is_url(run):
        path = path_of(run)
        if path is None and job.frames is None:
            what = "an endless film drops steps, and needs a folder of this machine for them"
            raise InputError(what, f"--run {run}", "--run DIR")
        if path is None:
            return Bucket(run)
        run = path  # a folder is safer than its URL: it has locks, and is synced
    run = None if run is None else Path(run)
    if job.frames is None:
        return Memory(RECALLED) if run is None else Tail(run)
    return Memory() if run is None else Folder(run)


class Tail(Folder):
    """The run folder of an endless film, `endless/` within the one that was named.

    The engine drops what the film cannot read any more, which a finished film beside it may need:
    hence a folder apart. One process at a time, for none may drop what another reads. Without a
    write between two runs, the second finds what the first had not dropped.
    """

    def __init__(self, path: Path | str) -> None:
        Folder(path)  # refuses what is no place for a run folder
        super().__init__(Path(path) / ENDLESS)
        self._lines = 0

    def get(self, key: str) -> Clip | None:
        """The clip, if it is there and whole; InputError while another process uses the folder."""
        self._open()
        return super().get(key)

    def record(self, line: Any) -> None:
        """Appends a line; of the oldest ones half are dropped when they become too many."""
        super().record(line)
        self._lines += 1
        if self._lines > 2 * LINES:
            self._shorten()

    def _open(self) -> IO[bytes]:
        if self._claims is not None:
            return self._claims
        opened = super()._open()
        self._shorten()
        left = sorted(self.path.glob("clips/*/*.safetensors"), key=_age)
        for file in left[: max(0, len(left) - LEFT)]:
            self.drop(file.stem)
        return opened

    def _sweep(self, lock: IO[bytes]) -> None:
        """Removes what interrupted writes left, and keeps everybody else out."""
        if not self._alone(lock):
            what = "another endless film is being made with this run folder"
            raise InputError(what, str(self.path.parent), "another --run")

    def _shorten(self) -> None:
        """Keeps the journal's last lines."""
        try:
            with (self.path / "journal.jsonl").open("rb") as file:
                self._lines = sum(1 for _ in file)
                file.seek(0)
                last = deque(file, maxlen=LINES)
        except FileNotFoundError:
            return
        if self._lines > LINES:
            self._write(self.path / "journal.jsonl", b"".join(last))
            self._lines = len(last)


def _age(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
